"""Draw: each shard of a setting becomes one file of images."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
import torch

from pipeline.cluster.task import Rest, Task, Tasks
from pipeline.device import Form, Precision, device_name, set_tf32
from pipeline.diffusion import noise
from pipeline.diffusion.network import Timed, UNet
from pipeline.diffusion.samplers.base import predictor
from pipeline.diffusion.schedule import Grid, Node
from pipeline.images.pixels import Pixels, pixel_digest, to_uint8
from pipeline.storage.store import Storage
from pipeline.sweep.grid import Setting
from pipeline.sweep.images import ImageFile, read_footer, write_images
from pipeline.sweep.model import read_model
from pipeline.sweep.shards import Shard, Shards, pending, plan_all
from pipeline.work.kind import Claims, File, Output, RunWork


@dataclass(frozen=True)
class Drawn:
    """What a worker reports of a finished shard to the driver."""

    rows: int
    seconds: float
    digest: str


@dataclass(frozen=True)
class DrawArguments:
    """The arguments of a `DrawWorker`."""

    output: Output
    identity: dict[str, Any]
    """The identity of the run's images."""
    model: str
    """The model, as for `read_model`. On every node it must have the digest that the identity has."""
    precision: Precision
    seed: int
    """The seed of the run."""
    batch_size: int
    """Images per network call."""
    form: Form = "plain"
    """How the network runs."""


class DrawWorker:
    """Draws shards. On a CPU it uses one thread, since the last bit of a sum depends on the number of threads."""

    def __init__(self, device: str, arguments: DrawArguments) -> None:
        """Load the model.

        Raises:
            ValueError: the model on this node is another one, or the device does not have the precision.

        """
        if device == "cpu":
            torch.set_num_threads(1)
            if arguments.precision == "tf32":
                raise ValueError("tf32 is a GPU's, and torch sees none here")
        checkpoint = read_model(arguments.model)
        here, asked = checkpoint.info.digest, arguments.identity["model"]
        if here != asked:
            raise ValueError(f"model {arguments.model!r} is another one on this node: digest {here}, not {asked}")
        self.device = device
        self.arguments = arguments
        self.eps_model = Timed(UNet(checkpoint.weights, device, arguments.precision, arguments.form), device)
        self.image_shape = checkpoint.info.image_shape
        self.schedule = checkpoint.info.schedule()
        self.model_notes = list(checkpoint.info.notes)
        self.grid_of = cache(lambda setting: setting.grid(self.schedule))
        self.storage = arguments.output.open()

    @cached_property
    def normals(self) -> noise.Normals:
        """The noise's normals; compiled, on a GPU, a few kernels in place of some three hundred."""
        arguments = self.arguments
        if arguments.form != "compiled":
            return noise.four_normals
        return noise.compiled(arguments.seed, arguments.batch_size, self.image_shape, self.device)

    def do(self, shard: Shard) -> Rest[Drawn]:
        """Draw the images of a shard; the rest is to encode them and to commit their file.

        Raises:
            ValueError: see `draw_batch`.

        """
        set_tf32(self.arguments.precision == "tf32")  # another work of this process has its own
        self.eps_model.calls.clear()  # of a shard that failed
        start = time.perf_counter()
        size = self.arguments.batch_size
        # Seeds past the end fill the last batch: kernels choose their order of summation by batch size.
        batches = [
            self.draw_batch(shard.setting, torch.arange(first, first + size, device=self.device))
            for first in range(shard.first, shard.end, size)
        ]
        pixels = np.concatenate(batches)[: shard.rows]
        seconds = time.perf_counter() - start
        # by the mean, so that a sampler that calls it more often than it says is seen to be slower
        network_seconds = self.eps_model.take() * shard.setting.nfe * len(batches)
        return Rest(partial(self.commit, shard, pixels, seconds, network_seconds))

    def commit(self, shard: Shard, pixels: Pixels, seconds: float, network_seconds: float) -> Drawn:
        """Encode and commit the images of a shard; for the seconds see `ImageFile`."""
        digest, fingerprint = pixel_digest(pixels), shard.setting.fingerprint(self.arguments.identity)
        device = device_name(self.device)
        times = seconds, device, torch.__version__, network_seconds
        info = ImageFile(fingerprint, shard.rows, digest, *times, self.model_notes)
        write_images(self.storage, shard, pixels, info, tau_of(self.grid_of(shard.setting)))
        return Drawn(shard.rows, seconds, digest)

    @torch.inference_mode()
    def draw_batch(self, setting: Setting, seeds: torch.Tensor) -> Pixels:
        """Return the images with the given seeds, int64, (N,): uint8, (N, H, W, C).

        Raises:
            ValueError: an image is not finite, which its uint8 pixels would not show.

        """

        def normal(step: int) -> torch.Tensor:
            return noise.normal(self.arguments.seed, seeds, step, self.image_shape, self.normals)

        def step_noise(node: Node) -> torch.Tensor:
            return normal(self.schedule.noise_step(node))

        predict = predictor(self.eps_model, setting.clip)
        x_0 = setting.sampler.sample(predict, normal(noise.X_T_STEP), self.grid_of(setting), step_noise)
        if bad := seeds[~x_0.flatten(1).isfinite().all(1)].tolist():
            raise ValueError(
                f"{len(bad)} of {len(seeds)} images are not finite, the first has seed {bad[0]}: the weights are "
                f"broken, or too large for --dtype {self.arguments.precision}"
            )
        return to_uint8(x_0).permute(0, 2, 3, 1).cpu().numpy()


class Draw(RunWork[DrawArguments, Shard, Drawn]):
    """Draws the images of a run."""

    name = "drawing"
    on_gpu = True
    worker = DrawWorker

    @property
    def arguments(self) -> DrawArguments:
        """The arguments for the run's model and noise."""
        config = self.run.config
        of_config = config.model, config.dtype, config.seed, config.batch_size, config.form
        return DrawArguments(Output.of(self.run), self.run.identity, *of_config)

    def missing(self) -> Shards:
        """Return the shards without an image file."""
        return pending(self.run.storage, "images", self.run.shards())

    def tasks(self) -> Tasks[Shard]:
        """Return one task per shard without an image file."""
        return Tasks(self.missing(), self.task)

    def task(self, shard: Shard) -> Task[Shard]:
        """Return the task of a shard."""
        return Task(shard, shard.full_name, shard.setting.slug, shard.rows, shard.cost)

    def files(self, settings: Sequence[Setting], found: Mapping[str, int]) -> Iterable[File]:
        """Return the image files."""
        for shard in plan_all(settings, self.run.config.num_images, self.run.config.shard_size):
            fingerprint = shard.setting.fingerprint(self.run.identity)
            yield File(shard.path("images"), partial(_check_images, shard, fingerprint), shard=shard)


def tau_of(grid: Grid) -> list[float]:
    """Return the ascending timesteps that a walk leaves on its grid; whole ones are integers."""
    return [int(node.t) if node.t.is_integer() else node.t for node in reversed(grid[:-1])]


def _check_images(shard: Shard, fingerprint: str, storage: Storage) -> Claims:
    return {shard.path("images"): read_footer(storage, shard, fingerprint).digest}
