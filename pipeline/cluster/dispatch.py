"""Which worker gets which task: the most expensive first, one at a time, with bounded failures. Does not use Ray."""

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline import RunFailedError
from pipeline.cluster.backlog import Backlog, Costly


@dataclass(frozen=True)
class Event:
    """A pool's report about one worker."""

    worker: Hashable
    kind: str
    """"ready"; "done" or "failed" (the task raised, the worker lives); "free" (the worker takes another task while its
    own goes on); "ended" or "lost" (the same of the first task that so went on); "died"."""
    value: Any = None
    """The result of a task, or the error."""


class Pool(Protocol):
    """Workers as `run` sees them: real ones in `executor`, simulated ones in tests."""

    @property
    def size(self) -> int:
        """The largest number of workers; it may change as machines come and go."""

    def start(self) -> None:
        """Request one more worker; it reports "ready", or "died" if it cannot start."""

    def submit(self, worker: Hashable, task: Any) -> None:
        """Give a ready worker a task."""

    def discard(self, worker: Hashable) -> None:
        """End a worker, also one that reported "died": it may be alive but out of reach."""

    def wait(self, timeout: float) -> list[Event]:
        """Return the events since the last call, after waiting up to `timeout` seconds for one."""

    def now(self) -> float:
        """Return the time in seconds."""


class Watcher:
    """Receives what happens to tasks. This one does nothing."""

    def started(self, task: Any) -> None:
        """Note that a worker has the task."""

    def done(self, task: Any, result: Any, seconds: float) -> None:
        """Note that the task is done, `seconds` after a worker got it."""

    def failed(self, task: Any, error: str, final: bool) -> None:
        """Note that an attempt failed; unless `final`, there will be another."""

    def tick(self, without_worker: float) -> None:
        """Print a line if one is due; called at least once a second.

        Args:
            without_worker: seconds without any worker so far; 0 while there is one.

        """


@dataclass(frozen=True)
class Failure:
    """A task whose attempts have all failed, and its last error."""

    task: Any
    error: str


Held = tuple[int, Costly, float]
"""A task that a worker has: its index, the task, and the time at which the worker got it."""


class PoolBrokenError(RunFailedError):
    """Workers cannot be started, so nothing more can be done."""


def run(
    pool: Pool,
    tasks: Sequence[Costly],
    watcher: Watcher,
    max_attempts: int = 3,
    max_start_failures: int = 3,
    backoff: float = 1.0,
    start_timeout: float = 1800.0,
    follow: Callable[[Any, Any], Sequence[Costly]] = lambda task, result: (),
) -> list[Failure]:
    """Do all tasks and return those that failed `max_attempts` times, each with its last error.

    A task whose worker dies is given to another, so doing it twice must be harmless. Replacements are requested after
    a growing pause, since they may land on the node that is dying. Once any task has been done, a worker that fails
    `max_attempts` tasks in a row is replaced too, since a GPU's error lasts as long as the process.

    Args:
        pool: the workers.
        tasks: the tasks, which the pool's workers can do.
        watcher: receives what happens.
        max_attempts: attempts per task.
        max_start_failures: how many workers in a row may die before they are ready while no other is ready.
        backoff: base in seconds of the pause before a replacement; doubles per failed start, at most 30-fold.
        start_timeout: seconds that may pass without any worker, at the start or after the last one died.
        follow: returns the tasks that a finished task, with its result, has made possible.

    Raises:
        PoolBrokenError: workers die at their start, with the last error; or none is ready within `start_timeout`.

    """
    queue = Backlog(tasks)
    failures: list[Failure] = []
    running: dict[Hashable, Held] = {}
    ending: defaultdict[Hashable, deque[Held]] = defaultdict(deque)  # tasks whose workers are free again
    idle: list[Hashable] = []
    starting = 0
    start_failures = 0
    in_a_row: dict[Hashable, int] = {}
    proven: set[Hashable] = set()
    not_before = last_worker = pool.now()

    def done(worker: Hashable, held: Held, result: Any) -> None:
        index, task, since = held
        queue.done(index)
        proven.add(worker)
        in_a_row.pop(worker, None)
        watcher.done(task, result, pool.now() - since)
        queue.add(follow(task, result))

    def attempt_failed(worker: Hashable, held: Held, error: object) -> None:
        index, task, _ = held
        final = queue.attempt_failed(index, worker, max_attempts)
        watcher.failed(task, str(error), final)
        if final:
            failures.append(Failure(task, str(error)))

    def discard(worker: Hashable, error: object) -> None:
        pool.discard(worker)
        if worker in idle:
            idle.remove(worker)
        for held in [*ending.pop(worker, ()), *([running.pop(worker)] if worker in running else [])]:
            attempt_failed(worker, held, error)

    while queue or running or any(ending.values()):
        for worker in reversed([*idle] if queue else []):
            index = queue.pop(worker, {*running, *idle}, proven)
            if index is None:
                continue
            idle.remove(worker)
            task = queue[index]
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
            elif event.kind == "free":
                ending[event.worker].append(running.pop(event.worker))
                idle.append(event.worker)
            elif event.kind == "done":
                idle.append(event.worker)
                done(event.worker, running.pop(event.worker), event.value)
            elif event.kind == "ended":
                done(event.worker, ending[event.worker].popleft(), event.value)
            elif event.kind in ("failed", "lost"):
                if event.kind == "failed":
                    idle.append(event.worker)
                    held = running.pop(event.worker)
                else:
                    held = ending[event.worker].popleft()
                attempt_failed(event.worker, held, event.value)
                in_a_row[event.worker] = in_a_row.get(event.worker, 0) + 1
                if proven and in_a_row[event.worker] >= max_attempts:
                    discard(event.worker, event.value)
                    not_before = pool.now() + backoff
            else:
                if event.worker in running or event.worker in idle:
                    discard(event.worker, event.value)
                    # idle workers may have died with the same node, which shows only when they are called
                    for worker in [worker for worker in idle if not ending.get(worker)]:
                        discard(worker, event.value)
                else:
                    pool.discard(event.worker)
                    starting -= 1
                    if pool.now() < not_before:
                        continue  # of workers that die together, as with their node, only the first counts
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
