"""The feature worker: images to features to a row, exactly the planned seeds or an error."""

import json

import numpy as np
import pytest
import torch

from pipeline.evaluation.extractors import DIGITS
from pipeline.evaluation.features import extract, read_features, write_features
from pipeline.evaluation.measurement import open_evaluation
from pipeline.evaluation.reference import REFERENCE_PATH
from pipeline.storage.store import DamagedFileError, Storage
from pipeline.sweep.grid import settings
from pipeline.sweep.images import ImageFile, pixel_digest, write_images
from pipeline.sweep.shards import plan
from pipeline.work.extract import FeatureWorker


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
    evaluation = open_evaluation(DIGITS, None, "digits", (1, 8, 8), {})
    worker = FeatureWorker("cpu", small.out, None, evaluation, small.num_images, small.shard_size, 16, "f")
    return worker, setting, pixels


def test_features_are_those_of_the_images_in_the_order_of_seeds(drawn):
    worker, setting, pixels = drawn
    shards = plan(setting, 90, 25)
    assert [worker.extract_shard(shard) for shard in reversed(shards)] == [15, 25, 25, 25]
    parts = [read_features(worker.storage, shard.path("features")) for shard in shards]
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
    features, logits = extract(worker.extractor, images, "cpu", 90)
    assert [seed for part in parts for seed in part.seeds] == list(range(90))
    torch.testing.assert_close(torch.cat([part.features for part in parts]), features)
    torch.testing.assert_close(torch.cat([part.logits for part in parts]), logits)


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
    assert REFERENCE_PATH in worker.storage.find()


def test_another_runs_or_missing_or_repeated_features_are_errors(drawn):
    worker, setting, _ = drawn
    worker.extract_shard(None)
    shards = plan(setting, 90, 25)
    for shard in shards:
        worker.extract_shard(shard)
    path = shards[1].path("features")
    table, metadata = worker.storage.read_table(path, lambda *content: content)
    worker.storage.write_table(path, table, metadata | {"features_digest": "0"}, 1000)
    with pytest.raises(DamagedFileError, match="features do not match their digest"):
        worker.measure(setting)
    worker.storage.write_table(path, table, metadata | {"fingerprint": "g"}, 1000)
    with pytest.raises(DamagedFileError, match="has fingerprint g, this run has"):
        worker.measure(setting)
    original = read_features(worker.storage, shards[2].path("features"))
    wrong = original.features[:-1], original.logits[:-1], original.metadata
    write_features(worker.storage, path, 25, *wrong)
    with pytest.raises(DamagedFileError, match="exactly the seeds 25 to 49"):
        worker.measure(setting)
    assert "_metrics.json" not in worker.storage.ls(f"features/setting={setting.slug}")


def test_a_damaged_image_file_is_an_error(drawn, small):
    worker, setting, _ = drawn
    shard = plan(setting, 90, 25)[0]
    worker.storage.write(shard.path("images"), b"PAR1")
    with pytest.raises(DamagedFileError, match="seeds-000000000-000000025"):
        worker.extract_shard(shard)
    assert worker.storage.ls(f"features/setting={setting.slug}") == {}
