"""Trajectories: they end in the sweep's images, bit for bit; resumed, verified, refused."""

import numpy as np
import pytest
import torch
from here import run_here
from studies import do, sizes_of_calls

from pipeline.storage.store import DamagedFileError
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.drawn import read_drawn
from pipeline.sweep.run import open_run
from pipeline.work.draw import Draw, DrawWorker
from pipeline.work.trace import Trace, TraceConfig, open_trace, path_of

SAMPLERS = ("ddim", "ddim:eta=1", "dpmpp_2m", "heun")
OF_A_SWEEP = {"sampler": SAMPLERS, "steps": (10,), "batch_size": 12, "seed": 3, "dtype": "bfloat16"}
SMALL = OF_A_SWEEP | {"seeds": (5, 0, 7), "columns": 4}


def opened(out, **changes):
    return Trace(open_trace(TraceConfig(out=str(out), **SMALL | changes), None))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return do(opened(tmp_path_factory.mktemp("trajectory") / "out"))


def rows_of(work, setting):
    return read_drawn(work.study.storage, path_of(setting), setting.fingerprint(work.study.identity))[0]


def test_the_last_picture_is_the_sweeps_image_bit_for_bit(done, tmp_path):
    config = SweepConfig(out=str(tmp_path), eta=None, num_images=12, **OF_A_SWEEP)
    worker = DrawWorker("cpu", Draw(open_run(config)).arguments)
    for setting in done.study.settings:
        expected, rows = worker.draw_batch(setting, torch.arange(12)), rows_of(done, setting)
        for seed in (5, 0, 7):
            last = [row for row in rows if row["seed"] == seed][-1]
            assert np.array_equal(last["x_t"], expected[seed]), (setting.slug, seed)
            assert last["calls"] == setting.nfe


def test_pictures_are_in_the_order_of_the_walk_and_end_in_what_was_predicted(done):
    for setting in done.study.settings:
        rows = [row for row in rows_of(done, setting) if row["seed"] == 0]
        calls = [row["calls"] for row in rows]
        assert (len(rows), calls) == (4, sorted(set(calls)))
        # noise fades: the mean distance of x_t to pred_x0 falls along the walk, to nothing at time 0
        far = [np.abs(row["x_t"].astype(float) - row["pred_x0"]).mean() for row in rows]
        assert far[0] > 20
        assert far[-1] < 3


def test_every_call_has_a_whole_batch(tmp_path, monkeypatch):
    assert sizes_of_calls(monkeypatch, opened(tmp_path / "out", sampler=("ddim",))) == {(12, 1, 8, 8)}


def test_a_file_of_another_study_is_not_read(done):
    with pytest.raises(DamagedFileError, match="this study has another"):
        read_drawn(done.study.storage, path_of(done.study.settings[0]), "another")


def test_every_setting_has_its_strip(done):
    text = done.publish()
    slugs = [setting.slug for setting in done.study.settings]
    assert set(done.study.storage.ls("report")) == {f"{slug}.{kind}" for slug in slugs for kind in ("png", "pdf")}
    assert "DDIM η = 0.0, linear, S = 10: after 1, 4, 7, 10 calls" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--seeds", "1", "1"], "give different seeds"),
        (["--seeds", "-1"], "none below 0"),
        (["--seeds", *map(str, range(6)), "--batch-size", "5"], "6 do not fit into a batch of 5"),
        (["--columns", "1"], "--columns"),
        (["--sampler", "pndm", "--steps", "5"], "pndm takes 13 network calls at least"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(tmp_path, arguments, says):
    status, out, err = run_here("trajectory", "--out", tmp_path / "out", *arguments)
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert says in err
    assert not (tmp_path / "out").exists()
