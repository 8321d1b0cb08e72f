"""How many workers a pool of actors asks for, without Ray running."""

from types import SimpleNamespace

import pytest
import torch
from ray.exceptions import OutOfMemoryError, RayTaskError, RuntimeEnvSetupError

from pipeline.cluster import executor
from pipeline.cluster.executor import AHEAD, ActorPool, Cluster
from pipeline.cluster.host import Host
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
    event = pool(nodes, None, autoscaling=False)._event("ref", "worker", "do")
    assert (event.worker, event.kind) == ("worker", "died")
    assert str(error).splitlines()[0] in event.value


def joined(autoscaling, nodes):
    return Cluster(choose(Request(), nodes, autoscaling))


def test_a_pool_waits_as_long_as_the_job_says_and_its_first_worker_is_one(nodes, monkeypatch):
    """Only after the first file is written can nodes be asked whether they see it."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    request = Request(gpus_per_worker=1.0, num_workers=5, start_timeout=7.0, out="/shared/out", first_file="sweep.json")
    given = []
    monkeypatch.setattr(executor, "run", lambda pool, *_, **options: given.append((pool.size, pool._work, options)))
    monkeypatch.setattr(executor.ray, "put", lambda arguments: arguments)
    nodes[:] = [{"GPU": 8.0}]
    waiting = ActorPool(choose(request, nodes, autoscaling=False))
    work = SimpleNamespace(name="drawing", worker=Doubler, arguments=3)
    for first in (True, False):
        waiting.run(work, [], None, first=first)
    assert [(size, *of_work[3:], options["start_timeout"]) for size, of_work, options in given] == [
        (1, "cuda", None, 7.0),
        (5, "cuda", "/shared/out/sweep.json", 7.0),
    ]


def test_work_without_gpus_takes_cores_and_lets_the_gpus_go(nodes, monkeypatch):
    """Beside the GPUs' workers, which are ended when they are released: while idle they would hold their machines."""
    nodes[:] = [{"CPU": 4.0, "GPU": 1.0}] * 3
    cluster = joined(True, nodes)
    drawing = cluster.pool(on_gpu=True)
    assert (drawing.resources.gpus, drawing.resources.actor_options) == (1.0, {"num_gpus": 1.0, "num_cpus": 0})
    assert cluster.pool(on_gpu=True) is drawing
    closed = []
    monkeypatch.setattr(ActorPool, "close", lambda self: closed.append(self))
    measuring = cluster.pool(on_gpu=False)
    assert (measuring.resources.gpus, measuring.resources.actor_options) == (0.0, {"num_cpus": 1})
    assert cluster.pool(on_gpu=False) is measuring
    assert cluster.pool(on_gpu=True) is drawing
    assert not closed
    cluster.release(drawing)
    assert closed == [drawing]
    assert cluster.pool(on_gpu=True) is not drawing
    assert cluster.pool(on_gpu=False) is measuring
    # the cores of machines that are there, and no reason for more machines; where none is left, for some
    assert measuring.size == 12
    nodes[:] = [{"CPU": 0.0}]
    assert measuring.size == AHEAD


def test_where_no_gpu_is_used_one_pool_serves_all_works(nodes):
    nodes[:] = [{"CPU": 2.0}]
    cluster = joined(False, nodes)
    assert cluster.pool(on_gpu=True) is cluster.pool(on_gpu=False)


def test_a_cluster_of_nothing_but_gpus_measures_on_them(nodes):
    nodes[:] = [{"GPU": 2.0}]
    cluster = joined(False, nodes)
    assert cluster.pool(on_gpu=False) is cluster.pool(on_gpu=True)


class Doubler:
    made = 0

    def __init__(self, device, arguments):
        Doubler.made += 1
        self.device, self.factor = device, arguments

    def do(self, item):
        return self.factor * item


def test_a_host_keeps_its_workers_from_work_to_work(tmp_path):
    host = Host()
    for name, factor in (("a", 2), ("b", 3), ("a", 2)):
        assert host.prepare(name, Doubler, factor, "cuda", None) == ("cuda" if torch.cuda.is_available() else "cpu")
    assert (host.do("a", 5), host.do("b", 5), Doubler.made) == ((True, 10), (True, 15), 2)
    host.prepare("a", Doubler, 7, "cpu", None)
    assert (host.do("a", 5), Doubler.made) == ((True, 35), 3)
    with pytest.raises(FileNotFoundError, match="--out must be on a shared disk"):
        host.prepare("a", Doubler, 7, "cpu", str(tmp_path / "sweep.json"))


def test_a_worker_that_cannot_be_made_is_a_worker_that_died(nodes, monkeypatch):
    """The process lives, and can do nothing: another one is asked for, a few times, and its reason is said."""

    def get(ref):
        raise RayTaskError("prepare", "the worker's traceback", ValueError("model 'x' is another one on this node"))

    monkeypatch.setattr(executor.ray, "get", get)
    event = pool(nodes, None, autoscaling=False)._event("ref", "worker", "prepare")
    assert (event.kind, event.value) == ("died", "ValueError: model 'x' is another one on this node")
