"""Reconstruct: real images are encoded to x_T and decoded again with the same S (table 2 of the DDIM paper)."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from pydantic import Field

from pipeline import UserError
from pipeline.cluster.task import Rest, Task
from pipeline.images.base import Images
from pipeline.images.pictures import all_faults, changes_text, refuse, shape_text
from pipeline.images.registry import open_images
from pipeline.reporting import reconstruction
from pipeline.storage.store import DamagedFileError, Storage
from pipeline.sweep.grid import Row, Setting
from pipeline.sweep.reconstructed import KIND, Reconstructed, read_reconstructed, write_reconstructed
from pipeline.sweep.shards import Shard, Shards, plan, plan_all
from pipeline.sweep.study import GridConfig, Study, inspect, open_study, saved_identity, saved_study
from pipeline.work.draw import DrawArguments, DrawWorker
from pipeline.work.kind import Claims, File, StudyWork


class ReconstructConfig(GridConfig):
    """Which images are reconstructed, and by which walks."""

    kind = "reconstruction"
    folder = KIND

    out: str = Field(default="runs/reconstruction", description="folder or URL of the output (runs/reconstruction)")
    sampler: tuple[str, ...] = Field(default=("ddim",), description="ddim: the others have no walk upward")
    steps: tuple[int, ...] = Field(
        default=(10, 20, 50, 100, 200, 500, 1000), description="values of S, each for the way up and the way down"
    )
    images: str = Field(default="digits", description="digits, cifar10-val, a folder, or Parquet")
    num_images: int = Field(default=500, ge=2, le=10**9, description="images at most, the first of them (500)")
    batch_size: int = Field(default=125, ge=1, le=10**9, description="images a network call (125)")
    shard_size: int = Field(default=125, ge=1, le=10**9, description="images a file (125)")


def open_reconstruction(config: ReconstructConfig, storage_options: dict[str, Any] | None) -> Study:
    """Return the study of a config; writes nothing.

    Raises:
        UserError: a sampler or the model cannot be walked upward, an image does not fit the model, or see `open_study`.

    """
    for text, sampler in zip(config.sampler, config.grid.samplers(), strict=True):
        if sampler.irreversible:
            raise UserError(f"--sampler {text}: {sampler.irreversible}: use ddim, with η = 0")
    model = inspect(config.model)
    if model.prediction_type == "sample":
        raise UserError(f"--model {config.model} predicts the image, which says nothing of noise where encoding starts")
    real = open_images(config.images, "--images")
    if real.number < 2:
        raise UserError(f"--images {config.images} has {real.number} image: an error needs two")
    number = min(config.num_images, real.number)
    _assert_usable(real, number, model.image_shape)
    batch = min(config.batch_size, config.shard_size, number)
    config = config.model_copy(update={"num_images": number, "batch_size": batch})
    known = saved_identity(config, "images", storage_options)
    more = {"images": real.identity(known), "num_images": number, "shard_size": config.shard_size}
    return open_study(config, model, more, storage_options)


def _assert_usable(real: Images, number: int, shape: tuple[int, ...]) -> None:
    """Check the first `number` images, and say what is left out or converted. Raises UserError."""
    faults: list[str] = []
    changes: Counter[str] = Counter()
    for picture in real.pictures(0, number):
        faults += all_faults([picture], shape)
        changes.update(picture.changes)
    refuse(f"{real.source}, for a model that draws {shape_text(shape)}", faults, number)
    if real.note:
        print(real.note, file=sys.stderr)
    if changes:
        print(f"{real.source}: {changes_text(changes)}", file=sys.stderr)


def saved_encodings(url: str, storage_options: dict[str, Any] | None) -> Study:
    """Return the reconstruction in an output. Raises UserError if there is none."""
    try:
        return saved_study({ReconstructConfig.kind: ReconstructConfig}, url, storage_options)
    except (UserError, DamagedFileError) as error:
        raise UserError(f"--encodings {url} is no output of jobs/reconstruct.py: {error}") from None


def assert_encoded(source: Study, setting: Setting, model: str, positions: Sequence[int]) -> None:
    """Check that a reconstruction has x_T of images; `model` is a digest.

    Raises:
        UserError: it is of another model, does not have the setting, or has not so many images.

    """
    if setting not in [*source.settings, *source.earlier] or source.identity["model"] != model:
        raise UserError(f"--encodings {source.out} has no {setting.slug} of this model: reconstruct with it first")
    if max(positions) >= (number := source.identity["num_images"]):
        raise UserError(f"--encodings {source.out} has {number} images, and --seeds asks for number {max(positions)}")
    encoded(source, setting, positions[:1])


def encoded(source: Study, setting: Setting, positions: Sequence[int]) -> torch.Tensor:
    """Return the x_T to which a reconstruction has encoded images: float32, (N, C, H, W). Raises DamagedFileError."""
    x_T_of: dict[int, torch.Tensor] = {}
    fingerprint = setting.fingerprint(source.identity)
    for shard in plan(setting, source.identity["num_images"], source.identity["shard_size"]):
        if wanted := [position for position in positions if shard.first <= position < shard.end]:
            x_T = read_reconstructed(source.storage, shard, fingerprint).x_T
            x_T_of |= {position: x_T[position - shard.first] for position in wanted}
    return torch.stack([x_T_of[position] for position in positions])


@dataclass(frozen=True)
class ReconstructArguments:
    """The arguments of a `ReconstructWorker`."""

    drawing: DrawArguments
    images: str


class ReconstructWorker:
    """Encodes and decodes images."""

    def __init__(self, device: str, arguments: ReconstructArguments) -> None:
        """Load the model."""
        self.drawer = DrawWorker(device, arguments.drawing)
        self.real = open_images(arguments.images, "--images")

    def do(self, shard: Shard) -> Rest[int]:
        """Reconstruct a shard of images; the rest is to commit its file.

        Raises:
            ValueError: an image has another shape than the model's, or a reconstruction is not finite.

        """
        batches = torch.arange(shard.first, shard.end).split(self.drawer.arguments.batch_size)
        x_T, mse = zip(*(self.reconstruct(shard.setting, batch) for batch in batches), strict=True)
        return Rest(partial(self.commit, shard, torch.cat(x_T), torch.cat(mse)))

    def reconstruct(self, setting: Setting, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return x_T, float32, and the mean squared error on [0, 1] of each image, float64, (N,).

        The error is that of floats, before any rounding or clamping. A position is the image's seed, as for its label.
        """
        walker, walk, shape = self.drawer.walker, self.drawer.walk_of(setting), self.drawer.model.info.image_shape
        images = [*self.real.read(int(positions[0]), int(positions[-1]) + 1)]
        if wrong := [tuple(image.shape) for image in images if tuple(image.shape) != shape]:
            raise ValueError(f"an image has shape {wrong[0]}, the model draws {shape}")
        x_0 = torch.stack(images).to(self.drawer.device).float() / 127.5 - 1
        x_T = walker.encode(walk, positions, x_0)
        mse = ((walker.draw(walk, positions, x_T).double() - x_0.double()) / 2).square().flatten(1).mean(1)
        return x_T.cpu(), mse.cpu()

    def commit(self, shard: Shard, x_T: torch.Tensor, mse: torch.Tensor) -> int:
        """Commit the file of a shard and return its number of images."""
        fingerprint = shard.setting.fingerprint(self.drawer.arguments.identity)
        write_reconstructed(self.drawer.storage, shard, Reconstructed(x_T, mse), fingerprint)
        return shard.rows


