"""Measure what sampling inside the pipeline costs against bare network calls, and the default sweep as a whole.

    pip install -e '.[test]'
    python jobs/benchmark.py

Prints three parts. The first is throughput in network calls × images per second of all workers together. Each figure is
the median of interleaved rounds in one run: compare their ratios, as the absolute values depend on the machine. Then
comes what a store costs that takes half a second more a commit. The second is the share of encoding, committing and
checking files in the default sweep, and how much one worker verifies per second. The third is the time and the peak
memory of all processes of a new `python jobs/sweep.py`.
"""

import statistics
import subprocess
import sys
import tempfile
import threading
import time

import psutil
import torch
from diffusers import DDIMPipeline

from pipeline.cli import Parser
from pipeline.cluster.dispatch import Watcher
from pipeline.cluster.executor import Cluster, cluster
from pipeline.cluster.task import Rest, Task, Work
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.images import read_footer, read_images
from pipeline.sweep.model import model_folder
from pipeline.sweep.run import Run, open_run
from pipeline.sweep.shards import Shard
from pipeline.work.draw import Draw, DrawArguments, Drawn, DrawWorker

STEPS, IMAGES, ROUNDS = 50, 1000, 5


class Contender(DrawWorker):
    """Does shards in three ways in one process, so that their speeds can be compared."""

    def do(self, item: tuple[str, Shard]) -> object:  # type: ignore[override]
        """Do a shard by the method that the item names."""
        method, shard = item
        return super().do(shard) if method == "do" else getattr(self, method)(shard)

    def slow_store(self, shard: Shard) -> Rest[Drawn]:
        """Draw a shard for a store that takes another half second a commit."""
        rest = super().do(shard)

        def end() -> Drawn:
            time.sleep(0.5)
            return rest.end()

        return Rest(end)

    @torch.inference_mode()
    def network_calls(self, shard: Shard) -> None:
        """Call the network as often as the shard does, and do nothing else."""
        size = self.arguments.batch_size
        x = torch.randn(size, *self.image_shape, device=self.device)
        for _ in range(shard.rows // size):
            for node in shard.setting.grid(self.schedule)[:-1]:
                self.eps_model(x, node.t)

    def diffusers_pipeline(self, shard: Shard) -> None:
        """Draw as many images with diffusers' own pipeline, to numpy arrays."""
        size = self.arguments.batch_size
        pipe = DDIMPipeline.from_pretrained(model_folder("digits")).to(self.device)
        pipe.set_progress_bar_config(disable=True)
        for _ in range(shard.rows // size):
            pipe(size, num_inference_steps=shard.setting.steps, eta=1.0, output_type="np")


class Contest(Work[DrawArguments, tuple[str, Shard], object]):
    """Shards, one per worker unless another count is given, by one of the methods."""

    name = "contest"
    on_gpu = True
    worker = Contender

    def __init__(self, run: Run, method: str, count: int, images: int = IMAGES) -> None:
        self.run, self.method, self.count, self.images = run, method, count, images

    @property
    def arguments(self) -> DrawArguments:
        """The arguments of `Draw`."""
        return Draw(self.run).arguments

    def tasks(self) -> list[Task[tuple[str, Shard]]]:
        """Return one task per shard."""
        (setting,) = self.run.settings
        shards = [Shard(setting, i * self.images, (i + 1) * self.images) for i in range(self.count)]
        return [Task((self.method, shard), shard.name, None, shard.rows, shard.cost) for shard in shards]


def throughput(joined: Cluster) -> None:
    """Print the first part: throughput."""
    rates: dict[str, list[float]] = {"network_calls": [], "do": [], "diffusers_pipeline": []}
    pool = joined.pool(on_gpu=True)
    workers = pool.size
    with tempfile.TemporaryDirectory() as out:
        run = open_run(SweepConfig(out=out, steps=(STEPS,), eta=(1.0,)))
        for round_number in range(ROUNDS + 1):
            for method, measured in rates.items():
                contest = Contest(run, method, workers)
                tasks = contest.tasks()
                start = time.perf_counter()
                pool.run(contest, tasks, Watcher())
                if round_number:  # the first round starts the actors
                    measured.append(sum(task.cost for task in tasks) / (time.perf_counter() - start))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"eta 1, S = {STEPS}, batch {run.config.batch_size}, {workers} workers ({joined.resources.device})")
    names = ("bare network calls", "the pipeline", "diffusers' DDIMPipeline")
    for name, rate in zip(names, medians.values(), strict=True):
        print(f"  {name:<24} {rate:>9,.0f} calls × images/s  {rate / medians['network_calls']:>6.1%}")


def slow_store(joined: Cluster) -> None:
    """Print what a slow store costs where its commits overlap the drawing: ten shards a worker, two rounds in turn."""
    pool = joined.pool(on_gpu=True)
    seconds: dict[str, float] = {"do": 0.0, "slow_store": 0.0}
    with tempfile.TemporaryDirectory() as out:
        run = open_run(SweepConfig(out=out, steps=(2 * STEPS,), eta=(1.0,)))
        for _ in range(2):
            for method in seconds:
                contest = Contest(run, method, 10 * pool.size, run.config.batch_size)
                start = time.perf_counter()
                pool.run(contest, contest.tasks(), Watcher())
                seconds[method] += time.perf_counter() - start
    share, shard = seconds["do"] / seconds["slow_store"], seconds["do"] / 20
    print(f"a store that takes 0.5 s more a commit: {share:.1%} of the throughput, at {shard:.1f} s a shard")


def storage_share() -> None:
    """Print the second part: the shares of files, with one shard of each S as a sample."""
    sampling = writing = reading = verifying = 0.0
    images = size = 0
    with tempfile.TemporaryDirectory() as out:
        run = open_run(SweepConfig(out=out, eta=(0.0,)))
        worker = DrawWorker("cpu", Draw(run).arguments)
        for setting in run.settings:
            shard, fingerprint = Shard(setting, 0, run.config.shard_size), setting.fingerprint(run.identity)
            start = time.perf_counter()
            drawn = worker.do(shard).end()
            committed = time.perf_counter()
            read_images(run.storage, shard, fingerprint)
            sampling += drawn.seconds
            writing += committed - start - drawn.seconds
            read = time.perf_counter()
            read_footer(run.storage, shard, fingerprint)
            reading += read - committed
            verifying += time.perf_counter() - read
            images += shard.rows
        size = sum(run.storage.find().values())
    print(f"files of the default sweep: writing {writing / sampling:.1%}, reading {reading / sampling:.1%} of sampling")
    print(f"verifying, one worker: {images / verifying:,.0f} images/s, {size / verifying / 1e6:.0f} MB/s")


def whole_sweep() -> None:
    """Print the third part: time and memory of the default sweep."""
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
    with cluster() as joined:
        throughput(joined)
        slow_store(joined)
    storage_share()
    whole_sweep()
