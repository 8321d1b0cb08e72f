"""How many workers a pool of actors asks for, without Ray running."""

import pytest
from ray.exceptions import OutOfMemoryError, RuntimeEnvSetupError

from pipeline.cluster import executor
from pipeline.cluster.executor import AHEAD, ActorPool
from pipeline.cluster.resources import Request, choose


@pytest.fixture
def nodes(monkeypatch):
    nodes = [{"CPU": 0.0}]
    clock = [0.0]
    monkeypatch.setattr(executor, "_nodes", lambda: nodes)
    monkeypatch.setattr(ActorPool, "now", lambda self: clock.__setitem__(0, clock[0] + 6) or clock[0])
    return nodes


def pool(nodes, limit, autoscaling):
    resources = choose(Request(gpus_per_worker=1.0, num_workers=limit), [{"GPU": 1.0}], autoscaling)
    return ActorPool(resources)


def test_an_autoscaling_cluster_is_asked_for_more_than_it_has(nodes):
    growing = pool(nodes, None, autoscaling=True)
    assert growing.size == AHEAD
    nodes += [{"GPU": 4.0}] * 5
    assert growing.size == 40  # as many again, so that it doubles


def test_a_limit_is_asked_for_at_once_where_the_cluster_grows(nodes):
    assert pool(nodes, 3, autoscaling=True).size == 3
    assert pool(nodes, 300, autoscaling=True).size == 300


def test_a_cluster_that_does_not_grow_is_used_as_nodes_come_and_go(nodes):
    for limit, expected in ((None, [0, 4, 8]), (6, [0, 4, 6])):
        fixed = pool(nodes, limit, autoscaling=False)
        sizes = []
        for there in (0, 1, 2):
            nodes[:] = [{"GPU": 4.0}] * there
            sizes.append(fixed.size)
        assert sizes == expected


@pytest.mark.parametrize(
    "error", [OutOfMemoryError("killed: the node was low on memory"), RuntimeEnvSetupError("no pip")]
)
def test_whatever_ray_says_of_a_worker_is_its_death_and_no_end_of_the_run(nodes, monkeypatch, error):
    def get(ref):
        raise error

    monkeypatch.setattr(executor.ray, "get", get)
    event = pool(nodes, None, autoscaling=False)._event("ref", "worker", starting=False)
    assert (event.worker, event.kind) == ("worker", "died")
    assert str(error).splitlines()[0] in event.value
