"""Claim an output by its first file: sweep.json, study.json, or evaluation.json for another measurement."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

from pipeline import UserError
from pipeline.cluster.executor import Cluster, cluster
from pipeline.cluster.monitor import Patience
from pipeline.cluster.resources import Request, joins_a_cluster
from pipeline.cluster.task import Task, Work
from pipeline.storage.store import DamagedFileError, StorageError
from pipeline.sweep.grid import Setting
from pipeline.sweep.images import IMAGES_CARD
from pipeline.sweep.layout import CARD, RESULT, SWEEP
from pipeline.sweep.output import Opened
from pipeline.sweep.run import Run
from pipeline.work.kind import File, Output, RunWork, sealed_json

Content = tuple[str, dict[str, Any]]
"""Path and content of a file."""
AnOpened = TypeVar("AnOpened", bound=Opened)


class Writer:
    """Writes to the output from a worker's machine."""

    def __init__(self, device: str, arguments: Output) -> None:
        self.storage = arguments.open()

    def do(self, item: Content) -> None:
        """Commit a file as sealed JSON."""
        self.storage.write_json(*item)


class FirstFile(Work[Output, Content, None]):
    """One worker writes the first file, so that more workers are requested only after one could write."""

    name = "first worker"
    on_gpu = True
    worker = Writer

    def __init__(self, opened: Opened) -> None:
        self.opened = opened

    @property
    def arguments(self) -> Output:
        """The output."""
        return Output.of(self.opened)

    def tasks(self) -> list[Task[Content]]:
        """Return the task of writing the first file, which each run does again, since the grid may have grown."""
        name = self.opened.first_file
        return [Task((name, self.opened.to_json()), name, None, 0, 1)]


class Claim(RunWork[Output, Content, None]):
    """The first files of a sweep and of its measurements."""

    name = FirstFile.name
    on_gpu = True
    worker = Writer

    @property
    def arguments(self) -> Output:
        """The output."""
        return Output.of(self.run)

    def tasks(self) -> list[Task[Content]]:
        """Return the task of writing sweep.json."""
        return FirstFile(self.run).tasks()

    def files(self, settings: Sequence[Setting], found: Mapping[str, int]) -> Iterable[File]:
        """Return sweep.json, result.json and evaluation.json."""
        yield File(SWEEP, partial(sealed_json, SWEEP))
        yield File(RESULT, partial(sealed_json, RESULT), needed=False)
        if self.run.measurement.path:
            path = self.run.paths.evaluation
            yield File(path, partial(sealed_json, path), needed=False)


def claim(opened: Opened, joined: Cluster | None = None) -> None:
    """Write the first file; from a worker, like all later files, if the workers of a cluster may be on other machines.

    Raises:
        UserError: the output cannot be written, or a file that a worker writes is not visible here.
        PoolBrokenError: no worker became ready.

    """
    try:
        saved = _saved(opened)
        opened = opened if saved is None else opened.beside(saved)
        opened.storage.remove_stale_temporaries()
        if joined is None or not joins_a_cluster():
            opened.storage.write_json(opened.first_file, opened.to_json())
        else:
            _claim_from_worker(opened, joined)
        if saved is None and opened.first_file == SWEEP and CARD not in opened.storage.names():
            opened.storage.write(CARD, IMAGES_CARD.encode())
    except (OSError, StorageError, DamagedFileError) as error:
        raise UserError(f"--out {opened.out} cannot be written: {error}") from error


def publish_as_planned(
    opened: AnOpened, publish: Callable[[AnOpened], str], finished: Callable[[AnOpened], bool]
) -> str:
    """Write the first file again, then the report, and return its text.

    Of several processes in one output the last to end so leaves its plan with its numbers. If another has written its
    plan since, its numbers may be the ones that were overwritten, and are written again.

    Args:
        opened: the output.
        publish: writes the numbers and the report of a plan and returns their text.
        finished: whether all that this needs of a plan is there; if not, whoever has that plan is still at work.

    Raises:
        UserError: the first file is not one of this release.
        DamagedFileError: somebody has removed or broken the first file meanwhile.

    """
    saved = _saved(opened)
    planned = opened if saved is None else opened.beside(saved)
    opened.storage.write_json(opened.first_file, planned.to_json())
    text = publish(opened)  # itself, which knows what this run has cost
    # ends, since each process writes its plan only when it begins and when it ends
    while (there := opened.saved()).config != opened.config and finished(there):
        publish(there)
        opened = there
    return text


def claim_evaluation(run: Run) -> None:
    """Write evaluation.json, the description of the run's measurement.

    Raises:
        UserError: the output cannot be written.

    """
    try:
        run.storage.write_json(run.paths.evaluation, asdict(run.measurement))
    except (OSError, StorageError) as error:
        raise UserError(f"--out {run.config.out} cannot be written: {error}") from error


@contextlib.contextmanager
def claimed(opened: Opened, request: Request) -> Iterator[Cluster]:
    """Start or join a cluster, then claim the output.

    Raises:
        UserError, PoolBrokenError: see `cluster` and `claim`.

    """
    with cluster(request) as joined:
        claim(opened, joined)
        yield joined


def _saved(opened: AnOpened) -> AnOpened | None:
    """Return what the first file has now; None if it is missing, or broken and to be written anew."""
    with contextlib.suppress(DamagedFileError):
        return opened.saved()
    return None


def _claim_from_worker(opened: Opened, joined: Cluster) -> None:
    work = FirstFile(opened)
    if failures := joined.pool(work.on_gpu).run(work, work.tasks(), Patience(work.name), first=True):
        raise StorageError(f"by a worker: {failures[0].error}")
    seen = None
    with contextlib.suppress(DamagedFileError):
        seen = opened.storage.read_json(opened.first_file)
    if seen != json.loads(json.dumps(opened.to_json())):
        raise DamagedFileError("what a worker writes there is not seen here: give a URL, or a disk that all share")
