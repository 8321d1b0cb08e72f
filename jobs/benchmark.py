"""Measure what sampling inside the pipeline costs against bare network calls, and the default sweep as a whole.

    pip install -e '.[test]'
    python jobs/benchmark.py

Prints three parts. The first is throughput in network calls × images a second, all workers together, each figure the
median of interleaved rounds in one run: compare the ratios, the machine sets the rest. The second is the share of
encoding, committing, reading and checking files in the default sweep, and what verification reads a second, one worker.
The third is the time and the peak memory of all processes of `python jobs/sweep.py` from nothing.
"""

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import psutil
import torch
from diffusers import DDIMPipeline

from pipeline.cli import Parser
from pipeline.cluster.executor import ActorPool, cluster
from pipeline.cluster.resources import Resources
from pipeline.diffusion import checkpoint as unet
from pipeline.storage.local import model_folder
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import settings
from pipeline.sweep.images import read_footer, read_images
from pipeline.sweep.shards import Shard
from pipeline.work.draw import Sampler

STEPS, IMAGES, ROUNDS = 50, 1000, 5


class Contenders(Sampler):
    """A sampler that can also do what it is measured against, in the same process."""

    @torch.inference_mode()
    def network_calls(self, shard: Shard) -> None:
        """Call the network as often as the shard does, and do nothing else."""
        x = torch.randn(self.batch_size, *self.image_shape, device=self.device)
        for _ in range(shard.rows // self.batch_size):
            for t in shard.setting.tau:
                self.eps_model(x, t)

    def diffusers_pipeline(self, shard: Shard) -> None:
        """Draw as many images with diffusers' own pipeline, to numpy arrays."""
        pipe = DDIMPipeline.from_pretrained(model_folder("digits")).to(self.device)
        pipe.set_progress_bar_config(disable=True)
        for _ in range(shard.rows // self.batch_size):
            pipe(self.batch_size, num_inference_steps=shard.setting.steps, eta=1.0, output_type="np")


def throughput(resources: Resources) -> None:
    """Print the first part."""
    config = SweepConfig(steps=(STEPS,), eta=(1.0,))
    (setting,) = settings(config, 1000)
    rates: dict[str, list[float]] = {"network_calls": [], "draw_shard": [], "diffusers_pipeline": []}
    with tempfile.TemporaryDirectory() as out:
        args: dict[str, Any] = {
            "out": out,
            "storage_options": None,
            "model": "digits",
            "model_digest": unet.describe(model_folder("digits")).digest,
        }
        args |= {"precision": "float32", "seed": 0, "batch_size": config.batch_size, "fingerprint": "benchmark"}
        pool = ActorPool(Contenders, args, resources)
        workers = pool.size
        shards = [Shard(setting, i * IMAGES, (i + 1) * IMAGES) for i in range(workers)]
        for round_number in range(ROUNDS + 1):
            for method, measured in rates.items():
                start = time.perf_counter()
                pool.run(method, shards, lambda shard: shard.cost)
                if round_number:  # the first round starts the actors
                    measured.append(sum(shard.cost for shard in shards) / (time.perf_counter() - start))
        pool.close()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"eta 1, S = {STEPS}, batch {config.batch_size}, {workers} workers ({resources.device})")
    names = ("bare network calls", "the pipeline", "diffusers' DDIMPipeline")
    for name, rate in zip(names, medians.values(), strict=True):
        print(f"  {name:<24} {rate:>9,.0f} calls × images/s  {rate / medians['network_calls']:>6.1%}")


def storage_share() -> None:
    """Print the second part: one shard of each S stands for all of that S."""
    config = SweepConfig(eta=(0.0,))
    digest = unet.describe(model_folder("digits")).digest
    sampling = writing = reading = verifying = 0.0
    images = size = 0
    with tempfile.TemporaryDirectory() as out:
        sampler = Sampler("cpu", out, None, "digits", digest, "float32", 0, config.batch_size, "benchmark")
        for setting in settings(config, 1000):
            shard = Shard(setting, 0, config.shard_size)
            start = time.perf_counter()
            drawn = sampler.draw_shard(shard)
            committed = time.perf_counter()
            read_images(sampler.storage, shard, "benchmark")
            sampling += drawn.seconds
            writing += committed - start - drawn.seconds
            read = time.perf_counter()
            read_footer(sampler.storage, shard, "benchmark")
            reading += read - committed
            verifying += time.perf_counter() - read
            images += shard.rows
        size = sum(sampler.storage.find().values())
    print(f"files of the default sweep: writing {writing / sampling:.1%}, reading {reading / sampling:.1%} of sampling")
    print(f"verifying, one worker: {images / verifying:,.0f} images/s, {size / verifying / 1e6:.0f} MB/s")


def whole_sweep() -> None:
    """Print the third part."""
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        sweep = psutil.Popen([sys.executable, "jobs/sweep.py", "--out", f"{out}/run"], stdout=subprocess.DEVNULL)
        peak = [0.0]
        watcher = threading.Thread(target=_watch, args=(sweep, peak))
        watcher.start()
        status = sweep.wait()
        seconds = time.perf_counter() - start
        watcher.join()
        again = time.perf_counter()
        subprocess.run([sys.executable, "jobs/sweep.py", "--out", f"{out}/run"], stdout=subprocess.DEVNULL, check=True)
        print(f"the default sweep: {seconds:.0f} s, peak memory {peak[0] / 2**30:.1f} GiB, exit status {status}")
        print(f"a second run of it: {time.perf_counter() - again:.0f} s")


def _watch(process: psutil.Process, peak: list[float]) -> None:
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        total = 0
        for member in [process, *process.children(recursive=True)]:
            try:
                total += member.memory_full_info().pss  # shared pages counted once
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        peak[0] = max(peak[0], total)
        time.sleep(0.5)


if __name__ == "__main__":
    Parser(__doc__).parse_args()
    with cluster() as available:
        throughput(available)
    storage_share()
    whole_sweep()