class Reconstruct(StudyWork[ReconstructArguments, Shard, int]):
    """Encodes and decodes real images, with every S of the grid."""

    name = "drawing"
    on_gpu = True
    worker = ReconstructWorker
    config = ReconstructConfig

    @property
    def arguments(self) -> ReconstructArguments:
        """The arguments for the study's model and images."""
        config = self.study.config
        assert isinstance(config, ReconstructConfig)
        return ReconstructArguments(DrawArguments.of_study(self.study), config.images)

    def shards(self) -> Shards:
        """Return all shards."""
        identity = self.study.identity
        return plan_all(self.study.settings, identity["num_images"], identity["shard_size"])

    def planned(self) -> Sequence[Task[Shard]]:
        """Return one task per shard; both ways cost the setting's network calls."""
        return [Task(s, s.full_name, s.setting.slug, s.rows, 2 * s.cost) for s in self.shards()]

    def file(self, item: Shard) -> File:
        """Return the file of a shard."""
        fingerprint = item.setting.fingerprint(self.study.identity)
        return File(item.path(KIND), partial(_check, item, fingerprint), shard=item)

    def rows(self) -> list[Row]:
        """Return the numbers of each setting."""
        study, rows = self.study, []
        for setting in study.settings:
            fingerprint = setting.fingerprint(study.identity)
            shards = plan(setting, study.identity["num_images"], study.identity["shard_size"])
            parts = [read_reconstructed(study.storage, shard, fingerprint) for shard in shards]
            rows.append(reconstruction.row(study, setting, parts))
        return rows

    def publish(self) -> str:
        """Write metrics.json and report/, and return the table."""
        return reconstruction.publish(self.study, dict(zip(self.study.settings, self.rows(), strict=True)))


def _check(shard: Shard, fingerprint: str, storage: Storage) -> Claims:
    read_reconstructed(storage, shard, fingerprint)
    return {}
