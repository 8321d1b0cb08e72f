"""A baseline holds what the run held, survives its own update, and shows the one image that changed."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from places import draw_and_measure
from schedules import SCHEDULE

from pipeline.evaluation.features import Features, read_features, write_features
from pipeline.images.pixels import pixel_digest
from pipeline.regression.baseline import (
    EMBEDDED,
    image_digests,
    open_baseline,
    read_entry,
    refuse_another,
    speed,
    write_baseline,
)
from pipeline.regression.comparison import Speed
from pipeline.regression.gate import Limits, judge
from pipeline.storage.store import Storage
from pipeline.sweep.grid import settings
from pipeline.sweep.images import read_images, write_images
from pipeline.sweep.run import saved_run
from pipeline.work.compare import Compare, CompareWorker
from pipeline.work.extract import Extract, ExtractWorker
from pipeline.work.measure import Measure, MeasureWorker


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw_and_measure(tmp_path_factory.mktemp("drawn") / "out")


@pytest.fixture(scope="module")
def baseline(drawn, tmp_path_factory):
    storage = Storage(str(tmp_path_factory.mktemp("baseline")))
    assert write_baseline(storage, drawn) == sum(storage.find().values())
    return storage.url


def compare(run, baseline, setting):
    return CompareWorker("cpu", Compare(run, open_baseline(baseline)).arguments).do(setting)


def test_it_holds_the_runs_features_rows_and_digests(drawn, baseline):
    opened = open_baseline(baseline)
    assert list(opened.entries) == [setting.slug for setting in drawn.settings]
    refuse_another(opened, drawn.settings, drawn.measurement.identity)
    for setting, row in drawn.metrics().items():
        entry = opened.entries[setting.slug]
        assert entry.row == row
        features, images = read_entry(opened.storage, entry)
        assert features.seeds == list(range(240))
        shards = [shard for shard in drawn.shards() if shard.setting == setting]
        pixels = [read_images(drawn.storage, shard, shard.setting.fingerprint(drawn.identity))[0] for shard in shards]
        assert entry.digests == [pixel_digest(part) for part in pixels]
        assert images == image_digests(np.concatenate(pixels))
        assert len(set(images)) == 240


def test_a_run_beside_its_own_baseline_does_not_differ(drawn, baseline):
    for setting, row in drawn.metrics().items():
        comparison = compare(drawn, baseline, setting)
        assert (comparison.differing, comparison.equal_features) == ([], True)
        for metric in (comparison.metrics[name] for name in ("fid", "is", "kid")):
            assert (metric.difference.value, metric.interval) == (0, (0, 0))
            assert metric.baseline == metric.other
        assert comparison.fid.baseline == pytest.approx(row["fid"], rel=1e-5)  # torch-fidelity's, in float32
        assert comparison.speeds[0] == comparison.speeds[1]


def test_one_image_that_changed_is_found_by_its_seed(drawn, baseline, tmp_path):
    shutil.copytree(drawn.config.out, tmp_path / "out")
    run = saved_run(str(tmp_path / "out"))
    shard = next(shard for shard in run.shards() if shard.first <= 137 < shard.end)
    pixels, info = read_images(run.storage, shard, shard.setting.fingerprint(run.identity))
    pixels = pixels.copy()
    pixels[137 - shard.first, 4, 4, 0] ^= 128
    write_images(run.storage, shard, pixels, replace(info, digest=pixel_digest(pixels)), [0])
    for path in (shard.path("features"), run.paths.row(shard.setting.slug)):
        run.storage.move(path, f"_set-aside/{path}")
    ExtractWorker("cpu", Extract(run).arguments).do((shard, ("",))).end()
    row = MeasureWorker("cpu", Measure(run).arguments).do(("", shard.setting))
    comparison = compare(run, baseline, shard.setting)
    assert comparison.differing == [137]
    before = drawn.metrics()[shard.setting]
    # FID is without its bias
    free = row["fid_inf"] - before["fid_inf"]
    assert comparison.fid.difference.value == pytest.approx(free, abs=1e-9 * row["fid"])
    assert (comparison.fid.baseline, comparison.fid.other) == pytest.approx((before["fid"], row["fid"]), rel=1e-12)
    score = comparison.metrics["is"].difference.value
    assert score == pytest.approx(row["is_mean"] - before["is_mean"], abs=1e-9)
    assert comparison.fid.difference.se > 0


def test_logits_that_differ_alone_are_a_difference(drawn, baseline, tmp_path):
    """Of the same pixels, by an extractor whose last layer has changed."""
    shutil.copytree(drawn.config.out, tmp_path / "out")
    run = saved_run(str(tmp_path / "out"))
    for shard in run.shards():
        part = read_features(run.storage, shard.path("features"))
        sharper = 1.5 * part.logits
        write_features(run.storage, shard.path("features"), shard.first, part.features, sharper, part.metadata)
    comparison = compare(run, baseline, run.settings[0])
    assert (comparison.differing, comparison.equal_features) == ([], False)
    assert comparison.fid.difference.value == 0
    assert comparison.metrics["is"].interval[0] > 0
    assert judge([comparison], Limits(0.02, 0.99))[0].quality == "noise"  # not "same"


def test_an_update_leaves_readers_of_the_one_before_alone(drawn, baseline, tmp_path):
    shutil.copytree(baseline, tmp_path / "b")
    reader = open_baseline(str(tmp_path / "b"))
    write_baseline(Storage(str(tmp_path / "b")), draw_and_measure(tmp_path / "other", seed=1))
    refuse_another(reader, drawn.settings, drawn.measurement.identity)
    assert open_baseline(str(tmp_path / "b")).identity["seed"] == 1


def test_speed_and_share_are_medians_over_shards():
    def part(seconds, device="a", **timed):
        nothing = torch.zeros(20, 1)
        return Features([*range(20)], nothing, nothing, {"seconds": seconds, "device": device} | timed)

    assert speed([part(1.0), part(2.0), part(100.0, "b")]) == Speed(10.0, ["a", "b"], None)
    timed = part(1.0, network_seconds=0.5), part(3.0, network_seconds=2.5)
    assert speed([*timed]) == Speed(20.0, ["a"], (0.5 + 2.5 / 3) / 2)
    # stopped for a night between two calls
    assert speed([part(1.0, network_seconds=0.9)] * 2 + [part(30_000.0, network_seconds=0.9)]).network_share == 0.9
    # a baseline or a night that went on from files of an earlier release
    assert speed([*timed, part(1.0)]).network_share is None


def test_the_embedded_baseline_is_small_and_of_this_release():
    opened = open_baseline(EMBEDDED)
    run_of_it = settings(opened.config, SCHEDULE)
    assert list(opened.entries) == [setting.slug for setting in run_of_it]
    refuse_another(opened, run_of_it, opened.identity)
    files = opened.storage.find()
    assert sum(files.values()) < 3_000_000
    assert set(files) == {"baseline.json", *(entry.file for entry in opened.entries.values())}
