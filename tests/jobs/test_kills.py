"""A sweep that is killed, interrupted and told to stop in the middle of its work, and goes on each time."""

import contextlib
import json
import os
import signal

import psutil
import pytest
from drawn import GRID, assert_complete, images, wait_for_images
from here import run_here
from processes import assert_ended, communicate, start, title

TOTAL = 18  # files of images


def result(out):
    return json.loads((out / "result.json").read_text())


def started(out):
    """A sweep that has drawn two files more than are there, and all processes below it."""
    before = len(images(out))
    process = start("sweep", *GRID, "--out", out)
    wait_for_images(process, out, before + 2)
    assert result(out)["state"] == "running"
    return process, psutil.Process(process.pid).children(recursive=True)


def kill(out):
    """By SIGKILL of the driver alone."""
    process, family = started(out)
    process.kill()
    process.communicate()
    # Ray's own agents notice within two minutes that their raylet is gone; they hold no work
    assert_ended(family, but=("ray::DashboardAgent", "ray::RuntimeEnvAgent"))
    assert 2 <= len(images(out)) < TOTAL


def press_ctrl_c(out):
    """It ends at once, and says how to go on."""
    process, family = started(out)
    workers = [member for member in family if title(member).startswith("ray::Host")]
    for worker in workers:
        worker.suspend()  # so that no shard in flight can end: who waits for one, waits for ever
    drawn = len(images(out))
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
    assert_ended(family)  # a worker that was suspended in a commit leaves a temporary file; the next run removes it
    assert len(images(out)) == drawn < TOTAL
    status, plan, _ = run_here("sweep", *GRID, "--out", out, "--dry-run")
    assert (status, f"{drawn} shards found, {TOTAL - drawn} missing" in plan) == (0, True), plan


def tell_it_to_stop(out):
    """It ends in order, and counts what it did: finished, failed and stopped are told apart by its result."""
    before = len(images(out))
    process, family = started(out)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):  # to the driver alone, as a service manager may
        process.send_signal(number)
    _, err = communicate(process)
    assert process.returncode == 130
    assert_ended(family)
    assert not list(out.rglob("*.tmp"))
    assert "Traceback" not in err
    stopped = result(out)
    assert (stopped["state"], stopped["failures"]) == ("stopped", {})
    assert f"stopped: 2 settings, 900 images ({stopped['images_drawn']} drawn now), 0 failures" in err
    # every shard that was counted is there; of those in flight a worker may have finished one
    assert stopped["images_drawn"] // 50 <= len(images(out)) - before < TOTAL - before
    assert stopped["cpu_hours"] > 0


@pytest.mark.parametrize("ends", [(kill, tell_it_to_stop), (press_ctrl_c,)], ids=["kill and stop", "ctrl-c"])
def test_whatever_ends_a_sweep_the_same_command_goes_on_and_draws_the_same(tmp_path, expected, ends):
    out = tmp_path / "out"
    for end in ends:
        done = {file: file.stat().st_mtime_ns for file in images(out)}
        end(out)
        assert {file: file.stat().st_mtime_ns for file in done} == done, end
    done = {file: file.stat().st_mtime_ns for file in images(out)}
    hours = result(out)["cpu_hours"]
    status, _, err = run_here("sweep", *GRID, "--out", out)
    assert status == 0, err
    drawn = 50 * (TOTAL - len(done))
    assert f"finished: 2 settings, 900 images ({drawn} drawn now), 0 failures" in err.splitlines()[-1]
    assert result(out)["state"] == "finished"
    assert result(out)["cpu_hours"] > hours
    assert_complete(out, expected)
    assert {file: file.stat().st_mtime_ns for file in done} == done
