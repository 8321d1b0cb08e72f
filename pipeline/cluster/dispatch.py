"""Which worker gets which task: the most expensive first, one in flight a worker, failures bounded. Knows no Ray."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pipeline import RunFailedError


@dataclass(frozen=True)
class Event:
    """What a pool reports of one worker."""

    worker: Hashable
    kind: str
    """"ready", "done", "failed" (the task raised, the worker lives) or "died"."""
    value: Any = None
    """The result, or the error."""


class Costly(Protocol):
    """A task, as far as it matters who gets it."""

    @property
    def cost(self) -> float:
        """In any unit."""


class Pool(Protocol):
    """Workers as `run` sees them: real ones in `executor`, simulated ones in tests."""

    @property
    def size(self) -> int:
        """How many workers there may be; may change as machines come and go."""

    def start(self) -> None:
        """Ask for one more worker; it reports "ready", or "died" where it cannot start."""

    def submit(self, worker: Hashable, task: Any) -> None:
        """Give a ready worker a task."""

    def discard(self, worker: Hashable) -> None:
        """End a worker that reported "died": it may be alive and out of reach."""

    def wait(self, timeout: float) -> list[Event]:
        """Return what has happened, waiting up to `timeout` seconds for something."""

    def now(self) -> float:
        """Return the time in seconds."""


class Watcher:
    """Is told what happens to tasks. This one says nothing."""

    def started(self, task: Any) -> None:
        """Note that a worker has the task."""

    def done(self, task: Any, result: Any, seconds: float) -> None:
        """Note that it is done, `seconds` after it was given out."""

    def failed(self, task: Any, error: str, final: bool) -> None:
        """Note that an attempt failed; unless `final` there will be another."""

    def tick(self, without_worker: float) -> None:
        """Say something if it is time: called at least once a second.

        Args:
            without_worker: seconds for which there has been no worker, 0 while there is one.

        """


@dataclass(frozen=True)
class Failure:
    """A task that failed for good."""

    task: Any
    error: str


class PoolBrokenError(RunFailedError):
    """Workers cannot be started, so nothing more can be done."""


class _Queue:
    """Tasks by falling cost: those never given out as an order over the sequence, those to be done again as a list.

    Its memory is 16 bytes a task: the sequence may make its tasks when they are asked for.
    """

    def __init__(self, tasks: Sequence[Costly]) -> None:
        self.costs = np.fromiter((task.cost for task in tasks), float, len(tasks))
        self.order = np.argsort(-self.costs, kind="stable")
        self.given = 0
        self.again: list[tuple[float, int]] = []
        self.attempts: dict[int, int] = {}
        self.failed_by: dict[int, set[Hashable]] = {}

    def __len__(self) -> int:
        return len(self.order) - self.given + len(self.again)

    def pop(self, worker: Hashable, workers: set[Hashable], proven: set[Hashable]) -> int | None:
        """Return the index of the next task for a worker; None where all that is left is for others.

        A broken worker fails all that it is given, and quickly. So what failed is for workers that are `proven`, having
        done a task, as long as there is other work; and it goes back to one that failed it only where nothing is left
        that this one has not had, and all of `workers` have failed it.
        """
        fresh = self.given < len(self.order)
        again = min((entry for entry in self.again if worker not in self.failed_by[entry[1]]), default=None)
        if fresh and (again is None or worker not in proven or -again[0] < self.costs[self.order[self.given]]):
            self.given += 1
            return int(self.order[self.given - 1])
        if again is None:
            again = min((entry for entry in self.again if workers <= self.failed_by[entry[1]]), default=None)
        if again is None:
            return None
        self.again.remove(again)
        return again[1]

    def attempt_failed(self, index: int, worker: Hashable, max_attempts: int) -> bool:
        """Queue the task again, or return True where that was its last attempt."""
        self.attempts[index] = self.attempts.get(index, 0) + 1
        self.failed_by.setdefault(index, set()).add(worker)
        if self.attempts[index] < max_attempts:
            self.again.append((-self.costs[index], index))
            return False
        return True


def run(
    pool: Pool,
    tasks: Sequence[Costly],
    watcher: Watcher,
    max_attempts: int = 3,
    max_start_failures: int = 3,
    backoff: float = 1.0,
    start_timeout: float = 1800.0,
) -> list[Failure]:
    """Do all tasks and return those that failed `max_attempts` times, each with its last error.

    A task whose worker dies is given out again, so doing one twice must be harmless. Replacements are asked for after
    a pause that grows, for they may land on the node that is dying. A worker that fails `max_attempts` tasks in a row,
    where tasks can be done, is replaced too: an error of a GPU lasts as long as the process.

    Args:
        pool: the workers.
        tasks: anything the pool's workers take.
        watcher: is told what happens.
        max_attempts: tries a task.
        max_start_failures: times in a row that workers die before they are ready, while there is none that is.
        backoff: first pause in seconds before a dead worker is replaced; doubles up to 30 times itself.
        start_timeout: seconds that may pass without any worker, at the start or after the last one died.

    Raises:
        PoolBrokenError: workers die at their start, the last error is in the text; or none comes in `start_timeout`.

    """
    queue = _Queue(tasks)
    failures: list[Failure] = []
    running: dict[Hashable, tuple[int, Costly, float]] = {}
    idle: list[Hashable] = []
    starting = 0
    start_failures = 0
    in_a_row: dict[Hashable, int] = {}
    proven: set[Hashable] = set()
    not_before = last_worker = pool.now()

    def attempt_failed(worker: Hashable, error: object) -> None:
        index, task, _ = running.pop(worker)
        final = queue.attempt_failed(index, worker, max_attempts)
        watcher.failed(task, str(error), final)
        if final:
            failures.append(Failure(task, str(error)))

    while queue or running:
        for worker in reversed([*idle] if queue else []):
            index = queue.pop(worker, {*running, *idle}, proven)
            if index is None:
                continue
            idle.remove(worker)
            task = tasks[index]
            running[worker] = (index, task, pool.now())
            pool.submit(worker, task)
            watcher.started(task)
        wanted = min(pool.size, len(queue) + len(running))
        while len(running) + len(idle) + starting < wanted and pool.now() >= not_before:
            pool.start()
            starting += 1
        for event in pool.wait(1.0):
            if event.kind == "ready":
                starting -= 1
                start_failures = 0
                idle.append(event.worker)
            elif event.kind in ("done", "failed"):
                idle.append(event.worker)
                if event.kind == "done":
                    _, task, since = running.pop(event.worker)
                    proven.add(event.worker)
                    in_a_row.pop(event.worker, None)
                    watcher.done(task, event.value, pool.now() - since)
                    continue
                attempt_failed(event.worker, event.value)
                in_a_row[event.worker] = in_a_row.get(event.worker, 0) + 1
                if proven and in_a_row[event.worker] >= max_attempts:
                    idle.remove(event.worker)
                    pool.discard(event.worker)
                    not_before = pool.now() + backoff
            else:
                pool.discard(event.worker)
                if event.worker in running:
                    attempt_failed(event.worker, event.value)
                    # those without work may have gone with the same node: nothing says so until they are called
                    while idle:
                        pool.discard(idle.pop())
                else:
                    starting -= 1
                    if pool.now() < not_before:
                        continue  # of those that die together, as with their node, the first counts
                    start_failures += 1
                    if start_failures >= max_start_failures and not (running or idle):
                        raise PoolBrokenError(f"{start_failures} workers in a row died at their start: {event.value}")
                not_before = pool.now() + backoff * min(30, 2**start_failures)
        if running or idle:
            last_worker = pool.now()
        without_worker = pool.now() - last_worker
        if without_worker >= start_timeout:
            raise PoolBrokenError(f"no worker became ready in {start_timeout:,.0f} s")
        watcher.tick(without_worker)
    return failures
