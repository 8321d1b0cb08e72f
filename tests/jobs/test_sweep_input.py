"""Bad input to the sweep: one clear line, exit status 2, nothing written."""

import runpy
import sys

import pytest
from diffusers import UNet2DModel
from processes import ROOT, run

from pipeline.config import SweepConfig
from pipeline.stages import claim, open_run

TWO_LEVELS = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}


def in_process(monkeypatch, capsys, *arguments):
    """The same command without the seconds that a process takes to import torch."""
    monkeypatch.setattr(sys, "argv", ["sweep.py", *map(str, arguments)])
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path("jobs/sweep.py", run_name="__main__")
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--steps", "0"], "--steps"),
        (["--steps", "1001"], "--steps: steps must be from 1 to 1000"),
        (["--eta", "-1"], "--eta: must be a number from 0 to 1, or hat"),
        (["--eta", "nan"], "--eta"),
        (["--spacing", "cubic"], "--spacing: unknown spacing 'cubic'"),
        (["--preset", "imagenet"], "unknown preset 'imagenet'"),
        (["--num-images", "1"], "--num-images"),
        (["--shard-size", "0"], "--shard-size"),
        (["--num-workers", "0"], "--num-workers"),
        (["--config", "missing.json"], "--config missing.json: No such file"),
        (["--config", "pyproject.toml"], "is not the sweep.json of a run"),
        (["--model", "tests"], "give a folder that diffusers' UNet2DModel saved"),
        (["--stepz", "3"], "--stepz"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, arguments, says, monkeypatch, capsys):
    status, text, err = in_process(monkeypatch, capsys, "--out", tmp_path / "out", *arguments)
    assert (status, text) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_images_that_the_extractor_does_not_know_are_refused(tmp_path, monkeypatch, capsys):
    UNet2DModel(sample_size=16, block_out_channels=(32, 32), **TWO_LEVELS).save_pretrained(tmp_path / "rgb")
    status, _, err = in_process(monkeypatch, capsys, "--out", tmp_path / "out", "--model", tmp_path / "rgb")
    assert (status, "it draws 3×16×16 images" in err, len(err.splitlines())) == (2, True, 1)


def test_an_unwritable_or_foreign_out_is_refused(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "out", "/proc/out"):
        status, _, err = in_process(monkeypatch, capsys, "--out", out)
        assert (status, len(err.splitlines()), f"--out {out}" in err) == (2, 1, True), err
    status, _, err = in_process(monkeypatch, capsys, "--out", tmp_path)
    assert (status, "no sweep.json" in err, len(err.splitlines())) == (2, True, 1)
    out = tmp_path / "out"
    other = open_run(SweepConfig(out=str(out), seed=1))
    claim(other)
    status, _, err = run("sweep", "--out", out)  # a process of its own, as the user has it
    assert (status, len(err.splitlines())) == (2, 1)
    here = open_run(SweepConfig(out=str(tmp_path / "new"))).fingerprint
    assert other.fingerprint in err
    assert here in err
    assert "seed 1 there, 0 here" in err


def test_a_cluster_that_is_not_there_is_told_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    status, out, err = in_process(monkeypatch, capsys, "--out", tmp_path / "out")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert "RAY_ADDRESS 127.0.0.1:9: cannot join that cluster: [Errno 111] Connection refused" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--gpus-per-worker", "1.5"], "--gpus-per-worker must be a share up to 1 or a whole number, not 1.5"),
        (["--start-timeout", "0"], "--start-timeout must be above 0, not 0"),
    ],
)
def test_bad_resources_are_one_line(tmp_path, arguments, says, monkeypatch, capsys):
    status, _, err = in_process(monkeypatch, capsys, "--out", tmp_path / "out", *arguments)
    assert (status, err) == (2, f"error: {says}\n")
    assert not (tmp_path / "out").exists()
