"""A sweep that joins a cluster, and what it says where that cannot work: one line, exit status 2, nothing written."""

import subprocess
import sys

import pytest
from cluster_sweep import GRID
from clusters import head
from places import draw_and_measure
from processes import ROOT, run
from s3 import environment, moto, options

from pipeline.storage.store import Storage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

OTHER_RAY = """
import runpy, sys
import ray
ray.__version__ = "2.0.0"
sys.argv = ["sweep.py", *sys.argv[1:]]
runpy.run_path("jobs/sweep.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def cluster():
    # the workers have no key to S3 and nobody to ask for one
    with head("--num-cpus=1", AWS_EC2_METADATA_DISABLED="true") as running:
        yield running


def refused(answer):
    status, out, err = answer
    lines = [line for line in err.splitlines() if not line.startswith("[")]  # Ray's own
    assert (status, out, len(lines)) == (2, "", 1), err
    return lines[0]


def test_gpus_that_are_not_there(cluster, tmp_path):
    arguments = ["--out", tmp_path / "out", "--gpus-per-worker", "0.5"]
    line = refused(run("sweep", *GRID, *arguments, **cluster.environment))
    assert line == (
        "error: --gpus-per-worker 0.5: the cluster has 0 GPUs and 1 CPU cores on 1 node, too few for one worker"
    )
    assert not (tmp_path / "out").exists()


def test_an_output_that_workers_cannot_write(cluster):
    with moto() as server:
        Storage("s3://bucket", options(server))._fs.mkdir("bucket")
        line = refused(run("sweep", *GRID, "--out", "s3://bucket/out", **cluster.environment, **environment(server)))
        assert line.startswith("error: --out s3://bucket/out cannot be written: ")
        assert Storage("s3://bucket", options(server)).names() == []


def test_an_output_on_a_disk_of_the_workers_own(cluster, tmp_path):
    """The path is another folder in every process: as where machines have disks of their own."""
    line = refused(run("sweep", *GRID, "--out", "/proc/self/cwd/nowhere/out", **cluster.environment))
    assert "what a worker writes there is not seen here: give a URL, or a disk that all share" in line
    assert not (ROOT / "nowhere").exists()


def test_a_nightly_joins_and_a_worker_claims_the_night(cluster, tmp_path):
    baseline, nights = tmp_path / "baseline", tmp_path / "nights"
    draw_and_measure(tmp_path / "drawn")
    status, _, err = run("nightly", "--update-baseline", "--baseline", baseline, "--out", tmp_path / "drawn")
    assert status == 0, err
    arguments = ["--baseline", baseline, "--speed-tolerance", "0.99"]
    status, out, err = run("nightly", *arguments, "--out", nights, **cluster.environment)
    assert status == 0, err
    assert "every image has the baseline's pixels" in out
    with moto() as server:
        Storage("s3://bucket", options(server))._fs.mkdir("bucket")
        variables = cluster.environment | environment(server)
        line = refused(run("nightly", *arguments, "--out", "s3://bucket/nights", **variables))
        assert line.startswith("error: --out s3://bucket/nights/runs/")
        assert " cannot be written: " in line
        assert Storage("s3://bucket", options(server)).names() == []


def test_another_version_of_ray(cluster, tmp_path):
    command = [sys.executable, "-c", OTHER_RAY, *GRID, "--out", str(tmp_path / "out")]
    ended = subprocess.run(
        command, cwd=ROOT, env=cluster.environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    line = refused((ended.returncode, ended.stdout, ended.stderr))
    assert f"RAY_ADDRESS {cluster.address}: " in line
    assert "Ray: 2.0.0" in line
    assert not (tmp_path / "out").exists()


def test_a_sweep_joins_by_its_address_and_takes_its_code_along(cluster, working_dir, tmp_path):
    folder, places = working_dir
    command = [sys.executable, "jobs/sweep.py", *GRID, "--steps", "5", "--out", str(tmp_path / "out")]
    ended = subprocess.run(
        command, cwd=folder, env=cluster.environment | {"PYTHONPATH": str(folder)}, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    of_workers = places() - {str(folder / "pipeline" / "work" / "draw.py")}  # the driver's own
    assert of_workers
    assert all("runtime_resources/working_dir_files" in place for place in of_workers)
