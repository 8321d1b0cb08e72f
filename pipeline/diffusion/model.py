"""A model: what a checkpoint is, and the one place where a walk from noise to images is set up."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from pipeline.device import Form, Precision
from pipeline.diffusion import noise
from pipeline.diffusion.network import Network, Timed
from pipeline.diffusion.prediction import PARAMETRIZATIONS, Predict, assert_predicts, predictor
from pipeline.diffusion.samplers.base import Sampler
from pipeline.diffusion.schedule import SCHEDULES, Grid, Node, Schedule
from pipeline.diffusion.tuned import tuned_grids


@dataclass(frozen=True)
class ModelInfo:
    """A checkpoint's metadata. It has no path in it, so that an output that stores it can be moved.

    A field that is added needs a default, which outputs of earlier releases then have.
    """

    image_shape: tuple[int, int, int]
    """(C, H, W) of the model's images."""
    latent_shape: tuple[int, int, int]
    """(C, H, W) of x_T and of all that the network sees; that of the images for a model of pixels."""
    num_train_timesteps: int
    beta_start: float
    beta_end: float
    digest: str
    """SHA-256 of the files of the weights, the network's config and, if there is one, the scheduler's config."""
    ema: bool | None
    """Whether the weights are an exponential moving average; None if unknown."""
    notes: tuple[str, ...] = ()
    """What the user should know: what was assumed of the model, taken of its files, or passed over in them."""
    prediction_type: str = "epsilon"
    """What the network predicts, one of `PARAMETRIZATIONS`."""
    noise_schedule: str = "linear"
    """How noise grows with time, one of `SCHEDULES`."""
    num_classes: int | None = None
    """Classes of images that the network knows by a label; None if it takes no label."""

    @classmethod
    def load(cls, saved: Mapping[str, Any]) -> "ModelInfo":
        """Return what `asdict` of this or another release turned into these values, as JSON gives them back.

        Fields that an earlier release did not have get their defaults; those of a later one are passed over.

        Raises:
            LookupError, ValueError: they are not those of a model, or of one that this release cannot draw from.

        """
        try:
            info = _SAVED.validate_python({"latent_shape": saved["image_shape"]} | dict(saved))
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{first['loc'][0]} of its model: {first['msg']}") from None
        for name, known in (("prediction_type", PARAMETRIZATIONS), ("noise_schedule", SCHEDULES)):
            if (value := getattr(info, name)) not in known:
                raise ValueError(f"{name} {value!r} of its model is none of {', '.join(known)}")
        return info

    @property
    def identity(self) -> dict[str, Any]:
        """What the model adds to the identity of images: its digest, and how seeds get labels if it takes some."""
        return {"model": self.digest} | ({} if self.num_classes is None else {"labels": "equal"})

    def schedule(self) -> Schedule:
        """Return the schedule that the model was trained with, with the grids that were searched for the model.

        Raises UserError if it is none for its prediction.
        """
        schedule = SCHEDULES[self.noise_schedule](self.num_train_timesteps, self.beta_start, self.beta_end)
        assert_predicts(self.prediction_type, schedule)
        return replace(schedule, tuned=tuned_grids(self.digest))


_SAVED = TypeAdapter(ModelInfo)


