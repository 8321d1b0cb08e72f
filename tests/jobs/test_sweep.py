"""The sweep as a user runs it: a process, from nothing to the table, again, and with a shard that fails."""

import json
import re

import pytest
from drawn import CONFIG, GRID, assert_complete, images
from here import run_here
from processes import run

from pipeline.sweep.run import open_run
from pipeline.sweep.shards import pending
from pipeline.work.claim import claim

FIGURES = ("fid_vs_calls", "fid_vs_seconds", "seconds_vs_calls", "samples", "same_seeds", "least_and_most")


def test_a_sweep_from_nothing_to_the_table(tmp_path, expected, monkeypatch):
    out = tmp_path / "out"
    status, text, err = run("sweep", *GRID, "--out", out, "--num-workers", 2)
    assert (status, "Traceback" in err) == (0, False), err
    assert_complete(out, expected)
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
    assert [entry["rows"] for entry in manifest["files"].values()] == [100, 100, 100, 100, 50]

    before = {file: file.stat().st_mtime_ns for file in images(out)}
    for costly in ("ray.init", "diffusers.UNet2DModel.from_pretrained"):  # what a run that draws spends seconds on
        monkeypatch.setattr(costly, lambda *_, costly=costly, **__: pytest.fail(costly))
    status, again, err = run_here("sweep", "--config", out / "sweep.json")
    assert (status, again) == (0, text)
    assert "nothing to do" in err
    assert {file: file.stat().st_mtime_ns for file in images(out)} == before


def test_a_shard_that_always_fails_is_named_and_the_rest_is_kept(tmp_path, expected):
    out = tmp_path / "out"
    obstacle = out / "images" / "setting=ddim-S50-eta1-linear" / "seeds-000000100-000000200.parquet"
    (out / "sweep.json").parent.mkdir()
    opened = open_run(CONFIG.model_copy(update={"out": str(out)}))
    claim(opened)
    obstacle.mkdir(parents=True)  # a folder where the file has to go
    status, text, err = run("sweep", *GRID, "--out", out, "--num-workers", 1)
    assert status == 1
    assert "ddim-S50-eta1-linear/seeds-000000100-000000200.parquet: IsADirectoryError" in err
    assert "FID" not in text
    assert not (out / "metrics.json").exists()
    obstacle.rmdir()
    assert [shard.first for shard in pending(opened.storage, "images", opened.shards())] == [100]
    status, text, err = run_here("sweep", *GRID, "--out", out)
    assert (status, "drawing 100%  100 of 100 images" in err, "FID" in text) == (0, True, True)
    assert_complete(out, expected)
