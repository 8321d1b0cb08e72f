"""The sweep as a user runs it: a process, killed, interrupted, resumed, misused."""

import contextlib
import json
import os
import re
import signal
import time
from pathlib import Path

import psutil
import pytest
from here import run_here
from places import image_digest
from processes import assert_ended, communicate, run, start, title

from pipeline.sweep.config import SweepConfig
from pipeline.sweep.run import open_run
from pipeline.sweep.shards import pending
from pipeline.work.claim import claim
from pipeline.work.draw import Draw, DrawWorker

GRID = ["--steps", "50", "--eta", "0", "1", "--num-images", "450", "--batch-size", "50", "--shard-size", "100"]
CONFIG = SweepConfig(steps=(50,), eta=(0.0, 1.0), num_images=450, batch_size=50, shard_size=100)


def images(out):
    return sorted(Path(out).glob("images/*/*.parquet"))


def wait_for_images(process, out, count):
    deadline = time.monotonic() + 120
    while len(images(out)) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The digests that one plain worker draws, without Ray, last shard first."""
    opened = open_run(CONFIG.model_copy(update={"out": str(tmp_path_factory.mktemp("plain"))}))
    worker = DrawWorker("cpu", Draw(opened).arguments)
    return {shard.path("images"): worker.do(shard).digest for shard in reversed(opened.shards())}


def digests(out):
    """The digests of a run's files, each checked against its pixels."""
    opened = open_run(CONFIG.model_copy(update={"out": str(out)}))
    return {s.path("images"): image_digest(opened, s) for s in opened.shards()}


def assert_complete(out, expected):
    assert digests(out) == expected
    assert not list(Path(out).rglob("*.tmp"))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_sweep_from_nothing_to_the_table(tmp_path, expected, workers, monkeypatch):
    out = tmp_path / "out"
    status, text, err = run("sweep", *GRID, "--out", out, "--num-workers", workers)
    assert (status, "Traceback" in err) == (0, False), err
    assert_complete(out, expected)
    assert re.search(r"FID ↓, linear τ\nS +50\n", text)
    assert re.search(r"drawing 100%  900 of 900 images", err)
    report = {file.name for file in (out / "report").iterdir()}
    assert report == {
        *("table.md", "table.tex", "table.csv", "index.html"),
        *("fid_vs_calls.png", "fid_vs_seconds.png", "samples.png", "same_seeds.png"),
    }
    rows = json.loads((out / "metrics.json").read_text())
    assert [(row["eta"], row["steps"], row["nfe"], row["num_images"]) for row in rows] == [
        (0.0, 50, 50, 450),
        (1.0, 50, 50, 450),
    ]
    names = {"sampler", "spacing", "fid", "is_mean", "is_std", "kid_mean", "kid_std", "precision", "recall", "seconds"}
    assert names | {"images_per_second"} <= rows[0].keys()
    manifest = json.loads(next(out.glob("images/*eta0-*/_manifest.json")).read_text())
    assert [entry["rows"] for entry in manifest["files"].values()] == [100, 100, 100, 100, 50]

    before = {file: file.stat().st_mtime_ns for file in images(out)}
    for costly in ("ray.init", "diffusers.UNet2DModel.from_pretrained"):  # what a run that draws spends seconds on
        monkeypatch.setattr(costly, lambda *_, costly=costly, **__: pytest.fail(costly))
    status, again, err = run_here("sweep", "--config", out / "sweep.json")
    assert (status, again) == (0, text)
    assert "nothing to draw" in err
    assert {file: file.stat().st_mtime_ns for file in images(out)} == before


@pytest.mark.parametrize("victim", ["driver", "actor"])
def test_sigkill_in_mid_sweep_changes_nothing(tmp_path, expected, victim):
    out = tmp_path / "out"
    process = start("sweep", *GRID, "--out", out, "--num-workers", 2)
    wait_for_images(process, out, 2)
    family = psutil.Process(process.pid).children(recursive=True)
    if victim == "actor":
        next(member for member in family if title(member).startswith("ray::Host")).kill()
        _, err = communicate(process)
        assert process.returncode == 0, err
    else:
        process.kill()
        process.communicate()
        # Ray's own agents notice within two minutes that their raylet is gone; they hold no work
        assert_ended(family, but=("ray::DashboardAgent", "ray::RuntimeEnvAgent"))
        assert len(images(out)) < 10
        status, _, err = run_here("sweep", *GRID, "--out", out)
        assert status == 0, err
    assert_complete(out, expected)


def test_ctrl_c_ends_at_once_and_says_how_to_go_on(tmp_path, expected):
    out = tmp_path / "out"
    process = start("sweep", *GRID, "--out", out)
    wait_for_images(process, out, 2)
    family = psutil.Process(process.pid).children(recursive=True)
    workers = [member for member in family if title(member).startswith("ray::Host")]
    for worker in workers:
        worker.suspend()  # so that no shard in flight can end: who waits for one, waits for ever
    there = len(images(out))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    try:
        _, err = communicate(process)
    finally:
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.resume()
    assert (process.returncode, len(workers) > 0) == (130, True)
    assert "run the same command again" in err
    assert "Traceback" not in err
    assert_ended(family)
    assert not list(out.rglob("*.tmp"))
    found = len(images(out))
    assert 2 <= there == found < 10

    status, plan, _ = run_here("sweep", *GRID, "--out", out, "--dry-run")
    assert status == 0
    assert f"{found} shards found, {10 - found} missing" in plan
    done = {file: file.stat().st_mtime_ns for file in images(out)}
    status, _, err = run_here("sweep", *GRID, "--out", out)
    assert status == 0, err
    assert_complete(out, expected)
    assert {file: file.stat().st_mtime_ns for file in done} == done


def test_a_shard_that_always_fails_is_named_and_the_rest_is_kept(tmp_path, expected):
    out = tmp_path / "out"
    obstacle = out / "images" / "setting=ddim-S50-eta1-linear" / "seeds-000000100-000000200.parquet"
    (out / "sweep.json").parent.mkdir()
    opened = open_run(CONFIG.model_copy(update={"out": str(out)}))
    claim(opened)
    obstacle.mkdir(parents=True)  # a folder where the file has to go
    status, text, err = run("sweep", *GRID, "--out", out)
    assert status == 1
    assert "ddim-S50-eta1-linear/seeds-000000100-000000200.parquet: IsADirectoryError" in err
    assert "FID" not in text
    assert not (out / "metrics.json").exists()
    obstacle.rmdir()
    assert [shard.first for shard in pending(opened.storage, "images", opened.shards())] == [100]
    status, text, err = run_here("sweep", *GRID, "--out", out)
    assert (status, "drawing 100%  100 of 100 images" in err, "FID" in text) == (0, True, True)
    assert_complete(out, expected)
