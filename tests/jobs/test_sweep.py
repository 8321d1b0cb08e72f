"""The sweep as a user runs it: a process, from nothing to the table, again, and with a shard that fails."""

import json
import re

import psutil
import pytest
from drawn import GRID, assert_complete, images, wait_for_images
from here import run_here
from processes import communicate, run, start, title

from pipeline.sweep.config import SweepConfig
from pipeline.sweep.run import open_run
from pipeline.sweep.shards import pending
from pipeline.work.claim import claim

FIGURES = ("fid_vs_calls", "fid_vs_seconds", "seconds_vs_calls", "samples", "same_seeds", "least_and_most")


def test_a_sweep_from_nothing_to_the_table_though_a_worker_is_killed(tmp_path, expected, monkeypatch):
    out = tmp_path / "out"
    process = start("sweep", *GRID, "--out", out, "--num-workers", 2)
    wait_for_images(process, out, 2)
    family = psutil.Process(process.pid).children(recursive=True)
    next(member for member in family if title(member).startswith("ray::Host")).kill()
    text, err = communicate(process)
    assert (process.returncode, "Traceback" in err) == (0, False), err
    assert re.search(r"FID ↓, linear τ\nS +50\n", text)
    assert re.search(r"drawing 100%  900 of 900 images", err)
    report = {file.name for file in (out / "report").iterdir()}
    assert report == {
        *("table.md", "table.tex", "table.csv", "index.html"),
        *(f"{name}.{kind}" for name in FIGURES for kind in ("png", "pdf")),
    }
    rows = json.loads((out / "metrics.json").read_text())
    assert [(row["eta"], row["steps"], row["nfe"], row["num_images"]) for row in rows] == [
        (0.0, 50, 50, 450),
        (1.0, 50, 50, 450),
    ]
    names = {"sampler", "spacing", "fid", "is_mean", "is_std", "kid_mean", "kid_std", "precision", "recall", "seconds"}
    assert names | {"images_per_second"} <= rows[0].keys()
    manifest = json.loads(next(out.glob("images/*eta0-*/_manifest.json")).read_text())
    assert [entry["rows"] for entry in manifest["files"].values()] == [50] * 9

    before = {file: file.stat().st_mtime_ns for file in images(out)}
    for costly in ("ray.init", "diffusers.UNet2DModel.from_pretrained"):  # what a run that draws spends seconds on
        monkeypatch.setattr(costly, lambda *_, costly=costly, **__: pytest.fail(costly))
    status, again, err = run_here("sweep", "--config", out / "sweep.json")
    said = [line for line in text.splitlines() if "(raylet)" not in line]  # by which Ray tells of the killed worker
    assert (status, again.splitlines()) == (0, said)
    assert "nothing to do" in err
    assert {file: file.stat().st_mtime_ns for file in images(out)} == before
    assert_complete(out, expected)  # what a killed commit left is gone too


def test_a_shard_that_always_fails_is_named_and_the_rest_is_kept(tmp_path):
    out = tmp_path / "out"
    small = SweepConfig(out=str(out), steps=(5,), eta=(0.0, 1.0), num_images=90, batch_size=20, shard_size=20)
    grid = ["--steps", "5", "--eta", "0", "1", "--num-images", "90", "--batch-size", "20", "--shard-size", "20"]
    name = "ddim-S5-eta1-linear/seeds-000000020-000000040.parquet"
    obstacle = out / "images" / f"setting={name}"
    opened = open_run(small)
    claim(opened)
    obstacle.mkdir(parents=True)  # a folder where the file has to go
    status, text, err = run("sweep", *grid, "--out", out, "--num-workers", 1)
    assert (status, "FID" in text) == (1, False)
    assert f"{name}: IsADirectoryError" in err
    assert "failed: 2 settings, 180 images (160 drawn now), 1 failures" in err
    assert not (out / "metrics.json").exists()
    failed = json.loads((out / "result.json").read_text())
    assert (failed["state"], list(failed["failures"])) == ("failed", [name])
    assert "IsADirectoryError" in failed["failures"][name]
    assert failed["stages"]["drawing"]["ddim-S5-eta1-linear"]["failed"] == 1
    obstacle.rmdir()
    assert [shard.first for shard in pending(opened.storage, "images", opened.shards())] == [20]
    status, text, err = run_here("sweep", *grid, "--out", out)
    assert (status, "drawing 100%  20 of 20 images" in err, "FID" in text) == (0, True, True)
    status, said, _ = run_here("verify", "--out", out)
    assert (status, "0 problems" in said) == (0, True), said
