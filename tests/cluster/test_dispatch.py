"""The dispatch loop on simulated workers: order, retries, deaths, bounds."""

import random
import weakref

import pytest
from simulated import Job, SimulatedPool

from pipeline.cluster.dispatch import Event, PoolBrokenError, Watcher, run


class Log(Watcher):
    def __init__(self):
        self.events, self.finished, self.without_worker = [], [], []

    def started(self, task):
        self.events.append(("started", task))

    def done(self, task, result, seconds):
        self.events.append(("done", task))
        self.finished.append(task)
        assert seconds == pytest.approx(task[1])

    def failed(self, task, error, final):
        self.events.append(("final" if final else "failed", task))

    def tick(self, without_worker):
        self.without_worker.append(without_worker)


def dispatch(pool, tasks, log=None, **bounds):
    log = log or Log()
    failures = run(pool, tasks, log, **bounds)
    return log.finished, failures


TASKS = [Job(f"t{i}", 1 + i % 7) for i in range(40)]


def test_every_task_is_done_once_the_most_expensive_first():
    pool = SimulatedPool(3)
    done, failures = dispatch(pool, TASKS)
    assert sorted(done) == sorted(TASKS)
    assert failures == []
    assert [cost for _, cost in pool.log] == sorted((cost for _, cost in TASKS), reverse=True)
    assert pool.started == 3


def test_no_more_workers_than_tasks():
    pool = SimulatedPool(100)
    dispatch(pool, TASKS[:5])
    assert pool.started == 5


def test_nothing_to_do_starts_nothing():
    pool = SimulatedPool(3)
    assert dispatch(pool, []) == ([], [])
    assert pool.started == 0


@pytest.mark.parametrize("kind", ["failed", "died"])
def test_a_task_that_fails_once_is_done_again(kind):
    pool = SimulatedPool(2, fate=lambda task, attempt: kind if task[0] == "t5" and attempt == 1 else "done")
    done, failures = dispatch(pool, TASKS)
    assert sorted(done) == sorted(TASKS)
    assert failures == []
    assert len(pool.log) == 41
    assert len(pool.discarded) == (kind == "died")


@pytest.mark.parametrize("kind", ["failed", "died"])
def test_a_task_that_always_fails_is_named_and_the_others_finish(kind):
    pool = SimulatedPool(2, fate=lambda task, attempt: kind if task[0] == "t5" else "done")
    done, failures = dispatch(pool, TASKS)
    assert len(done) == 39
    assert [(f.task, f.error) for f in failures] == [(TASKS[5], "t5 #3")]


def test_workers_that_die_at_their_start_end_the_run():
    pool = SimulatedPool(4, start_fate=lambda n: "died")
    with pytest.raises(PoolBrokenError, match=r"3 workers in a row .* start"):
        dispatch(pool, TASKS)


def test_one_worker_that_dies_at_its_start_is_replaced():
    pool = SimulatedPool(2, start_fate=lambda n: "died" if n == 0 else "ready")
    done, failures = dispatch(pool, TASKS)
    assert (len(done), failures, pool.started, pool.discarded) == (40, [], 3, [0])


def test_one_broken_worker_fails_no_task_for_good_and_is_replaced():
    """It fails all that it is given, in no time, and its first two replacements do too."""

    class Pool(SimulatedPool):
        def submit(self, worker, task):
            self.log.append((worker, task))
            broken = worker in (0, 4, 5)
            self._later(7 if broken else task[1], Event(worker, "failed" if broken else "done", "CUDA error"))

    pool = Pool(4)
    done, failures = dispatch(pool, [Job(f"t{i}", 60) for i in range(100)])
    assert (len(done), failures) == (100, [])
    assert pool.discarded == [0, 4, 5]
    of = [task for worker, task in pool.log if worker in (0, 4, 5)]
    assert len({*of}) == len(of)


def test_what_every_worker_fails_replaces_none():
    pool = SimulatedPool(3, fate=lambda task, attempt: "failed")
    done, failures = dispatch(pool, TASKS)
    assert (done, len(failures), pool.started, pool.discarded) == ([], 40, 3, [])


def test_a_node_that_takes_its_starting_workers_with_it_does_not_end_the_run():
    pool = SimulatedPool(12, start_fate=lambda n: "died" if 4 <= n < 12 else "ready")
    done, failures = dispatch(pool, TASKS)
    assert (len(done), failures) == (40, [])
    broken = SimulatedPool(12, start_fate=lambda n: "ready" if n < 2 else "died")
    done, failures = dispatch(broken, TASKS)
    assert (len(done), failures) == (40, [])


