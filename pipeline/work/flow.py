"""Do a run's line: on one pool of workers, or on GPUs with the metrics on CPU cores beside them."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any

from pipeline.cluster.dispatch import Failure, Watcher
from pipeline.cluster.executor import ActorPool, Cluster, metric
from pipeline.cluster.monitor import Monitor
from pipeline.cluster.task import Joined, Task
from pipeline.sweep.result import Result
from pipeline.sweep.run import Run
from pipeline.work.line import Line, Step
from pipeline.work.measure import Cell, Measure
from pipeline.work.perform import IncompleteError


def flow(run: Run, joined: Cluster, result: Result | None = None, on_minute: Callable[[], None] = lambda: None) -> None:
    """Draw, extract and measure what is missing from a run; each setting is measured as soon as it can be.

    Args:
        run: the run.
        joined: the cluster that does it.
        result: records what is done and what it costs, if given.
        on_minute: called about once a minute.

    Raises:
        IncompleteError: all attempts at a task failed; all tasks that do not need it are done.

    """
    line = Line(run)
    if not line.missing:
        return
    pool = joined.pool(line.on_gpu)

    def note() -> None:
        if result is not None:
            for name, monitor in monitors.items():
                result.note(name, monitor.summary())
            result.spend(pool.take_seconds(), pool.resources.gpus)

    def publish() -> None:
        note()
        if result is not None:
            result.publish()
        on_minute()

    monitors = {
        name: Monitor(name, tasks, metric, publish, lambda item, outcome: None) for name, tasks in line.missing.items()
    }
    watcher = Fork(monitors)
    try:
        with contextlib.ExitStack() as stack:
            for monitor in reversed(monitors.values()):  # so that their last lines come in order
                stack.enter_context(monitor.progress)
            if pool is joined.pool(Measure.on_gpu) or Measure.name not in monitors:
                tasks = Joined([line.measurable(), line.tasks()])
                failures = pool.run(line, tasks, watcher, follow=line.follow)
            else:
                failures = Beside(joined, Measure(run), monitors[Measure.name], result).run(line, pool, watcher)
    finally:
        note()
    if failures:
        raise IncompleteError(failures)


class Fork(Watcher):
    """Gives each event of a line to the monitor of the task's work. The first of them that is not finished speaks."""

    def __init__(self, monitors: dict[str, Monitor]) -> None:
        self.monitors = monitors

    def started(self, task: Task[Step]) -> None:
        """Tell the work's monitor."""
        name, own = task.item
        self.monitors[name].started(own)

    def done(self, task: Task[Step], result: Any, seconds: float) -> None:
        """Tell the work's monitor."""
        name, own = task.item
        self.monitors[name].done(own, result, seconds)

    def failed(self, task: Task[Step], error: str, final: bool) -> None:
        """Tell the work's monitor."""
        name, own = task.item
        self.monitors[name].failed(own, error, final)

    def tick(self, without_worker: float) -> None:
        """Let a monitor print its lines and publish."""
        *others, last = self.monitors.values()
        next((monitor for monitor in others if not monitor.finished), last).tick(without_worker)


class _StoppedError(Exception):
    """The other works have failed or were interrupted."""


class Beside(Watcher):
    """Measures settings on CPU cores, from a thread, while GPUs draw and extract others."""

    def __init__(self, joined: Cluster, work: Measure, monitor: Monitor, result: Result | None) -> None:
        self.joined, self.work, self.monitor, self.result = joined, work, monitor, result
        self.measurable: SimpleQueue[Task[Cell] | None] = SimpleQueue()
        """Tasks in the order in which they become possible; None after the last."""
        self.stopped = threading.Event()

    def run(self, line: Line, pool: ActorPool, watcher: Watcher) -> list[Failure]:
        """Do the tasks of a line, the metrics on CPU cores and the others on `pool`, which is then released.

        What ends the measuring early, as a lack of cores does, is raised only when the GPUs' work is done.
        """
        with ThreadPoolExecutor(1) as thread:
            measuring = thread.submit(self._measure)
            try:
                self._take(line.measurable())
                failures = pool.run(
                    line, line.tasks(), watcher, follow=lambda task, result: self._take(line.follow(task, result))
                )
                self.joined.release(pool)
            except BaseException:
                self.stopped.set()
                raise
            finally:
                self.measurable.put(None)
            while wait([measuring], 1.0).not_done:
                watcher.tick(0.0)
            return failures + measuring.result()

    def started(self, task: Task[Cell]) -> None:
        """Tell the monitor."""
        self.monitor.started(task)

    def done(self, task: Task[Cell], result: Any, seconds: float) -> None:
        """Tell the monitor."""
        self.monitor.done(task, result, seconds)

    def failed(self, task: Task[Cell], error: str, final: bool) -> None:
        """Tell the monitor."""
        self.monitor.failed(task, error, final)

    def tick(self, without_worker: float) -> None:
        """Say nothing, since the other thread does; raise if it has failed."""
        if self.stopped.is_set():
            raise _StoppedError

    def _take(self, steps: Sequence[Task[Step]]) -> list[Task[Step]]:
        """Leave the metrics among the steps to the thread, and return the others."""
        for name, task in (step.item for step in steps):
            if name == self.work.name:
                self.measurable.put(task)
        return [step for step in steps if step.item[0] != self.work.name]

    def _measure(self) -> list[Failure]:
        """Do the tasks that become possible. Workers end when there is none: while idle they would hold machines."""
        failures: list[Failure] = []
        while (task := self.measurable.get()) is not None:
            pool = self.joined.pool(self.work.on_gpu)
            try:
                first = [task, *self._waiting()]
                failures += pool.run(self.work, first, self, follow=lambda task, row: self._waiting())
            finally:
                self.joined.release(pool)
                if self.result is not None:
                    self.result.spend(pool.take_seconds(), pool.resources.gpus)
        return failures

    def _waiting(self) -> list[Task[Cell]]:
        """Take the tasks that are possible now."""
        queued = [self.measurable.get() for _ in range(self.measurable.qsize())]
        if None in queued:
            self.measurable.put(None)
        return [task for task in queued if task is not None]
