"""What the benchmark times: ways to draw the same images in one process, and the networks that they draw with."""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, cast

import torch
from diffusers import DDIMPipeline
from torch.utils.flop_counter import FlopCounterMode

from pipeline.cluster.dispatch import Watcher
from pipeline.cluster.executor import ActorPool
from pipeline.cluster.resources import JEMALLOC, Resources
from pipeline.cluster.task import Rest, Task, Work
from pipeline.diffusion.network import Network, UNet
from pipeline.diffusion.schedule import Node
from pipeline.evaluation.digits import DIGITS
from pipeline.evaluation.measurement import open_measurement
from pipeline.images.digits import DIGITS_SHAPE
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.model import model_folder, read_model
from pipeline.sweep.run import Run
from pipeline.sweep.shards import Shard
from pipeline.work.draw import Draw, DrawArguments, Drawn, DrawWorker
from pipeline.work.perform import results_of

NETWORK = "plain_network"
CONTENDERS = {
    "gemm": "bound: the network's FLOPs at the rate of matrix products",
    NETWORK: "bare network calls, plain",
    "best_network": "bare network calls, {form}",
    "plain_line": "this pipeline, plain",
    "best_line": "this pipeline, {form}",
    "diffusers_default": "DDIMPipeline, as it is called",
    "diffusers_best": "DDIMPipeline, {form}, to arrays",
}
"""Name → label."""
AS_PEOPLE_RUN = (NETWORK, "diffusers_default")
"""Those that are timed in a process that allocates as any other, and not as a worker."""
WITHOUT_ETA = ("gemm", NETWORK, "best_network")
MATRICES = (512, 1024, 1536, 2048)
"""Sizes of square matrices, of which the fastest counts."""


class Untouched(Resources):
    """Resources for a process without what the pipeline sets for its workers."""

    @property
    def actor_options(self) -> dict[str, Any]:
        """Ray's options."""
        command = f"env {' '.join(f'-u {name}' for name in ('LD_PRELOAD', *JEMALLOC))} {sys.executable}"
        return {"num_cpus": 0, "runtime_env": {"py_executable": command}}


