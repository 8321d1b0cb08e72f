"""A cluster of one worker in this process: the works, the dispatcher and the jobs without Ray and without its start."""

import contextlib
import time

from pipeline.cluster import executor
from pipeline.cluster.dispatch import Event, run
from pipeline.cluster.resources import Resources
from pipeline.cluster.task import Rest
from pipeline.storage.store import StorageError
from pipeline.work import complete, night  # before they are patched: what is imported later would keep the patch

IN_VAIN = 1000
"""Waits in a row without any event, after which there will never be one."""


class InProcess:
    """Stands for `executor.Cluster` and for its pool of workers."""

    size = 1

    def __init__(self):
        self.resources = Resources(0.0, False, 1800.0, None, None)
        self.seconds = self.skipped = 0.0
        self.in_vain = 0

    def pool(self, on_gpu):
        return self

    def release(self, pool):
        pass

    def run(self, work, tasks, watcher, follow=lambda task, result: (), first=False):
        self.worker, self.events = work.worker("cpu", work.arguments), []
        return run(self, tasks, watcher, follow=follow)

    def start(self):
        self.events.append(Event("here", "ready"))

    def submit(self, worker, task):
        started = self.now()
        try:
            outcome = self.worker.do(task.item)
            self.events.append(Event(worker, "done", outcome.end() if isinstance(outcome, Rest) else outcome))
        except StorageError:
            raise
        except Exception as error:
            self.events.append(Event(worker, "failed", f"{type(error).__name__}: {error}"))
        self.seconds += self.now() - started

    def discard(self, worker):
        pass

    def wait(self, timeout):
        if not self.events:  # a worker is replaced only after a pause, of half a minute at most
            self.skipped, self.in_vain = self.skipped + timeout, self.in_vain + 1
            assert self.in_vain < IN_VAIN, "tasks are left, and none is given to a worker: it would wait for ever"
            return []
        self.in_vain = 0
        return [self.events.pop(0)]

    def now(self):
        return time.monotonic() + self.skipped

    def take_seconds(self):
        seconds, self.seconds = self.seconds, 0.0
        return seconds


@contextlib.contextmanager
def cluster(request=None):
    yield InProcess()


def without_ray(monkeypatch):
    """Let jobs that run in this process have this cluster."""
    for module in (executor, complete, night):
        monkeypatch.setattr(module, "cluster", cluster)
