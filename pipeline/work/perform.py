"""Do the missing tasks of a work, show progress, and record what is done and what it costs."""

from collections.abc import Callable
from typing import Any

from pipeline import RunFailedError
from pipeline.cluster.dispatch import Failure, Watcher
from pipeline.cluster.executor import ActorPool, Cluster, metric
from pipeline.cluster.monitor import Monitor
from pipeline.cluster.task import Arguments, Item, Outcome, Task, Work
from pipeline.sweep.result import Result


class IncompleteError(RunFailedError):
    """All attempts at some tasks failed; the message names each task with its last error."""

    def __init__(self, failures: list[Failure]) -> None:
        self.failures = {failure.task.name: failure.error for failure in failures}
        super().__init__("\n".join(f"{name}: {error}" for name, error in self.failures.items()))


def results_of(work: Work[Arguments, Item, Outcome], pool: ActorPool, watcher: Watcher, first: bool) -> list[Outcome]:
    """Do the tasks of a work and return what its workers returned, in the order in which they ended.

    Args:
        work: the work to do.
        pool: the workers.
        watcher: follows the tasks.
        first: whether one worker does all, before the output has its first file; see `ActorPool.run`.

    Raises:
        IncompleteError: all attempts at a task failed.
        PoolBrokenError: no worker became ready.

    """
    results: list[Outcome] = []

    def keep(task: Task[Item], result: Outcome) -> list[Task[Item]]:
        results.append(result)
        return []

    if failures := pool.run(work, work.tasks(), watcher, keep, first):
        raise IncompleteError(failures)
    return results


def perform(
    work: Work[Arguments, Item, Outcome],
    cluster: Cluster,
    result: Result | None = None,
    on_done: Callable[[Item, Outcome], Any] = lambda item, result: None,
) -> bool:
    """Do the missing tasks of a work, and return whether there were some.

    Args:
        work: the work to do.
        cluster: the cluster that does it.
        result: records what is done and what it costs, if given.
        on_done: called with each item and what its worker returned.

    Raises:
        IncompleteError: all attempts at a task failed; all other tasks are done.

    """
    tasks = work.tasks()
    if not tasks:
        return False
    pool = cluster.pool(work.on_gpu)

    def note() -> None:
        if result is not None:
            result.note(work.name, monitor.summary())
            result.spend(pool.take_seconds(), pool.resources.gpus)

    def publish() -> None:
        if result is not None:
            note()
            result.publish()

    monitor = Monitor(work.name, tasks, metric, publish, on_done)
    try:
        with monitor.progress:
            failures = pool.run(work, tasks, monitor)
    finally:
        note()
    if failures:
        raise IncompleteError(failures)
    return True