class Contender(DrawWorker):
    """Does shards in several ways in one process, so that their speeds can be compared.

    Its own form is the best one. Each way but those that are lines returns its seconds, without Ray's.
    """

    @cached_property
    def plain(self) -> DrawWorker:
        """A worker with the same network in the plain form."""
        return DrawWorker(self.device, replace(self.arguments, form="plain"))

    def do(self, item: tuple[str, Shard]) -> Any:  # type: ignore[override]
        """Do a shard in the way that the item names."""
        way, shard = item
        return getattr(self, way)(shard)

    def plain_line(self, shard: Shard) -> Rest[Drawn]:
        """Draw, encode and commit a shard with the plain network."""
        return self.plain.do(shard)

    def best_line(self, shard: Shard) -> Rest[Drawn]:
        """Draw, encode and commit a shard with the network in its best form."""
        return super().do(shard)

    def slow_store(self, shard: Shard) -> Rest[Drawn]:
        """Draw a shard for a store that takes another half second a commit."""
        rest = self.plain.do(shard)

        def end() -> Drawn:
            time.sleep(0.5)
            return rest.end()

        return Rest(end)

    def plain_network(self, shard: Shard) -> float:
        """Call the plain network as often as the shard does, and do nothing else."""
        return self.calls(self.plain.walker.network.network, shard)

    def best_network(self, shard: Shard) -> float:
        """Do so in the best form."""
        return self.calls(self.walker.network.network, shard)

    def diffusers_default(self, shard: Shard) -> float:
        """Draw as many images with diffusers' pipeline as people call it, to images in memory."""
        return self.draw_by(self.pipelines[0], shard, lambda pipe, **options: pipe(**options))

    def diffusers_best(self, shard: Shard) -> float:
        """Draw as many with the settings that its guide names, to arrays; numpy has no bfloat16."""
        return self.draw_by(
            self.pipelines[1], shard, lambda pipe, **options: pipe(output_type="pt", **options).images.float().cpu()
        )

    def gemm(self, shard: Shard) -> float:
        """Return the seconds of matrix products of as many FLOPs as the shard's network calls have, done one by one."""
        flops, a_product = self.flops * shard.cost, 2 * self.size**3
        count = math.ceil(flops / a_product)
        return self.products(self.size, count) * flops / (count * a_product)

    def clock(self, shard: Shard) -> float:
        """Return the CPU seconds that this process has used."""
        return time.process_time()

    @torch.inference_mode()
    def calls(self, network: Network, shard: Shard) -> float:
        """Return the seconds of a shard's network calls."""
        x_t = torch.randn(self.arguments.batch_size, *self.model.info.latent_shape, device=self.device)
        labels = self.model.labels(torch.arange(len(x_t), device=self.device))
        start = time.perf_counter()
        for _ in range(shard.rows // len(x_t)):
            for node in self.walk_of(shard.setting).grid[:-1]:
                network(x_t, node, labels)
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    def draw_by(self, pipe: Any, shard: Shard, call: Callable[..., Any]) -> float:
        """Return the seconds in which diffusers' pipeline draws a shard."""
        size, eta = self.arguments.batch_size, shard.setting.sampler.options["eta"]
        start = time.perf_counter()
        for _ in range(shard.rows // size):
            call(pipe, batch_size=size, num_inference_steps=shard.setting.nfe, eta=eta)
        return time.perf_counter() - start

    @cached_property
    def pipelines(self) -> tuple[Any, Any]:
        """Diffusers' pipeline as it is loaded, and in channels_last with its network compiled if ours is."""
        form, dtype = self.arguments.form, cast(UNet, self.walker.network.network).dtype
        made = []
        for _ in range(2):
            pipe = DDIMPipeline.from_pretrained(model_folder(self.arguments.model), torch_dtype=dtype)
            pipe.set_progress_bar_config(disable=True)
            made.append(pipe.to(self.device))
        made[1].unet.to(memory_format=torch.channels_last)
        if form == "compiled":
            mode = "max-autotune" if self.device == "cuda" else "default"
            made[1].unet = torch.compile(made[1].unet, mode=mode, fullgraph=True)
        return made[0], made[1]

    @cached_property
    def flops(self) -> int:
        """FLOPs of a network call for one image."""
        return count_flops(cast(UNet, self.plain.walker.network.network), self.model.info.latent_shape, self.device)

    @cached_property
    def size(self) -> int:
        """The size of matrices of which a single product is the fastest."""
        return max(MATRICES, key=lambda n: n**3 / min(self.products(n, 1) for _ in range(5)))

    @torch.inference_mode()
    def products(self, n: int, count: int) -> float:
        """Return the seconds of so many products of n × n matrices, in the network's precision."""
        a = torch.randn(n, n, device=self.device, dtype=cast(UNet, self.walker.network.network).dtype)
        start = now(self.device)
        for _ in range(count):
            a @ a
        return now(self.device) - start


class Contest(Work[DrawArguments, tuple[str, Shard], Any]):
    """A run's shards of one eta, in one of the ways."""

    name = "contest"
    on_gpu = True
    worker = Contender

    def __init__(self, run: Run, way: str, eta: float, count: int) -> None:
        self.run, self.way, self.eta, self.count = run, way, eta, count

    @property
    def arguments(self) -> DrawArguments:
        """The arguments of `Draw`."""
        return Draw(self.run).arguments

    def tasks(self) -> list[Task[tuple[str, Shard]]]:
        """Return one task per shard."""
        setting = next(one for one in self.run.settings if one.sampler.options["eta"] == self.eta)
        size = self.run.config.shard_size
        shards = [Shard(setting, i * size, (i + 1) * size) for i in range(self.count)]
        return [Task((self.way, shard), shard.name, None, shard.rows, shard.cost) for shard in shards]

    def results(self, pool: ActorPool, one_worker: bool = True) -> tuple[float, list[Any]]:
        """Return the seconds that the shards take, on the wall, and what they return.

        Raises:
            IncompleteError: all attempts at a shard failed.

        """
        start = time.perf_counter()
        results = results_of(self, pool, Watcher(), first=one_worker)
        return time.perf_counter() - start, results

    def speed(self, pool: ActorPool) -> tuple[float, float]:
        """Return one worker's network calls × images a second, on the wall and of its process's CPU time."""
        clock = Contest(self.run, "clock", self.eta, 1)
        before = clock.results(pool)[1][0]
        wall, results = self.results(pool)
        used = clock.results(pool)[1][0] - before
        own = sum(result for result in results if isinstance(result, float))
        return self.cost / (own or wall), self.cost / (own if self.way == "gemm" else used)

    @property
    def cost(self) -> int:
        """The network calls × images of all shards."""
        return sum(task.cost for task in self.tasks())


def now(device: str) -> float:
    """Return seconds: the CPU time of this process, or the wall's once a GPU has done all that it was given."""
    if device != "cuda":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


@torch.inference_mode()
def count_flops(network: UNet, image_shape: tuple[int, ...], device: str) -> int:
    """Return the FLOPs of a network call for one image: those of convolutions, products and attention."""
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, *image_shape, device=device), Node(0.0, 1.0))
    return int(counter.get_total_flops())


def run_of(config: SweepConfig) -> Run:
    """Return a run that is drawn and never measured, of images of any shape."""
    model = read_model(config.model).info
    identity = config.identity(model.identity)
    return Run(config, model, identity, open_measurement(DIGITS, None, "digits", DIGITS_SHAPE, identity), None)
