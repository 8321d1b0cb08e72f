"""Images to features to a row: exactly the planned seeds, or an error."""

import json

import numpy as np
import pytest
import torch

from pipeline.evaluation.features import extract, read_features, write_features
from pipeline.images.pixels import pixel_digest
from pipeline.storage.store import DamagedFileError
from pipeline.sweep.images import ImageFile, write_images
from pipeline.sweep.layout import REFERENCE
from pipeline.sweep.run import open_run
from pipeline.sweep.shards import plan
from pipeline.work.extract import THE_REFERENCE, Extract, ExtractWorker
from pipeline.work.measure import Measure, MeasureWorker

OWN = ("",)
"""The paths of the measurements: the sweep's own."""


@pytest.fixture
def drawn(small):
    """A run whose first setting has image files that hold random pixels; its worker, setting and pixels."""
    run = open_run(small)
    setting = run.settings[0]
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (small.num_images, 8, 8, 1), dtype=np.uint8)
    for shard in plan(setting, small.num_images, small.shard_size):
        part = pixels[shard.first : shard.end]
        info = ImageFile(setting.fingerprint(run.identity), len(part), pixel_digest(part), 2.0, "cpu", "2")
        write_images(run.storage, shard, part, info, [0])
    return run, setting, pixels


@pytest.fixture
def worker(drawn):
    return ExtractWorker("cpu", Extract(drawn[0]).arguments)


@pytest.fixture
def measure(drawn):
    return lambda: MeasureWorker("cpu", Measure(drawn[0]).arguments).do(("", drawn[1]))


def test_features_are_those_of_the_images_in_the_order_of_seeds(drawn, worker):
    _, setting, pixels = drawn
    shards = plan(setting, 90, 25)
    assert [worker.do((shard, OWN)).end() for shard in reversed(shards)] == [15, 25, 25, 25]
    parts = [read_features(worker.storage, shard.path("features")) for shard in shards]
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
    features, logits = extract(worker.extractors[""], images, "cpu", 90)
    assert [seed for part in parts for seed in part.seeds] == list(range(90))
    torch.testing.assert_close(torch.cat([part.features for part in parts]), features)
    torch.testing.assert_close(torch.cat([part.logits for part in parts]), logits)


@pytest.mark.parametrize(("speed", "channels_last"), [("plain", False), ("channels_last", True), ("compiled", True)])
def test_the_extractor_has_the_form_of_the_network(small, speed, channels_last):
    run = open_run(small.model_copy(update={"speed": speed}))
    weights = [*ExtractWorker("cpu", Extract(run).arguments).extractors[""].parameters()]
    kernels = [weight for weight in weights if weight.dim() == 4 and min(weight.shape[1:]) > 1]
    assert kernels
    assert all(weight.is_contiguous(memory_format=torch.channels_last) == channels_last for weight in kernels)


def test_a_row_and_the_manifest(drawn, worker, measure):
    _, setting, _ = drawn
    assert worker.do((THE_REFERENCE, OWN)).end() == 1797
    shards = plan(setting, 90, 25)
    for shard in shards:
        worker.do((shard, OWN)).end()
    row = measure()
    assert (row["num_images"], row["seconds"], row["images_per_second"], row["nfe"]) == (90, 8.0, 25 / 2, 5)
    assert worker.storage.read_json(f"features/setting={setting.slug}/_metrics.json") == json.loads(json.dumps(row))
    manifest = worker.storage.read_json(f"images/setting={setting.slug}/_manifest.json")
    assert list(manifest["files"]) == [shard.name for shard in shards]
    assert REFERENCE in worker.storage.find()


def test_another_runs_or_missing_or_repeated_features_are_errors(drawn, worker, measure):
    _, setting, _ = drawn
    worker.do((THE_REFERENCE, OWN)).end()
    shards = plan(setting, 90, 25)
    for shard in shards:
        worker.do((shard, OWN)).end()
    path = shards[1].path("features")
    table, metadata = worker.storage.read_table(path, lambda *content: content)
    worker.storage.write_table(path, table, metadata | {"features_digest": "0"}, 1000)
    with pytest.raises(DamagedFileError, match="features do not match their digest"):
        measure()
    worker.storage.write_table(path, table, metadata | {"fingerprint": "g"}, 1000)
    with pytest.raises(DamagedFileError, match="has fingerprint g, this run has"):
        measure()
    original = read_features(worker.storage, shards[2].path("features"))
    wrong = original.features[:-1], original.logits[:-1], original.metadata
    write_features(worker.storage, path, 25, *wrong)
    with pytest.raises(DamagedFileError, match="exactly the seeds 25 to 49"):
        measure()
    assert "_metrics.json" not in worker.storage.ls(f"features/setting={setting.slug}")


def test_a_damaged_image_file_is_an_error(drawn, worker):
    _, setting, _ = drawn
    shard = plan(setting, 90, 25)[0]
    worker.storage.write(shard.path("images"), b"PAR1")
    with pytest.raises(DamagedFileError, match="seeds-000000000-000000025"):
        worker.do((shard, OWN)).end()
    assert worker.storage.ls(f"features/setting={setting.slug}") == {}


def test_features_of_a_setting_are_measured_in_the_order_of_seeds(drawn, worker, measure, monkeypatch):
    """KID's subsets and IS's splits follow the order."""
    run, setting, _ = drawn
    seen = []
    for source in (*plan(setting, 90, 25), THE_REFERENCE):
        worker.do((source, OWN)).end()
    monkeypatch.setattr("pipeline.work.measure.compute_metrics", lambda features, *_: seen.append(features) or {})
    measure()
    parts = [read_features(run.storage, shard.path("features")).features for shard in plan(setting, 90, 25)]
    assert torch.equal(seen[0], torch.cat(parts))
