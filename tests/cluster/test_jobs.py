"""Sweeps as jobs of a running cluster: followed to the end, failing, stopped and resumed, measured by Prometheus."""

import re
import urllib.request

import pytest
from cluster_sweep import GRID, SHARDS, digests, drawn
from clusters import head, wait_until
from places import draw_and_measure

from pipeline.cluster.monitor import METRICS
from pipeline.sweep.run import saved_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def cluster():
    with head("--num-cpus=2", RAY_metrics_report_interval_ms="1000") as running:
        yield running


@pytest.fixture
def submit(cluster, working_dir):
    def submit(name, out, *options):
        entrypoint = ["--", "python", "jobs/sweep.py", *GRID, "--out", out]
        return cluster.job("submit", "--working-dir", working_dir[0], "--submission-id", name, *options, *entrypoint)

    return submit


def result(out):
    return saved_run(str(out)).storage.read_json("result.json")


def test_a_job_is_followed_to_its_end_and_measured(cluster, submit, working_dir, undisturbed, tmp_path):
    submit("whole", tmp_path / "out", "--no-wait")
    wait_until(lambda: drawn(tmp_path / "out"), 300)
    scraped = wait_until(lambda: scrape(cluster), 120)
    for name, (kind, _) in METRICS.items():
        if name != "ddim_shard_failures_total":  # a counter that nothing has counted is not there
            there = scraped[f"ray_{name}_count" if kind == "histogram" else f"ray_{name}"]
            assert there.keys() & {("drawing", f"ddim-S20-eta{eta}") for eta in ("0-linear", "hat-linear-clip")}, name
    shards = scraped["ray_ddim_shard_seconds_count"]
    assert scraped["ray_ddim_images_total"] == {key: 40 * count for key, count in shards.items()}

    followed = cluster.job("logs", "whole", "--follow")
    assert wait_until(lambda: cluster.state("whole") != "RUNNING" and cluster.state("whole"), 60) == "SUCCEEDED"
    assert "FID ↓, linear τ" in followed.stdout
    assert "finished: 2 settings, 1,920 images (1,920 drawn now), 0 failures" in followed.stdout
    assert digests(tmp_path / "out") == undisturbed
    assert result(tmp_path / "out")["state"] == "finished"
    places = working_dir[1]()
    assert places, "no worker was seen"
    assert all("runtime_resources/working_dir_files" in place for place in places)


def test_a_failing_sweep_is_a_failed_job(cluster, submit, tmp_path):
    opened = draw_and_measure(tmp_path / "out", num_images=960, shard_size=40)
    shard = opened.shards()[3]
    opened.storage.move(shard.path("images"), "_set-aside/image")
    (tmp_path / "out" / shard.path("images")).mkdir()  # a folder where the file has to go
    followed = submit("failing", tmp_path / "out")
    assert (followed.returncode, cluster.state("failing")) == (1, "FAILED")
    assert f"{shard.setting.slug}/{shard.name}: IsADirectoryError" in followed.stdout
    written = result(tmp_path / "out")
    assert (written["state"], list(written["failures"])) == ("failed", [f"{shard.setting.slug}/{shard.name}"])


def test_bad_input_fails_the_job_and_writes_nothing(cluster, submit):
    followed = submit("relative", "runs/lost")
    assert followed.returncode == 1
    assert "exit code 2" in followed.stdout
    assert "error: --out runs/lost: a relative path is lost on a cluster" in followed.stdout


def test_a_job_is_stopped_and_resumed(cluster, submit, undisturbed, tmp_path):
    out = tmp_path / "out"
    submit("stopped", out, "--no-wait")
    wait_until(lambda: drawn(out) >= SHARDS // 4, 300)
    stopped = cluster.job("stop", "stopped")
    assert stopped.returncode == 0, stopped.stdout
    assert cluster.state("stopped") == "STOPPED"
    assert SHARDS // 4 <= drawn(out) < SHARDS
    written = result(out)
    assert written["state"] == "stopped"
    there = drawn(out)
    # what was counted as done is there, and of those in flight one a worker at most
    assert there - 2 <= written["images_drawn"] // 40 <= there

    followed = submit("resumed", out)
    assert followed.returncode == 0, followed.stdout
    assert f"({1920 - 40 * there:,} drawn now)" in followed.stdout
    assert digests(out) == undisturbed
    assert result(out)["cpu_hours"] > written["cpu_hours"]


def scrape(cluster):
    """Return name → (stage, setting) → value of the only node, or None while it exports nothing of ours."""
    (node,) = cluster.get("/nodes?view=summary")["data"]["summary"]
    address = f"http://{node['raylet']['nodeManagerAddress']}:{node['raylet']['metricsExportPort']}/metrics"
    with urllib.request.urlopen(address, timeout=30) as answer:
        text = answer.read().decode()
    found = {}
    for name, labels, value in re.findall(r"^(ray_ddim_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
        tags = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        found.setdefault(name, {})[tags["stage"], tags["setting"]] = float(value)
    return found if found.get("ray_ddim_images_total") else None
