"""Workers of a sweep's own Ray keep the memory that they free, and have the niceness of its command."""

import os
import subprocess
import sys

import pytest
from clusters import head
from processes import ROOT

from pipeline.cluster.resources import JEMALLOC

ALLOCATE = """
import os
import resource
import torch
from pipeline.cluster.dispatch import Watcher
from pipeline.cluster.executor import cluster
from pipeline.cluster.resources import Request
from pipeline.cluster.task import Task
from pipeline.work.perform import results_of

class Worker:
    def __init__(self, device, arguments):
        torch.set_num_threads(1)

    def do(self, count):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(count):
            torch.ones(2**25)  # 128 MiB
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, os.nice(0)

class Work:
    name, on_gpu, worker, arguments = "allocating", True, Worker, None

    def tasks(self):
        return [Task(2, "first", None, 0, 2), Task(10, "second", None, 0, 1)]

with cluster(Request(num_workers=1)) as joined:
    _, measured = results_of(Work(), joined.pool(True), Watcher(), first=True)
print(*measured)
"""


def measured(environment):
    """The pages that a worker takes from the system in ten tensors of 32,768 pages each, after others like them.

    And its niceness, that of the command being 3 more than the test's own.
    """
    command = ["nice", "-n", "3", sys.executable, "-c", ALLOCATE]
    environment = environment | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    faults, niceness = map(int, ended.stdout.split())
    return faults, niceness - os.nice(0)


def test_a_worker_takes_no_memory_anew_and_is_as_nice_as_its_command():
    faults, niceness = measured({**os.environ})
    assert faults < 32_768
    assert niceness == 3


@pytest.mark.slow
def test_nor_does_one_of_a_cluster_that_is_started_so():
    with head("--num-cpus=1", **JEMALLOC) as running:
        assert measured(running.environment)[0] < 32_768
