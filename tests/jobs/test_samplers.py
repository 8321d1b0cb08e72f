"""All samplers in one sweep: drawn, resumed, verified, measured again, exported, and a night of them."""

import json

import numpy as np
import pytest
from here import run_here
from PIL import Image
from places import image_digest
from schedules import OURS

from pipeline.sweep.run import saved_run

TEXTS = [*OURS, "unipc:order=3,end=zero", "deis:variant=t", "euler_a"]
GRID = ["--sampler", *TEXTS, "--steps", "14", "--num-images", "30", "--batch-size", "10", "--shard-size", "20"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    out = tmp_path_factory.mktemp("swept") / "out"
    status, text, err = run_here("sweep", *GRID, "--out", out, rendered=True)
    assert status == 0, err
    return out, text, err


def digests(out):
    run = saved_run(str(out))
    return {shard.full_name: image_digest(run, shard) for shard in run.shards()}


def test_each_has_a_row_with_its_options_and_true_calls(swept):
    out, text, err = swept
    rows = json.loads((out / "metrics.json").read_text())
    assert {row["sampler"] for row in rows} == set(OURS)
    assert len(rows) == len(TEXTS)
    calls = {row["sampler"]: row["nfe"] for row in rows}
    assert [calls[name] for name in ("ddim", "heun", "dpm_solver", "dpm_fast")] == [15, 13, 12, 14]
    assert all(row["fid"] > 0 for row in rows)
    assert "euler_a is ddim:eta=1" in err
    labels = [line.partition("  ")[0] for line in text.split("\n\n")[0].splitlines()[4:]]
    assert labels == [
        *("DDIM η = 0.0, linear", "DPM-Solver++ 2M, time-quadratic", "DPM-Solver++ 3M, time-quadratic"),
        *("DPM-Solver++ 2M SDE η = 1.0, time-quadratic", "UniPC-2, time-quadratic", "DPM-Solver-3, logsnr"),
        *("DPM-Solver-fast, logsnr", "DEIS λAB3, logsnr", "iPNDM-4, linear", "F-PNDM, linear", "Heun, karras"),
        *("UniPC-3 end = zero, time-quadratic", "DEIS tAB3, time-quadratic", "DDIM η = 1.0, linear"),
    ]


def test_another_run_with_other_shards_first_draws_the_same(swept, tmp_path):
    """The grid in another order, and in pieces."""
    expected = digests(swept[0])
    rest = [*GRID[GRID.index("--num-images") :], "--out", tmp_path / "out"]
    for texts in (TEXTS[::-1][:3], TEXTS[::-1]):
        status, _, err = run_here("sweep", "--sampler", *texts, "--steps", "14", *rest)
        assert status == 0, err
    assert digests(tmp_path / "out") == expected


@pytest.mark.slow
def test_two_workers_draw_the_same(swept, tmp_path):
    status, _, err = run_here("sweep", *GRID, "--num-workers", 2, "--out", tmp_path / "out", ray=True)
    assert status == 0, err
    assert digests(tmp_path / "out") == digests(swept[0])


def test_what_is_lost_is_drawn_again_as_it_was(swept):
    out, text, _ = swept
    expected = digests(out)
    for folder in (out / "images").iterdir():
        sorted(folder.glob("*.parquet"))[1].unlink()
    status, again, err = run_here("sweep", *GRID, "--out", out)
    assert (status, "drawing 100%  140 of 140 images" in err) == (0, True), err
    assert digests(out) == expected
    assert [line[:60] for line in again.splitlines()[:18]] == [line[:60] for line in text.splitlines()[:18]]
    status, said, _ = run_here("verify", "--out", out)
    assert (status, "0 problems" in said) == (0, True), said


def test_it_is_exported_and_measured_again(swept, tmp_path):
    out, *_ = swept
    images = tmp_path / "images.npz"
    status, _, err = run_here(
        "export", "--out", out, "--setting", "unipc-S14-order3-endzero-time-quadratic", "--npz", images
    )
    assert (status, np.load(images)["arr_0"].shape) == (0, (30, 8, 8, 3)), err
    for index, pixels in enumerate(np.load(images)["arr_0"]):
        Image.fromarray(pixels[:, :, 0]).save(tmp_path / f"{index}.png")
    images.unlink()
    status, text, err = run_here("evaluate", "--out", out, "--reference", tmp_path)
    assert status == 0, err
    (line,) = [line for line in text.split("\n\n")[0].splitlines() if line.startswith("UniPC-3 end = zero")]
    assert float(line.split()[-3]) < 1e-3  # against itself


def test_a_night_of_them_is_the_same(swept, tmp_path):
    out, *_ = swept
    places = ["--baseline", tmp_path / "baseline", "--out", tmp_path / "nights"]
    status, _, err = run_here("nightly", "--update-baseline", "--baseline", tmp_path / "baseline", "--out", out)
    assert status == 0, err
    status, text, err = run_here("nightly", *places, "--speed-tolerance", "0.99")
    assert status == 0, text + err
    summary = (tmp_path / "nights" / "summary.md").read_text()
    assert summary.count("| identical |") == len(TEXTS), summary
