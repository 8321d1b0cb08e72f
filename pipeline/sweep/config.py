"""SweepConfig: what the user asks for. Frozen, validated once, saved with the outputs."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from pipeline import UserError
from pipeline.diffusion.checkpoint import Precision
from pipeline.diffusion.noise import NOISE_VERSION
from pipeline.diffusion.schedule import parse_spacing
from pipeline.sweep.presets import MISSING, PRESETS


def _eta(value: Any) -> Any:
    if value == "hat":
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number <= 1:
        raise ValueError("must be a number from 0 to 1, or hat")
    return number + 0.0  # -0 is 0


Steps = Annotated[int, Field(ge=1)]
EtaValue = Annotated[float | Literal["hat"], BeforeValidator(_eta)]


class SweepConfig(BaseModel):
    """A grid of settings over one model, and how many images of each. Defaults are the digits preset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str = "digits"
    out: str = "runs/digits"
    """Folder or fsspec URL of all outputs."""
    model: str = "digits"
    """See `pipeline.storage.local.model_folder`."""
    steps: tuple[Steps, ...] = (5, 10, 20, 50, 100)
    eta: tuple[EtaValue, ...] = (0.0, 0.2, 0.5, 1.0, "hat")
    spacing: tuple[str, ...] = ("linear",)
    clip: Literal["hat", "always", "never"] = "hat"
    """Where pred_x0 is clipped to [-1, 1]: for σ̂ alone, as in the authors' code, or for every η, or for none."""
    dtype: Precision = "float32"
    num_images: int = Field(default=2000, ge=2, le=10**9)
    seed: int = Field(default=0, ge=0, lt=2**64)
    batch_size: int = Field(default=250, ge=1, le=10**9)
    shard_size: int = Field(default=500, ge=1, le=10**9)
    extractor: str = "digits-classifier"
    """Name of a feature extractor that torch-fidelity knows or `pipeline.evaluation.extractors` registers."""
    extractor_weights: str | None = None
    """File or URL of its weights; None for those that travel with the package, or torch-fidelity's own download."""
    reference: str = "digits"
    """See `pipeline.evaluation.reference`."""

    @field_validator("steps", "eta", "spacing")
    @classmethod
    def _not_empty_and_distinct(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not values:
            raise ValueError("give at least one value")
        return tuple(dict.fromkeys(values))

    @field_validator("spacing")
    @classmethod
    def _known_spacing(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            parse_spacing(value)
        return values

    def identity(self, model_digest: str) -> dict[str, Any]:
        """Return what fixes the pixels of every file of the run, beside a file's own setting and seeds.

        Steps, eta, spacing and clip are not in it: a grid may grow in the same output.
        """
        fields = ("seed", "num_images", "batch_size", "shard_size", "dtype")
        return {name: getattr(self, name) for name in fields} | {"model": model_digest, "noise": NOISE_VERSION}

    def overridden(self) -> dict[str, Any]:
        """Return the fields that differ from the preset, but for `out` and those that a preset leaves open."""
        given = SweepConfig.model_validate({k: v for k, v in PRESETS[self.preset].items() if v is not MISSING})
        open_fields = {
            "preset",
            "out",
            "extractor_weights",
            *(name for name, value in PRESETS[self.preset].items() if value is MISSING),
        }
        return {
            name: value
            for name, value in self.model_dump().items()
            if name not in open_fields and value != getattr(given, name)
        }


def make_config(preset: str | None, file: Path | None, overrides: dict[str, Any]) -> SweepConfig:
    """Return the config of a preset or of a saved sweep.json, with `overrides` on top.

    Raises:
        UserError: the preset is unknown, the file is missing or broken, or a value is out of range.

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
    try:
        return SweepConfig.model_validate(base | overrides)
    except ValidationError as error:
        raise UserError(_one_line(error, file)) from None


def fingerprint(identity: dict[str, Any]) -> str:
    """Return 16 hexadecimal digits that stand for a run's identity."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _saved_config(file: Path) -> dict[str, Any]:
    try:
        saved = json.loads(file.read_text())["config"]
        return dict(saved)
    except OSError as error:
        raise UserError(f"--config {file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"--config {file} is not the sweep.json of a run") from None


def _one_line(error: ValidationError, file: Path | None) -> str:
    first = error.errors()[0]
    option = "--" + str(first["loc"][0]).replace("_", "-")
    where = f" in {file}" if file is not None else ""
    message = first["msg"].removeprefix("Value error, ")
    return f"{option}{where}: {message[0].lower()}{message[1:]} (got {first['input']!r})"
