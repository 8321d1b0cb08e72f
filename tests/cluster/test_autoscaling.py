"""cluster.yaml's node types booted for real on this machine: from no GPU to as many as are asked for, and back."""

import json
import subprocess
import sys

import pytest
import yaml
from cluster_sweep import GRID, digests
from clusters import head, wait_until
from processes import ROOT, start

from pipeline.sweep.run import saved_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

HEAD_ID = "f" * 51 + "00000"
"""As the fake provider knows the head."""
ALIVE = """
import json, ray
ray.init(logging_level="ERROR", log_to_driver=False)
print(json.dumps([node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"]]))
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    module = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"

    def write(gcs_port):
        config["provider"] = {
            "type": "external",
            "module": module,
            "head_node_id": HEAD_ID,
            "launch_multiple": True,
            "gcs_address": f"127.0.0.1:{gcs_port}",
        }
        config["docker"] = {}
        config["auth"] = {}
        config["file_mounts"] = {}  # the head's environment has a token
        config["idle_timeout_minutes"] = 0.1
        for node in config["available_node_types"].values():
            node["resources"]["object_store_memory"] = 100 * 2**20
        # the fake provider calls the head by this name
        config["available_node_types"]["ray.head.default"] = config["available_node_types"].pop("head")
        config["head_node_type"] = "ray.head.default"
        file = tmp_path_factory.mktemp("cluster") / "cluster.json"
        file.write_text(json.dumps(config))
        return file

    environment = {
        "RAY_FAKE_CLUSTER": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
    }
    with head("--num-cpus=0", "--num-gpus=0", autoscaling=write, **environment) as running:
        yield running


def gpus(cluster):
    """Return the GPUs of each node."""
    command = [sys.executable, "-c", ALIVE]
    ended = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, check=True, timeout=60)
    # the autoscaler may have a word of its own in the same stream
    return sorted(json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("["))))


def test_from_nothing_to_the_gpus_that_are_asked_for_and_back(cluster, undisturbed, tmp_path):
    assert gpus(cluster) == [0]
    out = tmp_path / "out"
    sweep = start("sweep", *GRID, "--out", out, "--num-workers", 2, **cluster.environment)
    wait_until(lambda: sweep.poll() is not None or gpus(cluster) == [0, 1, 1], 200)
    _, err = sweep.communicate(timeout=400)
    assert sweep.returncode == 0, err
    assert digests(out) == undisturbed
    assert "torch sees none there: it draws on the CPU" in err  # GPUs are a number here
    result = saved_run(str(out)).storage.read_json("result.json")
    assert result["gpu_hours"] > 0
    assert result["cpu_hours"] > 0  # metrics take cores, and no GPU
    assert wait_until(lambda: gpus(cluster) == [0], 200)


def test_a_cluster_that_never_grows_is_an_end_with_a_reason(cluster, tmp_path):
    """No node type has four GPUs."""
    arguments = ["--gpus-per-worker", 4, "--start-timeout", 5]
    sweep = start("sweep", *GRID, "--out", tmp_path / "out", *arguments, **cluster.environment)
    _, err = sweep.communicate(timeout=300)
    assert sweep.returncode == 1
    assert "error: no worker became ready in 5 s" in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()
