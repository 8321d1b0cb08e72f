"""What `verify` finds of a small sweep, in this process."""

from in_process import InProcess

from pipeline.sweep.run import saved_run
from pipeline.sweep.shards import plan
from pipeline.work.inventory import Inventory
from pipeline.work.verify import verify


def verify_all(place):
    """What jobs/verify.py finds, in this process: (problems, inventory)."""
    inventory = Inventory(saved_run(place.url))
    return verify(inventory, InProcess()), inventory


def found(place):
    return sorted((problem.kind, problem.path) for problem in verify_all(place)[0])


def file(place, index=0, kind="images"):
    """Path of a shard's file, local, and in the output."""
    opened = saved_run(place.url)
    path = plan(opened.settings[0], 240, 20)[index].path(kind)
    return opened.storage, path
