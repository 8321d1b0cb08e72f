"""Studies in this process: opened, done, killed in the middle, damaged."""

from in_process import InProcess

from pipeline.diffusion.network import UNet
from pipeline.work.claim import claim
from pipeline.work.inventory import take_inventory
from pipeline.work.perform import perform
from pipeline.work.verify import verify


def do(work):
    """Claim the study's output and do what is missing."""
    claim(work.study)
    perform(work, InProcess())
    return work


def files(work):
    return [work.file(task.item) for task in work.planned()]


def sizes_of_calls(monkeypatch, work):
    """Do the study and return how many images its network calls had, and their channels and size."""
    seen, call = set(), UNet.__call__
    monkeypatch.setattr(UNet, "__call__", lambda self, x_t, *more: seen.add(tuple(x_t.shape)) or call(self, x_t, *more))
    do(work)
    return seen


def problems(work):
    inventory = take_inventory(work.study.out, None)
    return [(problem.path, problem.kind) for problem in verify(inventory, InProcess())]
