"""Sweeps by docs/sweep.sbatch on a real Slurm of two nodes: over both, requeued half-way, and two beside each other."""

import tempfile
from pathlib import Path

import psutil
import pytest
from cluster_sweep import GRID, SHARDS, digests, drawn
from clusters import BIN, authentication, wait_until
from processes import ROOT, title
from slurm import missing, read_log, slurm

from pipeline.sweep.run import saved_run

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(missing()), reason=f"no {', '.join(missing())} on this machine: see docs/slurm.md"),
]


@pytest.fixture(scope="module")
def running():
    # not tmp_path: a socket's path has 107 characters at most
    with tempfile.TemporaryDirectory(prefix="slurm", dir="/tmp") as folder, slurm(Path(folder)) as running:
        yield running


@pytest.fixture
def submit(running, working_dir, tmp_path):
    token = authentication(tmp_path)["RAY_AUTH_TOKEN_PATH"]
    environment = {"RAY_AUTH_TOKEN_PATH": token, "PATH": f"{BIN}:{running.environment['PATH']}"}

    def submit(nodes, out):
        options = [
            f"--nodes={nodes}",
            "--cpus-per-task=1",
            f"--chdir={working_dir[0]}",
            f"--output={tmp_path}/%x-%j.log",
        ]
        return running(
            "sbatch", "--parsable", *options, ROOT / "docs" / "sweep.sbatch", *GRID, "--out", out, **environment
        )

    return submit


def at_work(job):
    """The nodes on which the job's Ray has a worker, by the pid of their raylet."""
    workers = [process for process in psutil.process_iter() if title(process).startswith("ray::Host")]
    raylets = [worker.parent() for worker in workers]
    return {raylet.pid for raylet in raylets if raylet and f"/tmp/ray-{job}/" in " ".join(raylet.cmdline())}


def completed(running, job, tmp_path):
    ended = wait_until(lambda: (state := running.state(job)) not in ("PENDING", "RUNNING", "COMPLETING") and state, 300)
    assert ended == "COMPLETED", read_log(tmp_path, job)


def test_a_sweep_over_two_nodes_is_requeued_and_goes_on(running, submit, undisturbed, tmp_path):
    out = tmp_path / "out"
    job = submit(2, out)
    wait_until(lambda: len(at_work(job)) == 2 and drawn(out) >= 6, 180)
    running("scontrol", "requeue", job)
    half = wait_until(lambda: running.state(job) == "PENDING" and drawn(out), 60)
    assert half < SHARDS
    running("scontrol", "update", f"JobId={job}", "StartTime=now")  # Slurm waits two minutes before it begins again
    completed(running, job, tmp_path)
    assert digests(out) == undisturbed
    result = saved_run(str(out)).storage.read_json("result.json")
    assert result["state"] == "finished"
    assert result["images_drawn"] <= (SHARDS - half) * 40 + 2 * 40


def test_two_sweeps_on_one_machine_do_not_meet(running, submit, undisturbed, tmp_path):
    outs = [tmp_path / "one", tmp_path / "other"]
    jobs = [submit(1, out) for out in outs]
    wait_until(lambda: [running.state(job) for job in jobs] == ["RUNNING"] * 2, 60)
    for job, out in zip(jobs, outs, strict=True):
        completed(running, job, tmp_path)
        assert digests(out) == undisturbed


def test_a_sweep_that_fails_is_a_failed_job(running, submit, tmp_path):
    job = submit(1, "relative")
    assert (
        wait_until(lambda: (state := running.state(job)) not in ("PENDING", "RUNNING", "COMPLETING") and state, 120)
        == "FAILED"
    )
    assert "--out relative" in read_log(tmp_path, job)
