"""Claim an output by its first file: sweep.json, study.json, or evaluation.json for another measurement."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

from pipeline import UserError
from pipeline.cluster.executor import Cluster
from pipeline.cluster.monitor import Patience
from pipeline.cluster.resources import joins_a_cluster
from pipeline.cluster.task import Task, Work
from pipeline.storage.store import DamagedFileError, StorageError
from pipeline.sweep.images import IMAGES_CARD
from pipeline.sweep.layout import CARD, SWEEP
from pipeline.sweep.output import AnOutput, Output
from pipeline.work.kind import Place

Content = tuple[str, dict[str, Any]]
"""Path and content of a file."""


class Writer:
    """Writes to the output from a worker's machine."""

    def __init__(self, device: str, arguments: Place) -> None:
        self.storage = arguments.open()

    def do(self, item: Content) -> None:
        """Commit a file as sealed JSON."""
        self.storage.write_json(*item)


class FirstFile(Work[Place, Content, None]):
    """One worker writes the first file, so that more workers are requested only after one could write."""

    name = "first worker"
    on_gpu = True
    worker = Writer

    def __init__(self, output: Output) -> None:
        self.output = output

    @property
    def arguments(self) -> Place:
        """The place of the first file."""
        return Place(self.output.url, self.output.storage_options)

    def tasks(self) -> list[Task[Content]]:
        """Return the task of writing the first file, which each run does again, since the grid may have grown."""
        name = self.output.first_file
        return [Task((name, self.output.to_json()), name, None, 0, 1)]


def claim(output: Output, joined: Cluster | None = None) -> None:
    """Write the first file; from a worker, like all later files, if the workers of a cluster may be on other machines.

    Raises:
        UserError: the output cannot be written, or a file that a worker writes is not visible here.
        PoolBrokenError: no worker became ready.

    """
    try:
        saved = _saved(output)
        output = output if saved is None else output.beside(saved)
        output.storage.remove_stale_temporaries()
        if joined is None or not joins_a_cluster():
            output.home.write_json(output.first_file, output.to_json())
        else:
            _claim_from_worker(output, joined)
        if saved is None and output.first_file == SWEEP and CARD not in output.storage.names():
            output.storage.write(CARD, IMAGES_CARD.encode())
    except (OSError, StorageError, DamagedFileError) as error:
        raise UserError(f"--out {output.out} cannot be written: {error}") from error


def publish_as_planned(
    output: AnOutput, publish: Callable[[AnOutput], str], finished: Callable[[AnOutput], bool]
) -> str:
    """Write the first file again, then the report, and return its text.

    Of several processes in one output the last to end so leaves its plan with its numbers. If another has written its
    plan since, its numbers may be the ones that were overwritten, and are written again.

    Args:
        output: the output.
        publish: writes the numbers and the report of a plan and returns their text.
        finished: whether all that this needs of a plan exists; if not, whoever has that plan is still at work.

    Raises:
        UserError: the first file is not one of this release.
        DamagedFileError: somebody has removed or broken the first file meanwhile.

    """
    saved = _saved(output)
    planned = output if saved is None else output.beside(saved)
    output.home.write_json(output.first_file, planned.to_json())
    text = publish(output)  # itself, which knows what this run has cost
    # ends, since each process writes its plan only when it begins and when it ends
    while (latest := output.saved()).config != output.config and finished(latest):
        publish(latest)
        output = latest
    return text


def _saved(output: AnOutput) -> AnOutput | None:
    """Return what the first file has now; None if it is missing, or broken and to be written anew."""
    with contextlib.suppress(DamagedFileError):
        return output.saved()
    return None


def _claim_from_worker(output: Output, joined: Cluster) -> None:
    work = FirstFile(output)
    if failures := joined.pool(work.on_gpu).run(work, work.tasks(), Patience(work.name), first=True):
        raise StorageError(f"by a worker: {failures[0].error}")
    seen = None
    with contextlib.suppress(DamagedFileError):
        seen = output.home.read_json(output.first_file)
    if seen != json.loads(json.dumps(output.to_json())):
        raise DamagedFileError("what a worker writes there is not seen here: give a URL, or a disk that all share")
