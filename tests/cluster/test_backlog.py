"""Tasks that others make possible: done first, retried as all others, forgotten when done."""

import gc
import weakref

import pytest
from simulated import Job, SimulatedPool

from pipeline.cluster.backlog import Backlog
from pipeline.cluster.dispatch import Watcher, run

TASKS = [Job(name, cost) for name, cost in (("a", 3.0), ("b", 9.0), ("c", 5.0))]


def half(task, result=None):
    """Each task makes one of half its cost possible, down to a cost of 2."""
    return [Job(f"{task.name}'", task.cost / 2)] if task.cost >= 4 else []


def dispatched(pool, tasks=TASKS, follow=half, **bounds):
    failures = run(pool, tasks, Watcher(), follow=follow, **bounds)
    return [task.name for task in pool.log], [failure.task.name for failure in failures]


def test_what_was_begun_is_finished_first():
    done, failures = dispatched(SimulatedPool(1))
    assert (done, failures) == (["b", "b'", "b''", "c", "c'", "a"], [])


def test_the_last_task_may_make_others_possible_and_these_take_more_workers():
    pool, nine = SimulatedPool(4), [Job(f"f{i}", 1.0) for i in range(9)]
    done, _ = dispatched(pool, TASKS[:1], lambda task, result: nine if task.name == "a" else [])
    assert sorted(done) == ["a", *(job.name for job in nine)]
    assert pool.started == 4


def test_a_follower_has_as_many_attempts_as_others_and_nothing_follows_a_failure():
    pool = SimulatedPool(2, fate=lambda task, attempt: "failed" if task.name == "b'" else "done")
    done, failures = dispatched(pool)
    assert failures == ["b'"]
    assert pool.attempts[Job("b'", 4.5)] == 3
    assert "b''" not in done
    assert {"a", "b", "c", "c'"} <= set(done)


@pytest.mark.parametrize("fate", ["failed", "died"])
def test_a_follower_is_done_again_by_another_worker(fate):
    pool = SimulatedPool(2, fate=lambda task, attempt: fate if (task.name, attempt) == ("b'", 1) else "done")
    done, failures = dispatched(pool)
    assert failures == []
    assert sorted(done) == ["a", "b", "b'", "b'", "b''", "c", "c'"]


def test_what_follows_gets_the_result():
    given = []
    run(SimulatedPool(1), TASKS, Watcher(), follow=lambda task, result: given.append((task.name, result)) or [])
    assert given == [("b", "b #1"), ("c", "c #1"), ("a", "a #1")]


class Follower:
    cost = 1.0


def test_a_done_follower_is_forgotten():
    """A million images have a million followers."""
    backlog, followers = Backlog([]), [Follower() for _ in range(3)]
    seen = [weakref.ref(follower) for follower in followers]
    backlog.add(followers)
    del followers
    for _ in range(2):
        backlog.done(backlog.pop("worker", {"worker"}, {"worker"}))
    gc.collect()
    assert [ref() is None for ref in seen] == [True, True, False]
    assert len(backlog) == 1
