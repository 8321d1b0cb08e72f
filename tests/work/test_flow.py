"""Metrics on CPU cores while GPUs draw: at the same time, ended with them, and no failure lost."""

import threading
import time

import pytest
from in_process import InProcess

from pipeline.cluster.dispatch import PoolBrokenError
from pipeline.cluster.resources import Resources
from pipeline.sweep.run import open_run
from pipeline.work.flow import flow
from pipeline.work.measure import MeasureWorker
from pipeline.work.perform import IncompleteError

WAIT = 60
"""Seconds, far beyond what a busy machine takes, after which what has not happened never will."""


class Gpus(InProcess):
    """Workers of a GPU, each task of which is announced to `before`."""

    def __init__(self, log, before):
        super().__init__()
        self.resources = Resources(1.0, False, 1800.0, None, None)
        self.log, self.before = log, before

    def submit(self, worker, task):
        name, own = task.item
        self.before(name, own.item)
        self.log.append(f"gpu: {name}")
        super().submit(worker, task)


class Cores(InProcess):
    """Workers on cores, which can do metrics alone."""

    def __init__(self, log):
        super().__init__()
        self.log = log

    def submit(self, worker, task):
        self.log.append(f"cpu: {task.name}")
        super().submit(worker, task)


class Both:
    """A cluster of GPUs and cores."""

    def __init__(self, before=lambda name, item: None):
        self.log = []
        self.gpus, self.cores = Gpus(self.log, before), Cores(self.log)

    def pool(self, on_gpu):
        return self.gpus if on_gpu else self.cores

    def release(self, pool):
        self.log.append("gpus released" if pool is self.gpus else "cores released")


class Hours:
    """Stands for a `Result`."""

    def __init__(self):
        self.works, self.seconds = {}, {}

    def note(self, work, states):
        self.works[work] = states

    def spend(self, seconds, gpus):
        self.seconds[gpus] = self.seconds.get(gpus, 0.0) + seconds

    def publish(self):
        pass


@pytest.fixture
def begun(small):
    return open_run(small)


def test_a_setting_is_measured_while_the_next_is_drawn(begun):
    """The GPU is given the last setting's first image only when the first setting's row is there."""
    first, last = begun.settings
    waited = []

    def before(name, item):
        if name == "drawing" and item.setting == last and not waited:
            deadline = time.monotonic() + WAIT
            while not [*begun.metrics()] and time.monotonic() < deadline:
                time.sleep(0.01)
            waited.extend(begun.metrics())

    cluster, hours = Both(before), Hours()
    flow(begun, cluster, hours)
    assert waited == [first]
    assert [*begun.metrics()] == [first, last]
    on_cores = [line for line in cluster.log if not line.startswith("gpu")]
    assert on_cores == [f"cpu: {first.slug}", "cores released", f"cpu: {last.slug}", "cores released"]
    assert {line for line in cluster.log if line.startswith("gpu")} == {
        "gpu: drawing",
        "gpu: features",
        "gpus released",
    }
    assert set(hours.works) == {"drawing", "features", "metrics"}
    assert min(hours.seconds[0.0], hours.seconds[1.0]) > 0


def test_where_only_metrics_are_missing_no_gpu_is_taken(begun):
    flow(begun, InProcess())
    for setting in begun.settings:
        begun.storage.move(begun.paths.row(setting.slug), f"_set-aside/{setting.slug}")
    cluster = Both()
    flow(begun, cluster)
    assert sorted(cluster.log) == sorted(
        ["gpus released", *(f"cpu: {setting.slug}" for setting in begun.settings), "cores released"]
    )


def test_a_setting_that_cannot_be_measured_costs_nothing_else(begun, monkeypatch):
    do, bad = MeasureWorker.do, begun.settings[0]

    def broken(self, cell):
        if cell[1] == bad:
            raise ValueError("no metrics")
        return do(self, cell)

    monkeypatch.setattr(MeasureWorker, "do", broken)
    cluster = Both()
    with pytest.raises(IncompleteError) as error:
        flow(begun, cluster)
    assert error.value.failures == {bad.slug: "ValueError: no metrics"}
    assert [*begun.metrics()] == begun.settings[1:]
    assert cluster.log.count("gpu: drawing") == cluster.log.count("gpu: features") - 1 == 8


def test_a_lack_of_cores_ends_the_run_when_the_gpus_are_done(begun, monkeypatch):
    def run(self, *args, **kwargs):
        raise PoolBrokenError("no worker became ready")

    monkeypatch.setattr(Cores, "run", run)
    cluster = Both()
    with pytest.raises(PoolBrokenError):
        flow(begun, cluster)
    assert cluster.log.count("gpu: drawing") == cluster.log.count("gpu: features") - 1 == 8
    assert cluster.log[-1] == "gpus released"


def test_an_interrupt_ends_both(begun, monkeypatch):
    """The thread that waits for settings, and the one that waits for a worker that never answers."""
    monkeypatch.setattr(Cores, "wait", lambda self, timeout: time.sleep(0.01) or [])

    def before(name, item):
        if name == "drawing" and item.setting == begun.settings[1]:
            raise KeyboardInterrupt

    cluster = Both(before)
    with pytest.raises(KeyboardInterrupt):
        flow(begun, cluster)
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]
    assert [*begun.metrics()] == []
    assert "cores released" in cluster.log
