"""The tasks that wait for a worker: which is given next, and which worker may not have it. Does not use Ray."""

from collections import deque
from collections.abc import Hashable, Sequence
from typing import Protocol

import numpy as np


class Costly(Protocol):
    """A task, as far as `run` needs to know it."""

    @property
    def cost(self) -> float:
        """The cost, in any unit."""


class Backlog:
    """Tasks by falling cost, before them those that others made possible, and a list of those to be retried.

    It takes 16 bytes per task, since the sequence may create its tasks when they are accessed.
    """

    def __init__(self, tasks: Sequence[Costly]) -> None:
        """Order the tasks."""
        self.tasks = tasks
        self.costs = np.fromiter((task.cost for task in tasks), float, len(tasks))
        self.order = np.argsort(-self.costs, kind="stable")
        self.given = 0
        self.followers: dict[int, Costly] = {}
        self.ready: deque[int] = deque()
        self.added = 0
        self.again: list[tuple[float, int]] = []
        self.attempts: dict[int, int] = {}
        self.failed_by: dict[int, set[Hashable]] = {}

    def __len__(self) -> int:
        return len(self.order) - self.given + len(self.ready) + len(self.again)

    def __getitem__(self, index: int) -> Costly:
        return self.followers[index] if index in self.followers else self.tasks[index]

    def add(self, followers: Sequence[Costly]) -> None:
        """Queue tasks that have become possible; they go first, so that what was begun is finished."""
        for task in followers:
            index = len(self.tasks) + self.added
            self.added += 1
            self.followers[index] = task
            self.ready.append(index)

    def done(self, index: int) -> None:
        """Forget a task."""
        self.followers.pop(index, None)

    def pop(self, worker: Hashable, workers: set[Hashable], proven: set[Hashable]) -> int | None:
        """Return the index of the next task for a worker; None if the remaining tasks are for other workers.

        A broken worker quickly fails every task. So while there are new tasks, a failed task is given only to a worker
        in `proven`, which has done a task before. A task goes back to a worker that failed it only if there is no other
        task for that worker and all of `workers` have failed it.
        """
        if self.ready:
            return self.ready.popleft()
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
        """Queue the task again, or return True if this was its last attempt."""
        self.attempts[index] = self.attempts.get(index, 0) + 1
        self.failed_by.setdefault(index, set()).add(worker)
        if self.attempts[index] < max_attempts:
            self.again.append((-self[index].cost, index))
            return False
        return True
