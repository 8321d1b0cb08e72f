"""The benchmark: the contest of contenders, several workers, and hours for the paper's table; and all in order."""

import itertools
import os
import platform
import re
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from pipeline.benchmark.contenders import AS_PEOPLE_RUN, CONTENDERS, NETWORK, WITHOUT_ETA, Contest, Untouched, run_of
from pipeline.benchmark.measures import evaluations, noises, profile, sweep, write_cifar10
from pipeline.cluster.executor import ActorPool, Cluster, cluster
from pipeline.cluster.resources import Request
from pipeline.device import Precision, device_name
from pipeline.sweep.config import SweepConfig, make_config
from pipeline.sweep.run import Run
from pipeline.text_table import text_table
from pipeline.work.settle import Choice, Pace

ETAS = (0.0, 1.0)
ASKED = 10**9
"""Network calls for which a network is worth compiling."""
PAPER_HOURS = 20.0
"""The paper's hours for 50,000 CIFAR10 images by DDPM's 1000 steps on a GeForce RTX 2080 Ti."""
PAPER_CELL = 50_000 * 1000
"""Network calls × images of that."""
Rates = dict[str, list[float]]
"""Contender, or "contender, η = eta" → its rate in each round."""


def benchmark(quick: bool, jobs: Path) -> dict[str, Any]:
    """Measure and print all, and return the numbers.

    Args:
        quick: whether in fewer and smaller rounds, and without compiling on a CPU.
        jobs: the folder of the jobs.

    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    numbers: dict[str, Any] = {"machine": machine(device), "quick": quick}
    print("\n".join(f"{name}: {value}" for name, value in numbers["machine"].items()))
    with tempfile.TemporaryDirectory() as folder:
        write_cifar10(Path(folder, "cifar10"))
        with cluster(Request(num_workers=1)) as joined:
            contests = [
                contest(joined, config, shards, quick, device)
                for dtype in precisions(device)
                for config, shards in cases(folder, dtype, quick, device)
            ]
        numbers["contests"] = contests
        with cluster() as joined:
            numbers["workers"] = scaling(joined, contests, folder, quick, device)
        numbers["evaluation"] = evaluations(folder, device, quick, jobs)
        numbers["sweep"] = sweep(folder, quick, jobs)
        numbers["projection"] = projection(contests, folder, numbers["workers"]["count"], device)
    return numbers


def machine(device: str) -> dict[str, Any]:
    """Return what the numbers depend on."""
    releases = {name: version(name) for name in ("torch", "diffusers", "torch-fidelity", "ray", "numpy")}
    return {
        "device": device_name(device),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads a worker": 1 if device == "cpu" else torch.get_num_threads(),
        "load before": ", ".join(f"{load:.1f}" for load in os.getloadavg()),
        "releases": ", ".join(f"{name} {release}" for name, release in releases.items()),
        "python": platform.python_version(),
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def precisions(device: str) -> list[Precision]:
    """Return the precisions that the device computes in itself."""
    info, words = Path("/proc/cpuinfo"), r"\b(avx512_bf16|amx_bf16)\b"
    if device == "cuda" or (info.exists() and re.search(words, info.read_text(encoding="utf-8"))):
        return ["float32", "bfloat16"]
    print("bfloat16 is left out: this processor has no instructions for it, and emulates it slowly")
    return ["float32"]


def cases(folder: str, dtype: Precision, quick: bool, device: str) -> list[tuple[SweepConfig, int]]:
    """Return the networks, each with the sizes at which it is timed and the number of its shards."""
    digits: dict[str, Any] = {"model": "digits", "batch_size": 250, "steps": (10 if quick else 50,)}
    cifar10: dict[str, Any] = {"model": f"{folder}/cifar10", "batch_size": 500, "steps": (10,)}
    if device == "cpu":
        cifar10 |= {"batch_size": 2, "steps": (4,)} if quick else {"batch_size": 4, "steps": (5,)}
    return [
        (SweepConfig(**sizes, eta=ETAS, dtype=dtype, shard_size=sizes["batch_size"], out=f"{folder}/contest"), shards)
        for sizes, shards in ((digits, 2), (cifar10, 1 if device == "cpu" else 2))
    ]


def name_of(run: Run) -> str:
    """Return what a run draws, for people."""
    config, (channels, height, width) = run.config, run.model.image_shape
    network = "digits" if config.model == "digits" else "CIFAR10's network, random weights"
    return f"{network} ({channels}×{height}×{width}), {config.dtype}, batch {config.batch_size}, S = {config.steps[0]}"


def contest(joined: Cluster, config: SweepConfig, shards: int, quick: bool, device: str) -> dict[str, Any]:
    """Print and return how fast the contenders are with a network, what a step's noise costs and where time goes."""
    pool, run = joined.pool(on_gpu=True), run_of(config)
    people = pool if device == "cuda" else ActorPool(Untouched(**vars(joined.resources)))
    compiled = device == "cuda" or (config.model == "digits" and not quick)
    paces = Choice(run, Pace(config.batch_size, ASKED if compiled else 0)).ask(joined).seconds
    form = min((form for form in paces if form != "plain"), key=lambda form: paces[form])
    best = run_of(config.model_copy(update={"speed": form}))
    ways = [way for way in CONTENDERS if way != "diffusers_default" or config.dtype != "bfloat16"]  # numpy has none
    pools = {way: people if way in AS_PEOPLE_RUN else pool for way in ways}
    walls, used = rounds(pools, best, shards, 2 if quick else 5)
    if people is not pool:
        people.close()
    rates = walls if device == "cuda" else used
    result = {
        "network": name_of(run),
        "form": form,
        "seconds a call": paces,
        "rates": rates,
        "rates on the wall": walls,
    }
    print(f"\n{result['network']}; {shards} shard{'s' * (shards > 1)}, {len(rates[NETWORK])} rounds; best form {form}")
    print(table(rates, [(CONTENDERS[way].format(form=form), way) for way in ways]))
    for text, one, other, measured in (
        ("this pipeline to DDIMPipeline, both at their best", "best_line", "diffusers_best", rates),
        ("the same on the wall", "best_line", "diffusers_best", walls),
        ("this pipeline to bare calls, both at their best", "best_line", "best_network", rates),
        ("bare calls at their best to the bound", "best_network", "gemm", rates),
    ):
        parts = [f"η = {eta:g}: {spread(ratios(measured[key(one, eta)], measured[key(other, eta)]))}" for eta in ETAS]
        print(f"  {text}: {'; '.join(parts)}", flush=True)
    steps = {shape.config.speed: profile(shape, pool) for shape in (run, best)}
    return result | {"noise": noises(run, device), "step": steps}


