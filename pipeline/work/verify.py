"""Verify: read every file of an output; name bad, missing and surplus ones, and set them aside."""

import itertools

from pipeline.cluster.executor import Cluster
from pipeline.cluster.task import Task, Tasks, Work
from pipeline.storage.store import DamagedFileError
from pipeline.sweep.layout import SET_ASIDE
from pipeline.work.inventory import Inventory, Problem
from pipeline.work.kind import Claims, File, Place
from pipeline.work.perform import perform


class VerifyWorker:
    """Reads files and checks every byte of their pages."""

    def __init__(self, device: str, arguments: Place) -> None:
        self.storage = arguments.open()

    def do(self, file: File) -> Claims | str:
        """Return the claims of a file, or what is wrong with it."""
        try:
            return file.read(self.storage)
        except DamagedFileError as error:
            return str(error)


class Verify(Work[Place, File, Claims | str]):
    """Checks every file of an output that is there."""

    name = "verifying"
    on_gpu = False
    worker = VerifyWorker

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory

    @property
    def arguments(self) -> Place:
        """The output."""
        return Place.of(self.inventory.output)

    def tasks(self) -> Tasks[File]:
        """Return one task per file that is there and not empty."""
        listed = self.inventory.listed

        def task(file: File) -> Task[File]:
            if file.shard is None:
                return Task(file, file.path, None, 0, listed[file.path])
            return Task(file, file.path, file.shard.setting.slug, file.shard.rows, listed[file.path])

        return Tasks([file for path, file in self.inventory.files.items() if listed.get(path)], task)


def verify(inventory: Inventory, cluster: Cluster) -> list[Problem]:
    """Read every file in parallel and return all problems."""
    said: dict[str, Claims | str] = {}
    perform(Verify(inventory), cluster, on_done=lambda file, answer: said.update({file.path: answer}))
    return inventory.read_problems(said) + inventory.unread_problems()


def set_aside(inventory: Inventory, problems: list[Problem]) -> list[str]:
    """Move bad and surplus files, and files made from bad or missing ones, under `_set-aside/`; return their paths.

    Nothing is deleted: if an earlier file has the same name there, the new one gets a number.
    """
    prefix = f"{SET_ASIDE}/"
    paths = sorted(inventory.made_from(problems))
    for path in paths:
        names = (f"{prefix}{path}.{i}" if i else prefix + path for i in itertools.count())
        inventory.output.storage.move(path, next(name for name in names if name not in inventory.set_aside))
    return paths
