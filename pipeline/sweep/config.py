"""SweepConfig: what the user asks for. Frozen, validated once, saved with the outputs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from pipeline import UserError
from pipeline.device import Form, Precision
from pipeline.diffusion import samplers
from pipeline.diffusion.noise import NOISE_VERSION
from pipeline.diffusion.samplers.base import Sampler
from pipeline.diffusion.samplers.ddim import DDIM, Eta
from pipeline.diffusion.spacing import SPACINGS, TUNED, canonical
from pipeline.sweep.presets import DDIM_SPACINGS, MISSING, PRESETS

Steps = Annotated[int, Field(ge=1)]
Clip = Literal["hat", "always", "never"]
Speed = Literal[Form, "auto"]
"""A form, or what is to become one."""
AUTO: Literal["auto"] = "auto"
"""What is chosen on a worker before the first file is written, and then saved as if the user had given it."""
AUTO_BATCH = 0
"""The batch size that stands for `AUTO` until it is chosen."""


def _batch_size(value: Any) -> Any:
    if str(value) == str(AUTO_BATCH):
        raise ValueError(f"give 1 or more, or {AUTO}")
    return AUTO_BATCH if value == AUTO else value


def _names(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Extractors = Annotated[tuple[str, ...], BeforeValidator(_names)]
"""One or several; outputs of earlier releases have one, as text."""
BatchSize = Annotated[int, Field(ge=AUTO_BATCH, le=10**9), BeforeValidator(_batch_size)]


class SweepConfig(BaseModel):
    """A grid of settings of one model, and the number of images per setting. The defaults are the digits preset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str = Field(default="digits", description=f"{', '.join(PRESETS)}; digits is the default")
    out: str = Field(default="runs/digits", description="folder or URL of the outputs")
    model: str = Field(
        default="digits", description="digits, a diffusers folder, an authors' .ckpt, a URL, or a hub name"
    )
    sampler: tuple[str, ...] = Field(
        default=("ddim",),
        description=f"{', '.join(samplers.SAMPLERS)}; or with options of its own, as unipc:order=3,end=zero",
    )
    steps: tuple[Steps, ...] = Field(default=(5, 10, 20, 50, 100), description="values of S, a budget of network calls")
    eta: tuple[Eta, ...] | None = Field(
        default=(0.0, 0.2, 0.5, 1.0, "hat"),
        description="of samplers that have one: 0 to 1, or hat (DDIM's); where --sampler is given, default each's own",
    )
    spacing: tuple[str, ...] | None = Field(
        default=None,
        description=f"{', '.join([*SPACINGS, TUNED])}, or times such as 0,39.5,250; default each sampler's own",
    )
    clip: Clip = Field(
        default="hat", description="where pred_x0 is clipped: hat (for σ̂ alone, as the authors), always, never"
    )
    dtype: Precision = Field(default="float32", description="of the network alone: float32, tf32, bfloat16 or float16")
    num_images: int = Field(default=2000, ge=2, le=10**9, description="images a setting")
    seed: int = Field(default=0, ge=0, lt=2**64, description="of the noise")
    batch_size: BatchSize = Field(default=250, description="images a network call, or auto: the most that fit")
    speed: Speed = Field(
        default="plain",
        description="how the network runs: plain, channels_last, compiled, or auto: the fastest if it pays (plain)",
    )
    shard_size: int = Field(default=500, ge=1, le=10**9, description="images a file")
    extractor: Extractors = Field(
        default=("digits-classifier",),
        description="digits-classifier, inception-v3-compat, vgg16, …; of several the first is the sweep's own",
    )
    extractor_weights: dict[str, str] = Field(
        default={}, description="file or URL, or NAME=FILE for one of several; default torch-fidelity's download"
    )
    reference: str = Field(default="digits", description="digits, cifar10-train, a folder, Parquet or .npz")

    @field_validator("sampler", "steps", "eta", "spacing", "extractor")
    @classmethod
    def _not_empty_and_distinct(cls, values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if values is None:
            return None
        if not values:
            raise ValueError("give at least one value")
        return tuple(dict.fromkeys(values))

    @field_validator("extractor_weights", mode="before")
    @classmethod
    def _by_extractor(cls, value: Any, info: ValidationInfo) -> dict[str, str]:
        return weights_of(value, info.data.get("extractor", ()))

    @field_validator("sampler")
    @classmethod
    def _known_sampler(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            samplers.make(*samplers.parse(value))
        return values

    @field_validator("spacing")
    @classmethod
    def _known_spacing(cls, values: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return values and tuple(dict.fromkeys(map(canonical, values)))

    def samplers(self) -> list[Sampler]:
        """Return the samplers of the grid: one that takes eta once for each value, unless its own text gives one.

        Raises:
            ValueError: a sampler cannot have one of the values of eta.

        """
        chosen: list[Sampler] = []
        for name, options in map(samplers.parse, self.sampler):
            etas = self.eta if self.eta and _takes_eta(name, options) else (None,)
            chosen += [samplers.make(name, options | ({} if eta is None else {"eta": eta})) for eta in etas]
        return list(dict.fromkeys(chosen))

    def spacings(self, sampler: Sampler) -> tuple[str, ...]:
        """Return the spacings for a sampler: those given, else the preset's for DDIM, else the sampler's own."""
        own = DDIM_SPACINGS.get(self.preset, sampler.spacing) if isinstance(sampler, DDIM) else sampler.spacing
        return self.spacing or (own,)

    def identity(self, model: dict[str, Any]) -> dict[str, Any]:
        """Return what the pixels of every file of the run depend on, besides the file's setting and seeds.

        `model` is the identity of the model.

        Samplers, steps, spacing and clip are left out, so that a grid may grow in the same output.
        """
        fields = ("seed", "num_images", "batch_size", "shard_size")
        names = {"dtype": self.network, "noise": NOISE_VERSION}
        return {name: getattr(self, name) for name in fields} | names | model

    @property
    def network(self) -> str:
        """The precision of the network, and its form if that is not the plain one: both change the last bits."""
        return self.dtype if self.speed == "plain" else f"{self.dtype}, {self.speed}"

    @property
    def form(self) -> Form:
        """How the network runs, once that is chosen."""
        assert self.speed != AUTO
        return self.speed

    @property
    def settled(self) -> bool:
        """Whether nothing in it is left to be chosen on a worker."""
        return self.speed != AUTO and self.batch_size != AUTO_BATCH

    def settle(self, batch_size: int, speed: Form) -> "SweepConfig":
        """Return it with these values for what is left to be chosen."""
        batch_size = batch_size if self.batch_size == AUTO_BATCH else self.batch_size
        return self.model_copy(update={"batch_size": batch_size, "speed": speed if self.speed == AUTO else self.speed})

    def overridden(self) -> dict[str, Any]:
        """Return the fields that differ from the preset, except `out` and those that the preset leaves open."""
        given = SweepConfig.model_validate({k: v for k, v in PRESETS[self.preset].items() if v is not MISSING})
        given = given.model_copy(update={"preset": self.preset})
        missing = {name for name, value in PRESETS[self.preset].items() if value is MISSING}
        open_fields = {"preset", "out", "extractor_weights", *missing}
        if all(self.spacings(sampler) == given.spacings(sampler) for sampler in self.samplers()):
            open_fields.add("spacing")
        return {
            name: value
            for name, value in self.model_dump().items()
            if name not in open_fields and value is not None and value != getattr(given, name)
        }


def weights_of(given: Any, extractors: Sequence[str]) -> dict[str, str]:
    """Return extractor → file or URL of its weights.

    Args:
        given: texts of the user, FILE where there is one extractor, or NAME=FILE; or what a saved config has.
        extractors: the extractors that were asked for.

    Raises:
        ValueError: weights are of an extractor that was not asked for, of none, or given twice.

    """
    if isinstance(given, dict):
        pairs = [*given.items()]
    else:
        pairs = [_extractor_and_file(text, extractors) for text in ([given] if isinstance(given, str) else given or ())]
    weights: dict[str, str] = {}
    for name, file in pairs:
        if name not in extractors:
            raise ValueError(f"{name} is not one of the extractors, {', '.join(extractors)}")
        if name in weights:
            raise ValueError(f"the weights of {name} are given twice")
        weights[name] = file
    return weights


def _extractor_and_file(text: str, extractors: Sequence[str]) -> tuple[str, str]:
    from pipeline.evaluation.extractors import EXTRACTORS  # with libraries that --help does not wait for

    name, mark, file = text.partition("=")
    if mark and name in EXTRACTORS:
        return name, file
    if len(extractors) != 1:
        raise ValueError(f"say of which extractor the weights are, as {extractors[0]}=FILE")
    return extractors[0], text


def make_config(preset: str | None, file: Path | None, overrides: dict[str, Any]) -> SweepConfig:
    """Return the config of a preset or of a saved sweep.json, with `overrides` on top.

    If samplers are given without eta, each has its own default.

    Raises:
        UserError: the preset is unknown, the file is missing or broken, a value is missing or out of range, or eta is
            given and no sampler takes it, or one cannot have it.

    """
    if preset is not None and file is not None:
        raise UserError("--preset and --config exclude each other: a saved config has its preset in it")
    if file is not None:
        base = _saved_config(file)
    else:
        preset = preset or "digits"
        if preset not in PRESETS:
            raise UserError(f"unknown preset {preset!r}: use {', '.join(PRESETS)}")
        base = PRESETS[preset] | {"preset": preset}
    for name, value in (base | overrides).items():
        if value is MISSING:
            raise UserError(f"--preset {base['preset']} needs --{name}")
    given = ({"eta": None} if "sampler" in overrides else {}) | overrides
    given["extractor_weights"] = _weights(base, overrides)
    try:
        config = SweepConfig.model_validate(base | given)
    except ValidationError as error:
        raise UserError.of_option(error.errors()[0], f" in {file}" if file is not None else "") from None
    if "eta" in overrides and not any(_takes_eta(*samplers.parse(text)) for text in config.sampler):
        raise UserError(f"--eta: none of the samplers takes it ({', '.join(config.sampler)})")
    try:
        config.samplers()
    except ValueError as error:
        raise UserError(f"--eta: {error}") from None
    return config


def _weights(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, str]:
    """Return the weights of a config, of which those of a saved one go with their extractors. Raises UserError."""
    default = SweepConfig.model_fields["extractor"].default
    own = _names(base.get("extractor", default))
    asked = _names(overrides.get("extractor", own))
    try:
        saved = weights_of(base.get("extractor_weights"), own)
        return {k: v for k, v in saved.items() if k in asked} | weights_of(overrides.get("extractor_weights"), asked)
    except ValueError as error:
        raise UserError(f"--extractor-weights: {error}") from None


def _takes_eta(name: str, options: dict[str, str]) -> bool:
    return "eta" in samplers.option_names(name) and "eta" not in options


def _saved_config(file: Path) -> dict[str, Any]:
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))["config"]
        return dict(saved)
    except OSError as error:
        raise UserError(f"--config {file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"--config {file} is not the sweep.json of a run") from None
