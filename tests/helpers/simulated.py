"""Workers on a fake clock, for the dispatch loop."""

import heapq
import itertools
from typing import NamedTuple

from pipeline.cluster.dispatch import Event


class Job(NamedTuple):
    """A task of the dispatcher that takes as many seconds as it costs."""

    name: str
    cost: float


class SimulatedPool:
    """Workers on a fake clock. A task is a `Job`; `fate` may turn an attempt into "failed" or "died"."""

    def __init__(self, size, fate=lambda task, attempt: "done", start_fate=lambda n: "ready"):
        self.size, self.fate, self.start_fate = size, fate, start_fate
        self.clock, self.busy, self.started = 0.0, 0.0, 0
        self.events, self.log, self.attempts, self.discarded = [], [], {}, []
        self.order = itertools.count()

    def start(self):
        worker, self.started = self.started, self.started + 1
        self._later(0.5, Event(worker, self.start_fate(worker), "start"))

    def submit(self, worker, task):
        attempt = self.attempts[task] = self.attempts.get(task, 0) + 1
        self.log.append(task)
        self.busy += task[1]
        self._later(task[1], Event(worker, self.fate(task, attempt), f"{task[0]} #{attempt}"))

    def discard(self, worker):
        self.discarded.append(worker)

    def wait(self, timeout):
        if not self.events or self.events[0][0] > self.clock + timeout:
            self.clock += timeout
            return []
        self.clock, _, event = heapq.heappop(self.events)
        return [event]

    def now(self):
        return self.clock

    def _later(self, seconds, event):
        heapq.heappush(self.events, (self.clock + seconds, next(self.order), event))
