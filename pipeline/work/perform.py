"""The tasks of one stage on actors, followed and noted; and a file written from where workers are."""

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pipeline import RunFailedError
from pipeline.cluster.dispatch import Failure
from pipeline.cluster.executor import ActorPool, metric
from pipeline.cluster.monitor import Monitor, Patience
from pipeline.cluster.resources import Resources
from pipeline.storage.store import DamagedFileError, Storage, StorageError
from pipeline.sweep.grid import Setting
from pipeline.sweep.result import Result
from pipeline.sweep.shards import Shard


class IncompleteError(RunFailedError):
    """Tasks failed for good; the text names each with its last error."""

    def __init__(self, failures: list[Failure]) -> None:
        self.failures = {_name(failure.task): failure.error for failure in failures}
        super().__init__("\n".join(f"{name}: {error}" for name, error in self.failures.items()))


def stage(
    name: str,
    pool: ActorPool,
    method: str,
    tasks: Sequence[Any],
    cost: Callable[[Any], int],
    result: Result | None = None,
    on_done: Callable[[Any, Any], None] = lambda task, result: None,
) -> None:
    """Call an actor's method once for each task, with progress; `result` notes what that does and costs.

    Raises:
        IncompleteError: a task failed for good; all others are done.

    """
    if not tasks:
        return

    def images(task: Shard | Setting | None) -> int:
        return task.rows if isinstance(task, Shard) else 0 if task is None else cost(task)

    def note() -> None:
        if result is not None:
            result.note(name, monitor.summary(), pool.take_seconds(), pool.resources.gpus)

    def publish() -> None:
        if result is not None:
            note()
            result.publish()

    monitor = Monitor(name, tasks, images, cost, metric, publish, on_done)
    try:
        with monitor.progress:
            failures = pool.run(method, tasks, cost, monitor)
    finally:
        note()
    if failures:
        raise IncompleteError(failures)


class Writer:
    """Writes to the output from where workers are. A plain class, as `Sampler` is."""

    def __init__(self, device: str, out: str, storage_options: dict[str, Any] | None) -> None:
        self.storage = Storage(out, storage_options)

    def write(self, task: tuple[str, dict[str, Any]]) -> None:
        """Commit (path, content) as sealed JSON."""
        self.storage.write_json(*task)


def write_from_worker(
    storage: Storage, options: dict[str, Any] | None, resources: Resources, path: str, content: dict[str, Any]
) -> None:
    """Have one worker write a file, so that a fleet is asked for only when one of it can write, and look at it.

    Raises:
        StorageError: it cannot write.
        DamagedFileError: what it writes is not seen here.
        PoolBrokenError: no worker came.

    """
    args = {"out": storage.url, "storage_options": options}
    pool = ActorPool(Writer, args, replace(resources, witness=None, num_workers=1))
    try:
        failures = pool.run("write", [(path, content)], lambda _: 1, Patience("first worker"))
    finally:
        pool.close()
    if failures:
        raise StorageError(f"by a worker: {failures[0].error}")
    seen = None
    with contextlib.suppress(DamagedFileError):
        seen = storage.read_json(path)
    if seen != json.loads(json.dumps(content)):
        raise DamagedFileError("what a worker writes there is not seen here: give a URL, or a disk that all share")


def _name(task: Shard | Setting | None) -> str:
    if isinstance(task, Shard):
        return f"{task.setting.slug}/{task.name}"
    return task.slug if isinstance(task, Setting) else "the reference"
