"""Tasks that end after their worker is free: what that gains, and that no fault on the way loses or repeats one."""

import random
import threading

import pytest
from simulated import Job, SimulatedPool

from pipeline.cluster.dispatch import Event, Watcher, run
from pipeline.cluster.host import Host
from pipeline.cluster.task import Rest

TASKS = [Job(f"t{i}", 1.0) for i in range(40)]


class Committing(SimulatedPool):
    """Workers whose tasks end a while after they have freed their worker, one after the other, as `Host` does it."""

    def __init__(self, size, commit, fate=lambda task, attempt: "done", end=lambda task, attempt: "ended"):
        super().__init__(size, fate)
        self.commit, self.end = commit, end
        self.committed = {}

    def submit(self, worker, task):
        attempt = self.attempts[task] = self.attempts.get(task, 0) + 1
        self.log.append((worker, task))
        outcome = self.fate(task, attempt)
        drawn = self.clock + task.cost
        if outcome == "done":
            # a worker is free only when the commit before has ended: there is room for one
            free = max(drawn, self.committed.get(worker, 0.0))
            self.committed[worker] = free + self.commit
            self._later(free - 0.001 - self.clock, Event(worker, "free"))  # heard of before the commit's end
            self._later(self.committed[worker] - self.clock, Event(worker, self.end(task, attempt), task.name))
        else:
            self._later(task.cost, Event(worker, outcome, task.name))

    def wait(self, timeout):
        # of a worker that is dead nothing more is heard
        return [event for event in super().wait(timeout) if event.worker not in self.discarded]


class Log(Watcher):
    def __init__(self):
        self.done_, self.results, self.final = [], [], []

    def done(self, task, result, seconds):
        self.done_.append(task)
        self.results.append(result)

    def failed(self, task, error, final):
        self.final += [task] if final else []


def dispatched(pool, tasks=TASKS):
    log = Log()
    failures = run(pool, tasks, log)
    return log, failures


def test_a_commit_of_half_a_task_costs_no_time():
    """One worker: its start, 40 seconds of drawing, and the last commit. Without the overlap it would be 20 more."""
    pool = Committing(1, commit=0.5)
    log, failures = dispatched(pool)
    assert (len(log.done_), failures) == (40, [])
    assert pool.clock == pytest.approx(0.5 + 40 + 0.5, abs=0.1)
    assert log.results == [task.name for task in log.done_]


def test_where_the_store_is_slower_than_the_device_it_sets_the_pace():
    pool = Committing(1, commit=3.0)
    log, _ = dispatched(pool)
    assert log.results == [task.name for task in log.done_]
    assert pool.clock == pytest.approx(0.5 + 1 + 40 * 3.0, abs=0.1)


def test_a_commit_that_fails_is_another_attempt_at_the_whole_task():
    pool = Committing(2, 0.5, end=lambda task, attempt: "lost" if task.name == "t5" and attempt == 1 else "ended")
    log, failures = dispatched(pool)
    assert sorted(log.done_) == sorted(TASKS)
    assert (failures, len(pool.log), pool.discarded) == ([], 41, [])


def test_a_commit_that_always_fails_fails_its_task_alone():
    pool = Committing(2, 0.5, end=lambda task, attempt: "lost" if task.name == "t5" else "ended")
    log, failures = dispatched(pool)
    assert (len(log.done_), [failure.task for failure in failures]) == (39, [TASKS[5]])


def test_a_worker_that_loses_all_it_commits_is_replaced_and_what_it_draws_is_drawn_again():
    pool = Committing(3, 0.5)
    pool.end = lambda task, attempt: "lost" if (0, task) == pool.log[-1] else "ended"
    log, failures = dispatched(pool)
    assert (len(log.done_), failures, pool.discarded) == (40, [], [0])


@pytest.mark.parametrize("commit", [0.9, 2.0])
def test_a_worker_that_dies_takes_both_of_its_tasks_with_it(commit):
    """The one that it draws and the one that it commits; another worker does both again."""
    pool = Committing(2, commit)
    pool._later(7.25, Event(0, "died", "gone"))
    log, failures = dispatched(pool)
    assert sorted(log.done_) == sorted(TASKS)
    assert (failures, pool.discarded) == ([], [0])
    again = [task for task in TASKS if pool.attempts[task] == 2]
    assert len(again) == 2


def test_a_worker_that_dies_over_its_last_commit_is_missed():
    """It has nothing to draw any more, so only its commit tells."""
    pool = Committing(1, 5.0)
    pool._later(3.0, Event(0, "died", "gone"))
    log, failures = dispatched(pool, TASKS[:1])
    assert (log.done_, failures, pool.discarded, pool.attempts) == (TASKS[:1], [], [0], {TASKS[0]: 2})


def test_another_workers_death_costs_no_commit():
    """An idle worker may have died with it, and is let go, unless its commit is still to be heard of."""
    pool = Committing(2, 5.0, fate=lambda task, attempt: "died" if (task.name, attempt) == ("long", 1) else "done")
    tasks = [Job("long", 3.0), TASKS[0]]
    log, failures = dispatched(pool, tasks)
    assert (sorted(log.done_), failures) == (sorted(tasks), [])
    assert pool.attempts == {tasks[0]: 2, tasks[1]: 1}


def test_random_faults_lose_and_repeat_nothing():
    rng = random.Random(1)
    pool = Committing(
        5,
        0.7,
        fate=lambda task, attempt: rng.choice(["done", "done", "failed", "died"]) if attempt < 3 else "done",
        end=lambda task, attempt: rng.choice(["ended", "lost", "died"]) if attempt < 2 else "ended",
    )
    log, failures = dispatched(pool)
    left = [failure.task for failure in failures]
    assert sorted(log.done_ + left) == sorted(TASKS)
    assert len(set(log.done_)) == len(log.done_)
    assert log.final == left


def test_what_follows_a_task_waits_for_its_commit():
    """A file may be read only when it is there."""
    pool, told = Committing(1, 0.5), []

    def follow(task, result):
        told.append((task.name, pool.clock))
        return [Job("after", 1.0)] if task.name == "t0" else []

    run(pool, TASKS[:2], Watcher(), follow=follow)
    assert [name for name, _ in told] == ["t0", "t1", "after"]
    assert told[0][1] == pytest.approx(0.5 + 1 + 0.5, abs=0.1)


class TwoPhases:
    """A worker that draws at once and whose commits wait for `go`."""

    go = threading.Event()

    def __init__(self, device, arguments):
        pass

    def do(self, item):
        return Rest(lambda: self._commit(item))

    def _commit(self, item):
        assert self.go.wait(60)
        if item == "bad":
            raise ValueError("disk")
        return f"{item} by {threading.current_thread().name}"


def test_a_host_lets_one_commit_wait_while_the_next_is_drawn():
    host = Host()
    TwoPhases.go.clear()
    host.prepare("w", TwoPhases, None, "cpu", None)
    assert host.do("w", "one") == (False, None)
    second = threading.Thread(target=host.do, args=("w", "bad"))
    second.start()
    said = []
    ending = threading.Thread(target=lambda: said.append(host.end()), name="commits")
    ending.start()
    second.join(0.2)
    assert second.is_alive()  # drawn, and without room: the first commit goes on
    TwoPhases.go.set()
    ending.join(60)
    second.join(60)
    assert said == ["one by commits"]
    with pytest.raises(ValueError, match="disk"):
        host.end()
    assert host.do("w", "three") == (False, None)  # a failed commit leaves its room
