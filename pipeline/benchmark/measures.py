"""What the benchmark measures once, beside its contest: noise, where time goes, evaluation, and a whole sweep."""

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
import torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch_fidelity import feature_extractor_inceptionv3 as inception

from pipeline.benchmark.contenders import Contest, now
from pipeline.cluster.executor import ActorPool
from pipeline.diffusion import noise
from pipeline.evaluation.extractors import INCEPTION
from pipeline.evaluation.metrics.base import metric_options
from pipeline.images.digits import digits_images
from pipeline.images.pixels import png as png_of
from pipeline.sweep import images
from pipeline.sweep.images import read_footer
from pipeline.sweep.run import Run
from pipeline.sweep.shards import Shard
from pipeline.work.draw import DrawWorker

SMALL = ("--steps", "5", "--eta", "0", "--batch-size", "32", "--shard-size", "32")
"""A sweep of one setting, for the evaluation."""


def noises(run: Run, device: str) -> dict[str, float]:
    """Print and return the microseconds an image of a step's noise: ours, of a generator an image, and of one."""
    size, shape = run.config.batch_size, run.model.image_shape
    seeds = torch.arange(size, device=device)
    generators = [torch.Generator(device).manual_seed(seed) for seed in range(size)]
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: noise.normal(0, seeds, 1, shape),
        "a generator an image": lambda: randn_tensor((size, *shape), generators, torch.device(device)),
        "one generator": lambda: torch.randn(size, *shape, device=device),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(30):
        for name, way in ways.items():
            start = now(device)
            way()
            times[name].append(now(device) - start)
    medians = {name: 1e6 * statistics.median(values) / size for name, values in times.items()}
    print(f"  noise of a step, µs an image: {', '.join(f'{name} {value:.2f}' for name, value in medians.items())}")
    return medians


class Stopwatch:
    """A function that adds up the seconds of its calls."""

    def __init__(self, function: Callable[..., Any], device: str) -> None:
        self.function, self.device, self.seconds = function, device, 0.0

    def __call__(self, *arguments: Any) -> Any:
        """Return what the function returns."""
        start = now(self.device)
        result = self.function(*arguments)
        self.seconds += now(self.device) - start
        return result


class Dissector(DrawWorker):
    """Draws a shard, with a stopwatch around each part."""

    def do(self, item: tuple[str, Shard]) -> dict[str, float]:  # type: ignore[override]
        """Return the microseconds an image and step of each part of a shard, and of verifying it."""
        _, shard = item
        network, device = self.walker.network.network, self.device
        parts: list[dict[str, float]] = []
        for _ in range(4):  # the first warms up
            normal, png, eps_model = (Stopwatch(f, device) for f in (noise.normal, png_of, network))
            self.walker.network.network = eps_model
            with mock.patch.object(noise, "normal", normal), mock.patch.object(images, "png", png):
                start = now(device)
                rest = super().do(shard)
                drawn = now(device)
                rest.end()
                end = now(device)
            read_footer(self.storage, shard, shard.setting.fingerprint(self.arguments.identity))
            parts.append(
                {
                    "network": eps_model.seconds,
                    "noise": normal.seconds,
                    "update": drawn - start - eps_model.seconds - normal.seconds,
                    "encode": png.seconds,
                    "commit": end - drawn - png.seconds,
                    "verify": now(device) - end,
                }
            )
        self.walker.network.network = network
        return {name: 1e6 / shard.cost * statistics.median(part[name] for part in parts[1:]) for name in parts[0]}


class Dissection(Contest):
    """One shard, with a stopwatch around each part of it."""

    name = "dissection"
    worker = Dissector  # type: ignore[assignment]


def profile(run: Run, pool: ActorPool) -> dict[str, float]:
    """Print and return the microseconds an image and step of each part of a shard at η = 1, and of verifying it."""
    parts: dict[str, float]
    (parts,) = Dissection(run, "", 1.0, 1).results(pool)[1]
    whole = sum(parts.values()) - parts["verify"]
    shares = ", ".join(f"{name} {value:,.2f} ({value / whole:.2%})" for name, value in parts.items())
    print(f"  a step at η = 1, {run.config.speed}, µs an image: {shares}")
    return parts