def rounds(pools: Mapping[str, ActorPool], run: Run, shards: int, count: int) -> tuple[Rates, Rates]:
    """Return the rates on the wall and of CPU time, in interleaved rounds; one before them warms up."""
    entries = [(way, eta) for way in pools for eta in ETAS if eta == ETAS[0] or way not in WITHOUT_ETA]
    walls: Rates = {key(way, eta): [] for way, eta in entries}
    used: Rates = {name: [] for name in walls}
    for number in range(count + 1):
        for way, eta in entries:
            speed = Contest(run, way, eta, shards).speed(pools[way])
            if number:
                for rates, rate in zip((walls, used), speed, strict=True):
                    rates[key(way, eta)].append(rate)
    return walls, used


def key(way: str, eta: float) -> str:
    """Return a contender's name among the rates."""
    return way if way in WITHOUT_ETA else f"{way}, η = {eta:g}"


def ratios(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """Return the ratio of each round."""
    return [a / b for a, b in zip(one, other, strict=True)]


def spread(values: Sequence[float]) -> str:
    """Return the median, and the range."""
    return f"{statistics.median(values):.3f} ({min(values):.3f}–{max(values):.3f})"


def table(rates: Rates, rows: Sequence[tuple[str, str]]) -> str:
    """Return the rates and their ratios to bare calls of the plain network as text, a row for each (label, way)."""
    lines = [["  calls × images a second"]]
    for eta in ETAS:
        lines[0] += [f"η = {eta:g}", "of bare calls, plain"]
    for label, way in rows:
        measured = [rates[key(way, eta)] for eta in ETAS]
        cells = [[f"{statistics.median(own):,.1f}", spread(ratios(own, rates[NETWORK]))] for own in measured]
        lines.append([f"  {label}", *itertools.chain(*cells)])
    return text_table(lines, least=(0, *(10, 22) * len(ETAS)))


def scaling(
    joined: Cluster, contests: Sequence[dict[str, Any]], folder: str, quick: bool, device: str
) -> dict[str, Any]:
    """Print and return what all workers do of what one does, and what a store loses that is slow to commit."""
    pool = joined.pool(on_gpu=True)
    workers, config = pool.size, cases(folder, "float32", quick, device)[0][0]
    run = run_of(config.model_copy(update={"steps": (50,)}))
    shares = {"one": 1, "all": 2 * workers, "slow store": 2 * workers}
    a_share = 2 if quick else 6
    rates: Rates = {name: [] for name in shares}
    for number in range(2 if quick else 3):
        for name, share in shares.items():
            way = "slow_store" if name == "slow store" else "plain_line"
            wall, _ = Contest(run, way, 1.0, share * a_share).results(pool, one_worker=name == "one")
            if number:
                rates[name].append(share * a_share / wall)
    a_run = shares["all"] * a_share / statistics.median(rates["all"])
    print(f"\n{workers} workers to one, digits, S = 50, plain: {spread(ratios(rates['all'], rates['one']))}")
    slow = spread(ratios(rates["slow store"], rates["all"]))
    print(f"throughput with a store that takes 0.5 s more a commit, in a run of {a_run:.0f} s: {slow}")
    return {"count": workers, "shards a second": rates}


def projection(contests: Sequence[dict[str, Any]], folder: str, workers: int, device: str) -> dict[str, Any]:
    """Print and return the hours that the paper's table 1 for CIFAR10 would take on this machine, at its best rates."""
    config = make_config("cifar10", None, {"model": f"{folder}/cifar10"})
    calls = config.num_images * sum(setting.nfe for setting in run_of(config).settings)
    result = {}
    print(f"\nthe paper's table 1 for CIFAR10: {calls:,} network calls × images, by {workers} workers of this machine")
    for one in contests:
        if one["network"].startswith("CIFAR10"):
            rate = workers * statistics.median(one["rates"][key("best_line", 0.0)])
            table_1, cell = hours(calls, rate), hours(PAPER_CELL, rate)
            result[one["network"]] = {"hours": table_1, "hours of a cell": cell}
            print(f"  {one['network']}, {one['form']}: {table_1:,.0f} hours if workers do not slow each other down")
            print(f"  50,000 images at S = 1000: {cell:,.1f} hours; the paper's GeForce RTX 2080 Ti: {PAPER_HOURS:.0f}")
    return result


def hours(calls: int, rate: float) -> float:
    """Return the hours for so many network calls × images at a rate a second."""
    return calls / rate / 3600
