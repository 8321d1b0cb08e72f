"""The benchmark's arithmetic, ratios, table, hours and FLOPs, and that every contender does the same work."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler
from schedules import SCHEDULE
from torch.utils.flop_counter import FlopCounterMode

from pipeline.benchmark import benchmark, contenders, measures
from pipeline.cluster.task import Rest
from pipeline.diffusion.checkpoint import read_checkpoint
from pipeline.diffusion.network import UNet
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import settings
from pipeline.sweep.model import model_folder
from pipeline.work.settle import Pace, Paces


def test_a_ratio_is_one_of_the_same_round():
    assert benchmark.ratios([1.0, 8.0, 3.0], [2.0, 4.0, 3.0]) == [0.5, 2.0, 1.0]
    assert benchmark.spread([0.5, 2.0, 1.0]) == "1.000 (0.500–2.000)"
    with pytest.raises(ValueError, match="argument 2 is longer"):
        benchmark.ratios([1.0], [1.0, 2.0])


def test_the_table_has_the_median_of_ratios_and_not_the_ratio_of_medians():
    """Bare calls do not depend on η and stand in both columns."""
    # the machine was twice as fast in the second round, and ten times in the third
    rates = {
        "plain_network": [100.0, 200.0, 1000.0],
        "best_line, η = 0": [90.0, 190.0, 800.0],
        "best_line, η = 1": [80.0, 180.0, 950.0],
    }
    title, bare, line = benchmark.table(rates, [("bare", "plain_network"), ("ours", "best_line")]).splitlines()
    assert [part.split() for part in title.split("of bare calls, plain")] == [
        ["calls", "×", "images", "a", "second", "η", "=", "0"],
        ["η", "=", "1"],
        [],
    ]
    assert bare.split() == ["bare", *["200.0", "1.000", "(1.000–1.000)"] * 2]
    assert line.split() == ["ours", "190.0", "0.900", "(0.800–0.950)", "180.0", "0.900", "(0.800–0.950)"]
    assert len({len(text) for text in (title, bare, line)}) == 1


def test_hours_are_calls_at_a_rate():
    # the paper: 50,000 images × 1000 calls in 20 hours are 694 a second
    assert benchmark.hours(benchmark.PAPER_CELL, 50_000_000 / 72_000) == pytest.approx(benchmark.PAPER_HOURS)


OF_CPU_TIME = {
    **{"gemm": [700.0, 710.0, 720.0], "plain_network": [400.0, 410.0, 420.0], "best_network": [500.0, 510.0, 520.0]},
    **{"plain_line, η = 0": [300.0] * 3, "best_line, η = 0": [450.0] * 3, "diffusers_default, η = 0": [100.0] * 3},
    **{"plain_line, η = 1": [290.0] * 3, "best_line, η = 1": [440.0] * 3, "diffusers_default, η = 1": [90.0] * 3},
    **{"diffusers_best, η = 0": [200.0] * 3, "diffusers_best, η = 1": [190.0] * 3},
}
"""Contender → its rates of CPU time in three rounds."""


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_contest_sets_beside_each_other_what_it_names(monkeypatch, capsys, device):
    """Every contender has a rate of its own, and another one on the wall; on a GPU the wall's alone are meant."""
    asked = []
    walls = {name: [rate / (2 + i) for rate in rates] for i, (name, rates) in enumerate(OF_CPU_TIME.items())}
    monkeypatch.setattr(benchmark, "rounds", lambda *given: asked.append(given) or (walls, OF_CPU_TIME))
    paces = Paces({"plain": 2.0, "channels_last": 1.0, "compiled": 1.5})
    monkeypatch.setattr(benchmark.Choice, "ask", lambda choice, joined: asked.append(choice.question) or paces)
    for name in ("noises", "profile"):
        monkeypatch.setattr(benchmark, name, lambda *_, name=name: name)
    monkeypatch.setattr(benchmark, "ActorPool", lambda resources: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(benchmark, "Untouched", lambda **_: None)
    joined = SimpleNamespace(pool=lambda on_gpu: "pool", resources=SimpleNamespace())
    config = SweepConfig(steps=(5,), eta=benchmark.ETAS, num_images=10, batch_size=5, shard_size=5)
    result = benchmark.contest(joined, config, 2, False, device)
    assert asked[0] == Pace(5, benchmark.ASKED)
    pools, run, shards, count = asked[1]
    assert (run.config.speed, shards, count) == ("channels_last", 2, 5)
    as_people_run = {way for way, pool in pools.items() if pool != "pool"}
    assert as_people_run == ({"plain_network", "diffusers_default"} if device == "cpu" else set())
    meant = OF_CPU_TIME if device == "cpu" else walls
    assert (result["rates"], result["rates on the wall"], result["seconds a call"]) == (meant, walls, paces.seconds)

    def beside(rates, one, other):
        found = []
        for eta in (0, 1):
            pair = [rates.get(name, rates.get(f"{name}, η = {eta}")) for name in (one, other)]
            low, median, high = sorted(a / b for a, b in zip(*pair, strict=True))
            found.append(f"η = {eta}: {median:.3f} ({low:.3f}–{high:.3f})")
        return "; ".join(found)

    assert [line.strip() for line in capsys.readouterr().out.splitlines()[-4:]] == [
        f"this pipeline to DDIMPipeline, both at their best: {beside(meant, 'best_line', 'diffusers_best')}",
        f"the same on the wall: {beside(walls, 'best_line', 'diffusers_best')}",
        f"this pipeline to bare calls, both at their best: {beside(meant, 'best_line', 'best_network')}",
        f"bare calls at their best to the bound: {beside(meant, 'best_network', 'gemm')}",
    ]


def test_the_papers_table_is_projected_by_all_workers_at_the_best_rate(monkeypatch, capsys):
    """50,000 images × five η × (10 + 20 + 50 + 100 + 1000) calls, by four workers at 100 calls a second each."""
    monkeypatch.setattr(benchmark, "run_of", lambda config: SimpleNamespace(settings=settings(config, SCHEDULE)))
    rates = {"best_line, η = 0": [90.0, 100.0, 130.0], "best_line, η = 1": [50.0] * 3, "plain_line, η = 0": [70.0] * 3}
    contests = [
        {
            "network": network,
            "form": "compiled",
            "rates": {name: [k * rate for rate in own] for name, own in rates.items()},
        }
        for k, network in (
            (9, "digits (1×8×8), float32"),
            (1, "CIFAR10's network, float32"),
            (2, "CIFAR10's, bfloat16"),
        )
    ]
    hours = 50_000 * 5 * 1180 / 400 / 3600
    assert benchmark.projection(contests, "folder", 4, "cpu") == {
        name: {"hours": pytest.approx(hours / k), "hours of a cell": pytest.approx(50_000 * 1000 / 400 / 3600 / k)}
        for k, name in ((1, "CIFAR10's network, float32"), (2, "CIFAR10's, bfloat16"))
    }
    said = capsys.readouterr().out
    assert "295,000,000 network calls × images, by 4 workers of this machine" in said
    assert "CIFAR10's network, float32, compiled: 205 hours if workers do not slow each other down" in said
    assert "50,000 images at S = 1000: 34.7 hours; the paper's GeForce RTX 2080 Ti: 20" in said


def test_flops_are_those_of_the_layers():
    """Counted by hand: 2 × weights × output positions of every convolution, 2 × weights of every linear layer."""
    network = UNet(read_checkpoint(model_folder("digits")).weights, "cpu")
    expected = []
    for module in network.network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(
                lambda own, _, output: expected.append(2 * own.weight.numel() * output[0, 0].numel())
            )
        elif isinstance(module, torch.nn.Linear):
            module.register_forward_hook(
                lambda own, inputs, _: expected.append(2 * own.weight.numel() * (inputs[0].numel() // own.in_features))
            )
    counted = contenders.count_flops(network, (1, 8, 8), "cpu")
    assert counted == sum(expected) > 0


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_diffusers_is_asked_for_as_many_calls(quick, device):
    """Where S does not divide 1000, DDIM's τ has more entries than S, and diffusers would do less work."""
    schedule = read_checkpoint(model_folder("digits")).info.schedule()
    for config, _ in benchmark.cases("folder", "float32", quick, device):
        for setting in settings(config, schedule):
            theirs = DDIMScheduler(1000)
            theirs.set_timesteps(setting.nfe)
            assert len(theirs.timesteps) == setting.nfe == config.steps[0]


def test_every_contender_does_its_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(contenders, "MATRICES", (64,))
    config = SweepConfig(out=str(tmp_path), steps=(2,), eta=(0.0, 1.0), batch_size=3, shard_size=6)
    run = contenders.run_of(config.model_copy(update={"speed": "channels_last"}))
    worker = contenders.Contender("cpu", contenders.Contest(run, "", 0.0, 1).arguments)
    for way in [*contenders.CONTENDERS, "slow_store"]:
        for eta in benchmark.ETAS:
            contest = contenders.Contest(run, way, eta, 2)
            tasks = contest.tasks()
            assert (contest.cost, len(tasks)) == (2 * 6 * 2, 2)
            done = worker.do(tasks[1].item)
            if isinstance(done, Rest):
                assert done.end().rows == 6
            else:
                assert done > 0
    assert len(run.storage.find()) == 2  # a file for each η, of all lines
    with FlopCounterMode(display=False) as counter:
        worker.gemm(tasks[1].item[1])
    flops = worker.flops * tasks[1].cost
    assert flops <= counter.get_total_flops() < flops + 2 * 64**3
    parts = measures.Dissector("cpu", contest.arguments).do(tasks[1].item)
    assert [*parts] == ["network", "noise", "update", "encode", "commit", "verify"]
    assert min(parts.values()) > 0
