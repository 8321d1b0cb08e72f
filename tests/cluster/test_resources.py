"""What workers are made of, by what a job asks for and what the cluster has."""

import pytest

from pipeline import UserError
from pipeline.cluster.resources import Request, choose

GPUS = [{"CPU": 8.0, "GPU": 4.0}, {"CPU": 8.0, "GPU": 3.0}, {"CPU": 2.0}]


@pytest.mark.parametrize(
    ("per_worker", "slots", "options"),
    [
        (None, 7, {"num_gpus": 1.0, "num_cpus": 0}),
        (0.5, 14, {"num_gpus": 0.5, "num_cpus": 0}),
        (0.3, 21, {"num_gpus": 0.3, "num_cpus": 0}),
        (2.0, 3, {"num_gpus": 2.0, "num_cpus": 0}),  # not across machines
        (4.0, 1, {"num_gpus": 4.0, "num_cpus": 0}),
    ],
)
def test_gpus_are_shared_or_joined_on_each_node(per_worker, slots, options):
    resources = choose(Request(gpus_per_worker=per_worker), GPUS, autoscaling=False)
    assert (resources.slots(GPUS), resources.actor_options, resources.device) == (slots, options, "cuda")


def test_without_a_gpu_a_worker_is_a_core():
    nodes = [{"CPU": 2.0}, {"CPU": 4.0}]
    resources = choose(Request(), nodes, autoscaling=False)
    assert (resources.slots(nodes), resources.actor_options, resources.device) == (6, {"num_cpus": 1}, "cpu")


def test_a_head_that_can_grow_is_there_for_gpus():
    head = [{"memory": 1e9}]
    assert choose(Request(), head, autoscaling=True).device == "cuda"
    assert choose(Request(), [{"CPU": 4.0}], autoscaling=True).device == "cpu"
    assert choose(Request(gpus_per_worker=0.5), [{"CPU": 4.0}], autoscaling=True).gpus == 0.5


@pytest.mark.parametrize(
    ("per_worker", "nodes", "says"),
    [
        (1.0, [{"CPU": 4.0}], "--gpus-per-worker 1: the cluster has 0 GPUs and 4 CPU cores on 1 node"),
        (8.0, GPUS, "--gpus-per-worker 8: the cluster has 7 GPUs and 18 CPU cores on 3 nodes"),
        (None, [{}], "a worker takes a CPU core: the cluster has 0 GPUs and 0 CPU cores"),
    ],
)
def test_what_does_not_fit_is_told_with_what_there_is(per_worker, nodes, says):
    with pytest.raises(UserError, match=says):
        choose(Request(gpus_per_worker=per_worker), nodes, autoscaling=False)


@pytest.mark.parametrize("gpus", [0.0, -1.0, 1.5, float("nan"), float("inf"), 1e-320])
def test_shares_that_ray_does_not_know(gpus):
    with pytest.raises(UserError, match="--gpus-per-worker must be a share up to 1 or a whole number"):
        Request(gpus_per_worker=gpus)


@pytest.mark.parametrize("number", [0, -1])
def test_workers_are_one_at_least(number):
    with pytest.raises(UserError, match="--num-workers must be 1 or more"):
        Request(num_workers=number)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_start_timeout_is_some_time(seconds):
    with pytest.raises(UserError, match="--start-timeout must be above 0"):
        Request(start_timeout=seconds)


@pytest.mark.parametrize("out", ["runs/digits", "file://runs/digits", "local://runs"])
def test_a_relative_path_is_refused_on_a_cluster_alone(out, monkeypatch):
    for alone in (
        lambda: monkeypatch.delenv("RAY_ADDRESS", raising=False),
        lambda: monkeypatch.setenv("RAY_ADDRESS", ""),
    ):
        alone()
        assert Request(out=out, first_file="sweep.json").witness is None
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    with pytest.raises(UserError, match="a relative path is lost on a cluster"):
        Request(out=out, first_file="sweep.json")


def test_a_path_on_a_cluster_has_a_witness_and_a_url_has_none(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    assert Request(out="/shared/run/", first_file="sweep.json").witness == "/shared/run/sweep.json"
    assert Request(out="file:///shared/run", first_file="sweep.json").witness == "/shared/run/sweep.json"
    assert Request(out="s3://bucket/run", first_file="sweep.json").witness is None
