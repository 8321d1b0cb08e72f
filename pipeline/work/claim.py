"""Claim an output by its first file: sweep.json, study.json, or evaluation.json for another measurement."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from pipeline import UserError
from pipeline.cluster.executor import Cluster, cluster
from pipeline.cluster.monitor import Patience
from pipeline.cluster.resources import Request, joins_a_cluster
from pipeline.cluster.task import Task, Work
from pipeline.storage.store import DamagedFileError, StorageError
from pipeline.sweep.grid import Setting
from pipeline.sweep.images import IMAGES_CARD
from pipeline.sweep.layout import CARD, RESULT, SWEEP
from pipeline.sweep.opened import Opened
from pipeline.sweep.run import Run
from pipeline.work.kind import File, Output, RunWork, sealed_json

Content = tuple[str, dict[str, Any]]
"""Path and content of a file."""


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
        opened.storage.remove_stale_temporaries()
        if joined is None or not joins_a_cluster():
            opened.storage.write_json(opened.first_file, opened.to_json())
        else:
            _claim_from_worker(opened, joined)
        if opened.first_file == SWEEP and CARD not in opened.storage.names():
            opened.storage.write(CARD, IMAGES_CARD.encode())
    except (OSError, StorageError, DamagedFileError) as error:
        raise UserError(f"--out {opened.out} cannot be written: {error}") from error


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


def _claim_from_worker(opened: Opened, joined: Cluster) -> None:
    work = FirstFile(opened)
    if failures := joined.pool(work.on_gpu).run(work, work.tasks(), Patience(work.name), first=True):
        raise StorageError(f"by a worker: {failures[0].error}")
    seen = None
    with contextlib.suppress(DamagedFileError):
        seen = opened.storage.read_json(opened.first_file)
    if seen != json.loads(json.dumps(opened.to_json())):
        raise DamagedFileError("what a worker writes there is not seen here: give a URL, or a disk that all share")
