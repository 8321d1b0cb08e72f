"""A cluster whose nodes come and go under a sweep; a script of its own, since ray.cluster_utils wants a process.

    python nodes.py one|all|late OUT ARGUMENTS OF THE SWEEP

Prints as JSON the sweep's exit status, its standard error, and the nodes that had workers.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ray
from ray._private.state import available_resources_per_node
from ray.cluster_utils import Cluster

ROOT = Path(__file__).parents[2]


def drawn(out):
    return len(list(Path(out).glob("images/*/*.parquet")))


def main(scenario, out, *arguments):
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        head = {"num_cpus": 0, "object_store_memory": 100 * 2**20, "include_dashboard": False, "temp_dir": folder}
        cluster = Cluster(initialize_head=True, head_node_args=head)

        def add():
            return cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)

        nodes = [add()] if scenario == "late" else [add(), add()]
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
        sweep = subprocess.Popen(
            [sys.executable, str(ROOT / "jobs" / "sweep.py"), *arguments, "--out", out],
            env=os.environ | {"RAY_ADDRESS": cluster.address},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        while drawn(out) < 8 and sweep.poll() is None:
            time.sleep(0.1)
        at = drawn(out)
        if scenario == "late":
            nodes.append(add())
        else:
            for node in nodes[: 1 if scenario == "one" else 2]:
                cluster.remove_node(node, allow_graceful=False)
            if scenario == "all":
                nodes.append(add())
        used = set()
        while sweep.poll() is None:
            total = {node["NodeID"]: node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]}
            free = available_resources_per_node()
            used |= {node for node, cpus in total.items() if cpus and free.get(node, {}).get("CPU", 0) < cpus}
            time.sleep(0.2)
        said = {"status": sweep.returncode, "err": sweep.communicate()[1], "at": at}
        said |= {"last_was_used": nodes[-1].node_id in used}
        ray.shutdown()
        cluster.shutdown()
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
