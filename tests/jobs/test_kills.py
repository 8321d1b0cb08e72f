"""A sweep that is killed or interrupted in the middle of its work, and goes on."""

import contextlib
import os
import signal

import psutil
import pytest
from drawn import GRID, assert_complete, images, wait_for_images
from here import run_here
from processes import assert_ended, communicate, start, title


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
    status, _, err = run_here("sweep", *GRID, "--out", out)  # which also removes what a killed commit left
    assert (status, "nothing to do" in err) == (0, victim == "actor"), err
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
    assert_ended(family)  # a worker that was suspended in a commit leaves a temporary file; the next run removes it
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