def evaluations(folder: str, device: str, quick: bool, jobs: Path) -> dict[str, float]:
    """Print and return the seconds of all metrics in Inception's features: ours, and those of `fidelity`."""
    count, weights = 64 if quick else 1000, Path(folder, "inception.pth")
    write_inception(weights)
    outs = {form: f"{folder}/{form}" for form in ("plain", "channels_last")}
    for form, out in outs.items():
        run_job(jobs / "sweep.py", "--out", out, "--speed", form, "--num-images", count, *SMALL)
    run_job(jobs / "export.py", "--out", outs["plain"], "--setting", "ddim-S5-eta0-linear", "--png", f"{folder}/drawn")
    Path(folder, "real").mkdir()
    for i, pixels in enumerate(digits_images()[:count]):
        Image.fromarray(pixels[0].numpy()).save(f"{folder}/real/{i:04d}.png")
    extractor = ("--extractor", INCEPTION, "--extractor-weights", weights)
    options = metric_options(count, count).items()
    fidelity = [
        *(Path(sys.executable).parent / "fidelity", "--input1", f"{folder}/drawn", "--input2", f"{folder}/real"),
        *("--isc", "--fid", "--kid", "--prc", "--json", "--silent", "--no-cache", "--batch-size", "32"),
        *(("--gpu", "0") if device == "cuda" else ("--cpu",)),
        *("--feature-extractor", INCEPTION, "--feature-extractor-weights-path", weights),
        *(text for name, value in options for text in (f"--{name.replace('_', '-')}", str(value))),
    ]
    seconds = {
        f"ours, {form}": run_job(jobs / "evaluate.py", "--out", out, *extractor, "--reference", f"{folder}/real")
        for form, out in outs.items()
    }
    start = time.perf_counter()
    subprocess.run([*map(str, fidelity)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    seconds["fidelity"] = time.perf_counter() - start
    text = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    print(f"IS, FID, KID, precision and recall of {count} images in Inception's features, start included: {text}")
    return seconds


def write_cifar10(folder: Path) -> None:
    """Write a diffusers pipeline with the network of the DDPM and DDIM papers for CIFAR10, with random weights."""
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=32,
        block_out_channels=(128, 256, 256, 256),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        **{"freq_shift": 1, "flip_sin_to_cos": False, "downsample_padding": 0, "norm_eps": 1e-6},
        attention_head_dim=None,
    )
    DDIMPipeline(network, DDIMScheduler(1000)).save_pretrained(folder)


def write_inception(file: Path) -> None:
    """Write random weights of Inception in the format of torch-fidelity's."""
    torch.manual_seed(0)
    kind = inception.FeatureExtractorInceptionV3
    with (
        mock.patch.object(inception, "load_state_dict_from_url", return_value={}),
        mock.patch.object(kind, "load_state_dict"),
    ):
        network = kind(INCEPTION, ["2048"])
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)  # features of about one, whatever the depth
    torch.save(network.state_dict(), file)


def run_job(job: Path, *arguments: object) -> float:
    """Run a job, and return its seconds."""
    start = time.perf_counter()
    command = [sys.executable, str(job), *map(str, arguments)]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def sweep(folder: str, quick: bool, jobs: Path) -> dict[str, float]:
    """Print and return the time of a new sweep, of it outside sampling, and the memory: the default one, or a small."""
    out = Path(folder, "sweep")
    options = ("--steps", "5", "10", "--num-images", "500", "--shard-size", "250") if quick else ()
    start = time.perf_counter()
    command = [sys.executable, jobs / "sweep.py", "--out", out, *options]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peaks = {"all": 0.0, "a worker": 0.0}
    watcher = threading.Thread(target=watch, args=(process, peaks))
    watcher.start()
    if status := process.wait():
        raise RuntimeError(f"the sweep ended with {status}")
    seconds = time.perf_counter() - start
    watcher.join()
    again = run_job(jobs / "sweep.py", "--out", out, *options)
    sampling = sum(row["seconds"] for row in json.loads((out / "metrics.json").read_text(encoding="utf-8")))
    workers = 1 if torch.cuda.is_available() else psutil.cpu_count()
    outside = seconds - sampling / workers
    print(
        f"{'a sweep of two budgets' if quick else 'the default sweep'}: {seconds:.0f} s, {outside:.0f} s of it outside "
        f"sampling; peak memory {peaks['all']:.1f} GiB, of a worker {peaks['a worker']:.1f} GiB; again {again:.0f} s"
    )
    return {"seconds": seconds, "sampling": sampling, "again": again} | peaks


def watch(process: psutil.Process, peaks: dict[str, float]) -> None:
    """Note the peaks of the memory in GiB of a process with its children, and of a worker, until it ends."""
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        total = 0.0
        for member in [process, *process.children(recursive=True)]:
            try:
                memory = member.memory_full_info().pss / 2**30  # shared pages counted once
                if member.name().startswith("ray::Host"):
                    peaks["a worker"] = max(peaks["a worker"], memory)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            total += memory
        peaks["all"] = max(peaks["all"], total)
        time.sleep(2)  # to count shared pages takes a core a tenth of a second
