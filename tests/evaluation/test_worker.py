"""The feature worker: images to features to a row, exactly the planned seeds or an error."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.evaluation.extractors import DIGITS
from pipeline.evaluation.features import REFERENCE_PATH, extract, make_extractor, read_features
from pipeline.evaluation.worker import FeatureWorker
from pipeline.generation.images import DamagedFileError, ImageFile, pixel_digest, write_images
from pipeline.generation.shards import plan
from pipeline.grid import settings
from pipeline.storage import Storage


@pytest.fixture
def drawn(small):
    """A worker over a setting whose image files hold random pixels."""
    storage = Storage(small.out)
    setting = settings(small, 1000)[0]
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (small.num_images, 8, 8, 1), dtype=np.uint8)
    for shard in plan(setting, small.num_images, small.shard_size):
        part = pixels[shard.first : shard.end]
        write_images(storage, shard, part, ImageFile("f", len(part), pixel_digest(part), 2.0, "cpu", "2"))
    worker = FeatureWorker("cpu", small.out, None, DIGITS, "digits", small.num_images, small.shard_size, 16, "f")
    return worker, setting, pixels


def test_features_are_those_of_the_images_in_the_order_of_seeds(drawn):
    worker, setting, pixels = drawn
    shards = plan(setting, 90, 25)
    assert [worker.extract_shard(shard) for shard in reversed(shards)] == [15, 25, 25, 25]
    read = read_features(worker.storage, [shard.path("features") for shard in shards])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
    features, logits = extract(make_extractor(DIGITS, "cpu"), images, "cpu", 90)
    assert read.seeds == list(range(90))
    torch.testing.assert_close(read.features, features)
    torch.testing.assert_close(read.logits, logits)


def test_a_row_and_the_manifest(drawn):
    worker, setting, _ = drawn
    assert worker.extract_shard(None) == 1797
    shards = plan(setting, 90, 25)
    for shard in shards:
        worker.extract_shard(shard)
    row = worker.measure(setting)
    assert (row["num_images"], row["seconds"], row["images_per_second"], row["nfe"]) == (90, 8.0, 90 / 8, 5)
    assert worker.storage.read_json(f"features/setting={setting.slug}/_metrics.json") == json.loads(json.dumps(row))
    manifest = worker.storage.read_json(f"images/setting={setting.slug}/_manifest.json")
    assert list(manifest["files"]) == [shard.name for shard in shards]
    assert worker.storage.exists(REFERENCE_PATH)


def test_another_runs_or_missing_or_repeated_features_are_errors(drawn):
    worker, setting, _ = drawn
    worker.extract_shard(None)
    shards = plan(setting, 90, 25)
    for shard in shards:
        worker.extract_shard(shard)
    path = shards[1].path("features")
    table, metadata = worker.storage.read_table(path)
    worker.storage.write_table(path, table, metadata | {"fingerprint": "g"}, 1000)
    with pytest.raises(DamagedFileError, match="has fingerprint g, this run has f"):
        worker.measure(setting)
    for wrong in (table.slice(1), pa.concat_tables([table, table.slice(0, 1)]), table.take([1, 0, *range(2, 25)])):
        worker.storage.write_table(path, wrong, metadata, 1000)
        with pytest.raises(DamagedFileError, match="exactly the seeds 0 to 89"):
            worker.measure(setting)
    assert not worker.storage.exists(f"features/setting={setting.slug}/_metrics.json")


def test_a_damaged_image_file_is_an_error(drawn, small):
    worker, setting, _ = drawn
    shard = plan(setting, 90, 25)[0]
    worker.storage.write(shard.path("images"), b"PAR1")
    with pytest.raises(DamagedFileError, match="seeds-000000000-000000025"):
        worker.extract_shard(shard)
    assert worker.storage.ls(f"features/setting={setting.slug}") == {}