def _pixels(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class Model:
    """A checkpoint on a device."""

    info: ModelInfo
    network: Network
    decode: Callable[[Tensor], Tensor] = _pixels
    """Latents, (N, *latent_shape), to images, (N, *image_shape), approximately in [-1, 1]."""
    encode: Callable[[Tensor], Tensor] = _pixels
    """Images to latents."""

    @cached_property
    def schedule(self) -> Schedule:
        """The schedule that the model was trained with."""
        return self.info.schedule()

    def labels(self, seeds: Tensor) -> Tensor | None:
        """Return the classes of images by their seeds, int64, (N,): as many of each; None if the model has none."""
        return None if self.info.num_classes is None else seeds % self.info.num_classes

    def predict(self, labels: Tensor | None, clip: bool) -> Predict:
        """Return what a sampler calls for images of these classes; see `predictor`."""
        parametrization = PARAMETRIZATIONS[self.info.prediction_type]
        return predictor(lambda x_t, node: self.network(x_t, node, labels), parametrization, clip)


class Checkpoint(ABC):
    """A model whose weights are not loaded yet."""

    info: ModelInfo

    @abstractmethod
    def load(self, device: str, precision: Precision = "float32", form: Form = "plain") -> Model:
        """Load it onto "cpu" or "cuda"; precision and form are the network's. Raises UserError if it is broken."""


@dataclass(frozen=True)
class Walk:
    """A way between x_T and an image."""

    sampler: Sampler
    grid: Grid
    clip: bool


class Walker:
    """Walks between x_T and images, in which everything that is random is a function of an image's seed.

    The network always sees a whole batch, since kernels choose their order of summation by its size: the last row fills
    it up.
    """

    def __init__(self, model: Model, device: str, seed: int, batch_size: int, form: Form = "plain") -> None:
        """Set up walks.

        Args:
            model: the model, on `device`.
            device: "cpu" or "cuda".
            seed: the seed of the run.
            batch_size: images a network call.
            form: how the network runs; the noise is compiled if the network is.

        """
        self.network = Timed(model.network, device)
        self.model = replace(model, network=self.network)
        self.device, self.seed, self.batch_size, self.form = device, seed, batch_size, form

    def x_T(self, seeds: Tensor) -> Tensor:
        """Return the x_T of images by their seeds, int64, (N,): float32, (N, *latent_shape)."""
        return self.model.schedule.x_T_scale * self._normal(seeds.to(self.device), noise.X_T_STEP)

    @torch.inference_mode()
    def draw(self, walk: Walk, seeds: Tensor, x_T: Tensor | None = None) -> Tensor:
        """Return images as floats, approximately in [-1, 1]: float32, (N, *image_shape).

        Args:
            walk: the way.
            seeds: the images' seeds, int64, (N,), which choose their labels and noise.
            x_T: where the walks begin, (N, *latent_shape); None for the noise of the seeds.

        Raises:
            ValueError: an image is not finite, which its uint8 pixels would not show.

        """

        def draw(seeds: Tensor, x_T: Tensor | None = None) -> Tensor:
            x_T = self.x_T(seeds) if x_T is None else x_T
            x_0 = walk.sampler.sample(self._predict(walk, seeds), x_T, walk.grid, self._noise(seeds))
            finite = x_0.flatten(1).isfinite().all(1)  # here, since a decoder may hide it
            return self.model.decode(x_0).where(finite.view(-1, 1, 1, 1), torch.nan)

        images = self._in_batches(draw, seeds, *([] if x_T is None else [x_T]))
        if bad := seeds[~images.flatten(1).isfinite().all(1).to(seeds.device)].tolist():
            raise ValueError(
                f"{len(bad)} of {len(seeds)} images are not finite, the first has seed {bad[0]}: the weights are "
                "broken, or too large for the --dtype"
            )
        return images

    @torch.inference_mode()
    def steps(self, walk: Walk, seeds: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x_t, pred_x0), (N, *latent_shape), after each step of the walks of some seeds, at most a batch."""
        filled = self._filled(seeds.to(self.device))
        x_T, predict, of_step = self.x_T(filled), self._predict(walk, filled), self._noise(filled)
        for x_t, pred_x0 in walk.sampler.walk(predict, x_T, walk.grid, of_step):
            yield x_t[: len(seeds)], pred_x0[: len(seeds)]

    @torch.inference_mode()
    def encode(self, walk: Walk, seeds: Tensor, images: Tensor) -> Tensor:
        """Return the x_T, (N, *latent_shape), from which the walk leads back to about these images, (N, *image_shape).

        The seeds, int64, (N,), choose labels. Raises ValueError if the sampler is `irreversible`.
        """

        def encode(seeds: Tensor, images: Tensor) -> Tensor:
            return walk.sampler.encode(self._predict(walk, seeds), self.model.encode(images), walk.grid)

        return self._in_batches(encode, seeds, images)

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of latents, on the device."""
        return self.model.decode(latents.to(self.device))

    @cached_property
    def _normals(self) -> noise.Normals:
        """The noise's normals; compiled, on a GPU, a few kernels in place of some three hundred."""
        if self.form != "compiled":
            return noise.four_normals
        return noise.compiled(self.seed, self.batch_size, self.model.info.latent_shape, self.device)

    def _normal(self, seeds: Tensor, step: int) -> Tensor:
        return noise.normal(self.seed, seeds, step, self.model.info.latent_shape, self._normals)

    def _noise(self, seeds: Tensor) -> Callable[[Node], Tensor]:
        return lambda node: self._normal(seeds, self.model.schedule.noise_step(node))

    def _predict(self, walk: Walk, seeds: Tensor) -> Predict:
        return self.model.predict(self.model.labels(seeds), walk.clip)

    def _in_batches(self, function: Callable[..., Tensor], *columns: Tensor) -> Tensor:
        """Return what a function of whole batches returns for all rows of some tensors."""
        batches = zip(*(column.to(self.device).split(self.batch_size) for column in columns), strict=True)
        return torch.cat([function(*map(self._filled, batch))[: len(batch[0])] for batch in batches])

    def _filled(self, rows: Tensor) -> Tensor:
        return torch.cat([rows, rows[-1:].expand(self.batch_size - len(rows), *rows.shape[1:])])
