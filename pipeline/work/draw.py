"""Draw: each shard of a setting becomes one file of images."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from pipeline.cluster.task import Rest, Task, Tasks
from pipeline.device import Form, Precision, device_name, set_tf32
from pipeline.diffusion.model import Walk, Walker
from pipeline.diffusion.schedule import Grid
from pipeline.images.pixels import Pixels, pixel_digest, to_uint8
from pipeline.storage.store import Storage
from pipeline.sweep.grid import Setting
from pipeline.sweep.images import ImageFile, read_footer, write_images
from pipeline.sweep.model import read_model
from pipeline.sweep.shards import Shard, Shards, pending, plan_all
from pipeline.sweep.study import Study
from pipeline.work.kind import Claims, File, Place, RunWork


@dataclass(frozen=True)
class Drawn:
    """What a worker reports of a finished shard to the driver."""

    rows: int
    seconds: float
    digest: str


@dataclass(frozen=True)
class DrawArguments:
    """The arguments of a `DrawWorker`."""

    output: Place
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

    @classmethod
    def of_study(cls, study: Study) -> "DrawArguments":
        """Return the arguments for a study's model and noise."""
        config = study.config
        return cls(Place.of(study), study.identity, config.model, config.dtype, config.seed, config.batch_size)


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
        own, asked = checkpoint.info.digest, arguments.identity["model"]
        if own != asked:
            raise ValueError(f"model {arguments.model!r} is another one on this node: digest {own}, not {asked}")
        self.device = device
        self.arguments = arguments
        self.model = checkpoint.load(device, arguments.precision, arguments.form)
        self.walker = Walker(self.model, device, arguments.seed, arguments.batch_size, arguments.form)
        self.walk_of = cache(self._walk)
        self.storage = arguments.output.open()

    def do(self, shard: Shard) -> Rest[Drawn]:
        """Draw the images of a shard; the rest is to encode them and to commit their file.

        Raises:
            ValueError: see `draw_batch`.

        """
        set_tf32(self.arguments.precision == "tf32")  # another work of this process has its own
        self.walker.network.calls.clear()  # of a shard that failed
        start = time.perf_counter()
        seeds = torch.arange(shard.first, shard.end).split(self.arguments.batch_size)
        batches = [self.draw_batch(shard.setting, batch) for batch in seeds]
        pixels = np.concatenate(batches)
        seconds = time.perf_counter() - start
        # by the mean, so that a sampler that calls it more often than it says is seen to be slower
        network_seconds = self.walker.network.take() * shard.setting.nfe * len(batches)
        return Rest(partial(self.commit, shard, pixels, seconds, network_seconds))

    def commit(self, shard: Shard, pixels: Pixels, seconds: float, network_seconds: float) -> Drawn:
        """Encode and commit the images of a shard; for the seconds see `ImageFile`."""
        digest, fingerprint = pixel_digest(pixels), shard.setting.fingerprint(self.arguments.identity)
        device = device_name(self.device)
        times = seconds, device, torch.__version__, network_seconds
        info = ImageFile(fingerprint, shard.rows, digest, *times, [*self.model.info.notes])
        labels = self.model.labels(torch.arange(shard.first, shard.end))
        of_class = None if labels is None else labels.tolist()
        write_images(self.storage, shard, pixels, info, tau_of(self.walk_of(shard.setting).grid), of_class)
        return Drawn(shard.rows, seconds, digest)

    def draw_batch(self, setting: Setting, seeds: torch.Tensor) -> Pixels:
        """Return the images with the given seeds, int64, (N,): uint8, (N, H, W, C). See `Walker.draw`."""
        return to_uint8(self.walker.draw(self.walk_of(setting), seeds)).permute(0, 2, 3, 1).cpu().numpy()

    def _walk(self, setting: Setting) -> Walk:
        return Walk(setting.sampler, setting.grid(self.model.schedule), setting.clip)


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
        return DrawArguments(Place.of(self.run), self.run.identity, *of_config)

    def missing(self) -> Shards:
        """Return the shards without an image file."""
        return pending(self.run.storage, "images", self.run.shards())

    def tasks(self) -> Tasks[Shard]:
        """Return one task per shard without an image file."""
        return Tasks(self.missing(), self.task)

    def task(self, shard: Shard) -> Task[Shard]:
        """Return the task of a shard."""
        return Task(shard, shard.full_name, shard.setting.slug, shard.rows, shard.cost)

    def files(self, settings: Sequence[Setting], listed: Mapping[str, int]) -> Iterable[File]:
        """Return the image files."""
        for shard in plan_all(settings, self.run.config.num_images, self.run.config.shard_size):
            fingerprint = shard.setting.fingerprint(self.run.identity)
            yield File(shard.path("images"), partial(_check_images, shard, fingerprint), shard=shard)


def tau_of(grid: Grid) -> list[float]:
    """Return the ascending timesteps that a walk leaves on its grid; whole ones are integers."""
    return [int(node.t) if node.t.is_integer() else node.t for node in reversed(grid[:-1])]


def _check_images(shard: Shard, fingerprint: str, storage: Storage) -> Claims:
    return {shard.path("images"): read_footer(storage, shard, fingerprint).digest}
