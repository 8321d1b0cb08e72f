"""Which worker gets which task: the most expensive first, one in flight a worker, failures bounded. Knows no Ray."""

import heapq
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline import RunFailedError


@dataclass(frozen=True)
class Event:
    """What a pool reports of one worker."""

    worker: Hashable
    kind: str
    """"ready", "done", "failed" (the task raised, the worker lives) or "died"."""
    value: Any = None
    """The result, or the error."""


class Pool(Protocol):
    """Workers as `run` sees them: real ones in `executor`, simulated ones in tests."""

    size: int
    """How many workers there may be."""

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


@dataclass(frozen=True)
class Failure:
    """A task that failed for good."""

    task: Any
    error: str


class PoolBrokenError(RunFailedError):
    """Workers cannot be started, so nothing more can be done."""


@dataclass
class _Queue:
    """Pending tasks as a heap by falling cost, and the attempts of those that failed."""

    cost: Callable[[Any], float]
    heap: list[tuple[float, int, Any]] = field(default_factory=list)
    attempts: dict[int, int] = field(default_factory=dict)

    def push(self, index: int, task: Any) -> None:
        heapq.heappush(self.heap, (-self.cost(task), index, task))

    def pop(self) -> tuple[int, Any]:
        _, index, task = heapq.heappop(self.heap)
        return index, task


def run(
    pool: Pool,
    tasks: Sequence[Any],
    cost: Callable[[Any], float],
    on_done: Callable[[Any, Any], None],
    on_wait: Callable[[], None] = lambda: None,
    max_attempts: int = 3,
    max_start_failures: int = 3,
    backoff: float = 1.0,
) -> list[Failure]:
    """Do all tasks and return those that failed `max_attempts` times, each with its last error.

    A task whose worker dies is given out again, so doing one twice must be harmless. Replacements are asked for after
    a pause that grows, for they may land on the node that is dying.

    Args:
        pool: the workers.
        tasks: anything the pool's workers take.
        cost: of a task, in any unit.
        on_done: called with (task, result).
        on_wait: called at least once a second.
        max_attempts: tries a task.
        max_start_failures: workers in a row that die before they are ready.
        backoff: first pause in seconds before a dead worker is replaced; doubles up to 30 times itself.

    Raises:
        PoolBrokenError: workers die at their start; the last error is in the text.

    """
    queue = _Queue(cost)
    for index, task in enumerate(tasks):
        queue.push(index, task)
    failures: list[Failure] = []
    running: dict[Hashable, tuple[int, Any]] = {}
    idle: list[Hashable] = []
    starting = 0
    start_failures = 0
    not_before = pool.now()

    def attempt_failed(index: int, task: Any, error: object) -> None:
        queue.attempts[index] = queue.attempts.get(index, 0) + 1
        if queue.attempts[index] < max_attempts:
            queue.push(index, task)
        else:
            failures.append(Failure(task, str(error)))

    while queue.heap or running:
        while queue.heap and idle:
            worker = idle.pop()
            running[worker] = queue.pop()
            pool.submit(worker, running[worker][1])
        wanted = min(pool.size, len(queue.heap) + len(running))
        while len(running) + len(idle) + starting < wanted and pool.now() >= not_before:
            pool.start()
            starting += 1
        for event in pool.wait(1.0):
            if event.kind == "ready":
                starting -= 1
                start_failures = 0
                idle.append(event.worker)
            elif event.kind in ("done", "failed"):
                index, task = running.pop(event.worker)
                idle.append(event.worker)
                if event.kind == "done":
                    on_done(task, event.value)
                else:
                    attempt_failed(index, task, event.value)
            else:
                pool.discard(event.worker)
                if event.worker in running:
                    attempt_failed(*running.pop(event.worker), event.value)
                elif event.worker in idle:
                    idle.remove(event.worker)
                else:
                    starting -= 1
                    start_failures += 1
                    if start_failures >= max_start_failures:
                        raise PoolBrokenError(f"{start_failures} workers in a row died at their start: {event.value}")
                not_before = pool.now() + backoff * min(30, 2**start_failures)
        on_wait()
    return failures