def test_a_node_lost_in_the_tail_costs_a_task_one_attempt():
    """Seven of its workers have nothing to do any more, and are dead too: nobody has said so."""

    class Pool(SimulatedPool):
        def submit(self, worker, task):
            self.log.append(task)
            lives = worker >= 8
            ends = min(self.clock + task[1], 1e9 if lives else max(100.0, self.clock + 0.01))
            self._later(ends - self.clock, Event(worker, "done" if ends == self.clock + task[1] else "died", "gone"))

    pool = Pool(8)
    done, failures = dispatch(pool, [Job("long", 150), *(Job(f"t{i}", 50) for i in range(7))])
    assert (len(done), failures) == (8, [])
    assert pool.log.count(Job("long", 150)) == 2
    assert sorted(pool.discarded) == list(range(8))


def test_replacements_wait():
    pool = SimulatedPool(1, fate=lambda task, attempt: "died" if attempt == 1 else "done")
    dispatch(pool, [Job("a", 1.0), Job("b", 1.0)])
    # two deaths, a pause of a second after each, half a second a start, a second a task
    assert pool.clock >= 3 * 0.5 + 2 * 1.0 + 4 * 1.0


def test_random_deaths_lose_and_repeat_nothing():
    rng = random.Random(0)
    fates = ["done", "done", "failed", "died"]
    pool = SimulatedPool(5, fate=lambda task, attempt: rng.choice(fates) if attempt < 3 else "done")
    done, failures = dispatch(pool, TASKS)
    assert sorted(done) == sorted(TASKS)
    assert failures == []


def test_the_watcher_hears_of_every_attempt_in_order():
    log = Log()
    pool = SimulatedPool(2, fate=lambda task, attempt: "failed" if task[0] == "t5" else "done")
    dispatch(pool, TASKS, log)
    of_t5 = [kind for kind, task in log.events if task == TASKS[5]]
    assert of_t5 == ["started", "failed", "started", "failed", "started", "final"]
    others = [[kind for kind, task in log.events if task == other] for other in TASKS if other != TASKS[5]]
    assert others == [["started", "done"]] * 39


def test_a_cluster_that_never_grows_ends_the_run():
    pool = SimulatedPool(0)
    log = Log()
    with pytest.raises(PoolBrokenError, match="no worker became ready in 90 s"):
        dispatch(pool, TASKS, log, start_timeout=90.0)
    assert (log.without_worker[0], pool.clock) == (1.0, 90.0)


def test_workers_that_are_all_lost_are_waited_for_and_replaced():
    """Every worker dies at once; a minute later there is room again."""
    pool = SimulatedPool(3, fate=lambda task, attempt: "died" if pool.clock < 3 else "done")
    shrunk = Log()

    def tick(without_worker):
        shrunk.without_worker.append(without_worker)
        pool.size = 0 if 3 <= pool.clock < 63 else 3

    shrunk.tick = tick
    done, failures = dispatch(pool, [Job(f"t{i}", 5) for i in range(10)], shrunk, start_timeout=100.0)
    assert (len(done), failures) == (10, [])
    assert 55 < max(shrunk.without_worker) < 65


def test_a_pool_that_grows_is_used():
    pool = SimulatedPool(1)
    log = Log()
    log.tick = lambda without_worker: setattr(pool, "size", 1 if pool.clock < 20 else 4)
    dispatch(pool, [Job(f"t{i}", 5) for i in range(40)], log)
    assert pool.started == 4
    assert pool.clock < 20 + 40 * 5 / 4


def test_tasks_are_made_when_they_are_given_out():
    """Of a sequence that makes its tasks, no more are kept than are in flight."""
    alive = weakref.WeakSet()

    class Task:
        def __init__(self, index):
            self.cost = -index
            alive.add(self)

    class Made:
        def __len__(self):
            return 1000

        def __getitem__(self, index):
            return Task(index)

        def __iter__(self):
            return (Task(index) for index in range(1000))

    most = []

    class Pool(SimulatedPool):
        def submit(self, worker, task):
            self._later(1.0, Event(worker, "done"))
            most.append(len(alive))

    assert run(Pool(3), Made(), Watcher()) == []
    assert len(most) == 1000
    assert max(most) <= 5
