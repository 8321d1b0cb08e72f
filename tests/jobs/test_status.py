"""What storage says of a sweep: every state, rates and time left, and the exit status."""

import math
import os
import runpy
import sys
import time
from datetime import UTC, datetime

import pytest
from here import run_here
from places import GRID, draw_and_measure
from processes import ROOT

from pipeline.reporting.status import rate, read_status, to_text
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.layout import RESULT
from pipeline.sweep.run import open_run
from pipeline.work.claim import claim

START = 1_700_000_000.0
CONFIG = SweepConfig(steps=(10, 50), eta=(0.0,), num_images=200, batch_size=20, shard_size=20)


def content(state, age=0.0, **changes):
    """A result.json of a run that began at START, last written `age` seconds before now."""
    at = {name: datetime.fromtimestamp(t, UTC).isoformat() for name, t in (("started", START), ("updated", NOW - age))}
    counts = {"settings": 2, "images": 400, "images_drawn": 80, "failures": {}, "gpu_hours": 1.5, "cpu_hours": 0.0}
    return {"state": state, "stages": {}, **at, **counts, **changes}


NOW = START + 100


@pytest.fixture
def opened(tmp_path):
    """Of 10 shards a setting: of S = 50 one old and four of this run, 10 s apart."""
    opened = open_run(CONFIG.model_copy(update={"out": str(tmp_path / "out")}))
    claim(opened)
    for shard, written in zip(opened.shards()[10:15], (-5000, 50, 60, 70, 80), strict=True):
        opened.storage.write(shard.path("images"), b"x")
        os.utime(tmp_path / "out" / shard.path("images"), (START + written, START + written))
    return opened


def status(opened):
    return read_status(opened.storage, opened.shards(), NOW)


def test_rates_and_time_left_are_of_this_run(opened):
    stages = {"drawing": {"ddim-S50-eta0-linear": {"images": 180, "done": 80, "in_flight": 3, "failed": 1}}}
    opened.storage.write_json(RESULT, content("running", age=20, stages=stages))
    found = status(opened)
    assert [(one.images, one.done) for one in found.drawn] == [(200, 0), (200, 100)]
    assert (found.state, found.age) == ("running", 20.0)
    lines = to_text(found).splitlines()
    # 60 images in the 30 s after the first file: 2 a second, so 100 take 50 s; and 100 network calls × images a second
    assert lines[2].split() == ["ddim-S50-eta0-linear", "100", "200", "3", "1", "2.0", "50", "s"]
    # left are 100 × 50 and 200 × 10 network calls × images
    assert lines[3].split() == ["drawn", "in", "all", "100", "400", "2.0", "70", "s"]
    assert lines[-2] == "2 settings, 400 images (80 drawn now), 0 failures, 1.50 GPU hours"


@pytest.mark.parametrize(
    ("written", "state"),
    [
        (content("running", age=200), "running"),
        (content("running", age=400), "killed"),
        (content("stopped", age=400), "stopped"),
        (content("failed", failures={"a/b.parquet": "OSError: full"}), "failed"),
        (content("finished"), "incomplete"),
        (None, "unknown"),
    ],
)
def test_every_state_is_told_apart(opened, written, state):
    if written:
        opened.storage.write_json(RESULT, written)
    found = status(opened)
    assert found.state == state
    text = to_text(found)
    left = [line.endswith(" s") for line in text.splitlines()[1:4]]  # S = 10 has no rate, S = 50 and the whole have
    assert ("a/b.parquet: OSError: full" in text) == (state == "failed")
    assert left == [False, state == "running", state == "running"]


def test_one_listing_a_setting_and_no_file_is_opened(opened, monkeypatch):
    listed = []
    dated = opened.storage.dated
    monkeypatch.setattr(opened.storage, "dated", lambda folder: listed.append(folder) or dated(folder))
    monkeypatch.setattr(opened.storage, "read", lambda path: pytest.fail(path))
    status(opened)
    assert listed == [f"images/setting=ddim-S{steps}-eta0-linear" for steps in (10, 50)]


def test_a_rate_needs_two_files():
    assert math.isnan(rate([]))
    assert math.isnan(rate([(1.0, 20)]))
    assert rate([(1.0, 20), (3.0, 30), (6.0, 20)]) == 10.0


def test_the_job_tells_the_state_by_its_exit_status(tmp_path, monkeypatch, capsys):
    def run_here(*arguments):
        monkeypatch.setattr(sys, "argv", ["status.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / "jobs" / "status.py"), run_name="__main__")
        return ended.value.code, *capsys.readouterr()

    opened = draw_and_measure(tmp_path / "out")
    assert run_here("--out", tmp_path / "out")[0] == 1  # drawn by hand: nobody said that it finished
    for state, expected in (("running", 3), ("stopped", 1), ("finished", 0)):
        opened.storage.write_json(RESULT, content(state, age=NOW - time.time()))
        code, out, err = run_here("--out", tmp_path / "out")
        assert (code, err, state in out) == (expected, "", True)
    code, _, err = run_here("--out", tmp_path)
    assert (code, len(err.splitlines())) == (2, 1)


def test_a_sweep_says_how_it_ended(tmp_path):
    """By the real command: nothing to draw is finished, and what earlier runs have cost stays in the sum."""
    opened = draw_and_measure(tmp_path / "out")
    opened.storage.write_json(RESULT, content("stopped"))
    code, _, err = run_here("sweep", *GRID, "--out", tmp_path / "out")
    assert (code, err.splitlines()[-1]) == (
        0,
        "finished: 2 settings, 480 images (0 drawn now), 0 failures, 1.50 GPU hours",
    )
    written = opened.storage.read_json(RESULT)
    assert (written["state"], written["gpu_hours"], written["images_drawn"]) == ("finished", 1.5, 0)
