"""Interrupts, SIGTERM and SIGHUP at any moment of a job, in bursts: status 130, no traceback, and the end is done."""

import os
import signal
import subprocess
import sys
import time

import pytest
from processes import ROOT

from pipeline.storage.store import Storage

JOB = """
import pipeline.cli
import atexit
import json
import sys
import time
from pathlib import Path

from pipeline.storage.store import Storage
from pipeline.sweep.result import Result

moment, storage, seconds = sys.argv[1], Storage(sys.argv[2]), float(sys.argv[3])
reached = []


def reach(here):
    if here == moment and not reached:
        reached.append(here)
        print(here, flush=True)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.001)


def write_json(path, content, write=storage.write_json):
    if content["state"] != "running":
        reach("writing its result")
    write(path, content)


def main():
    try:
        with Result(storage, storage).recorded(1, 1):
            try:
                reach("working")
                raise ValueError("a bug")
            finally:
                reach("ending")
                if moment == "working":
                    raise OSError("the terminal is gone")
    except ValueError:
        return 0


reach("importing")
storage.write_json = write_json
atexit.register(reach, "gone")
pipeline.cli.exit_with(main)
"""


@pytest.fixture
def start(tmp_path):
    """Start a job that says so at a moment and stays there for a while; ignored signals stay ignored, as by nohup."""
    (tmp_path / "jobs").mkdir()
    file = tmp_path / "jobs" / "job.py"
    file.write_text(JOB, encoding="utf-8")

    def go(moment, ignored=(), seconds=60):
        def inherit():
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it
            for number in ignored:
                signal.signal(number, signal.SIG_IGN)

        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, file, moment, tmp_path / "out", str(seconds)]
        process = subprocess.Popen(command, env=environment, preexec_fn=inherit, **pipes)
        assert process.stdout.readline() == f"{moment}\n", process.communicate()[1]
        return process

    return go


def burst(process, *signals):
    for number in signals:
        process.send_signal(number)
        time.sleep(0.02)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    return process.returncode


def state(tmp_path):
    return Storage(str(tmp_path / "out")).read_json("result.json")["state"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_three_while_it_works_stop_it_in_order(start, tmp_path, number):
    """Also where what it does at its end fails, as print does on a terminal that was closed."""
    assert burst(start("working"), *[number] * 3) == 130
    assert state(tmp_path) == "stopped"


def test_three_while_it_imports_end_it_at_once(start, tmp_path):
    assert burst(start("importing"), *[signal.SIGINT] * 3) == 130
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("moment", "ended"), [("ending", "stopped"), ("writing its result", "failed")])
def test_three_while_it_ends_leave_its_result_whole(start, tmp_path, moment, ended):
    """In the second it had failed before."""
    assert burst(start(moment), *[signal.SIGINT] * 3) == 130
    assert state(tmp_path) == ended


def test_three_after_all_is_done_change_nothing(start, tmp_path):
    assert burst(start("gone", seconds=0.3), *[signal.SIGINT] * 3) == 0
    assert state(tmp_path) == "failed"


def test_what_nohup_ignores_stays_ignored(start, tmp_path):
    process = start("working", ignored=[signal.SIGHUP])
    assert burst(process, signal.SIGHUP, signal.SIGHUP, signal.SIGTERM) == 130
    assert state(tmp_path) == "stopped"
    process = start("ending", ignored=[signal.SIGHUP], seconds=0.3)
    assert burst(process, signal.SIGHUP) == 0
