"""A checkpoint in diffusers' folder format, and its metadata, read without building the network."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, Field, PositiveInt, ValidationError
from safetensors import safe_open

from pipeline import UserError
from pipeline.diffusion.schedule import Schedule, alphas_cumprod, linear_betas

Parsed = TypeVar("Parsed", bound=BaseModel)
_SCHEDULERS = (
    "DDPMScheduler",
    "DDIMScheduler",
    "PNDMScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
)
_SUPPORTED = {
    "prediction_type": "epsilon",
    "predict_epsilon": True,
    "beta_schedule": "linear",
    "trained_betas": None,
    "rescale_betas_zero_snr": False,
}
"""The only supported values in a scheduler's config; any of them may be left out."""


class _NetworkConfig(BaseModel):
    """The fields of a UNet2DModel's config.json that are used here; diffusers checks the rest."""

    in_channels: PositiveInt
    out_channels: PositiveInt
    sample_size: PositiveInt | tuple[PositiveInt, PositiveInt]
    """The side of square images, or (H, W)."""


class _SchedulerConfig(BaseModel):
    """The fields of scheduler_config.json that are used here; their defaults are DDPM's values."""

    num_train_timesteps: int = Field(1000, ge=1, le=10**6)
    beta_start: float = Field(1e-4, gt=0, lt=1)
    beta_end: float = Field(2e-2, gt=0, lt=1)


class _Note(BaseModel):
    """The content of weights.json."""

    ema: bool | None = None


@dataclass(frozen=True)
class ModelInfo:
    """A checkpoint's metadata. It has no path in it, so that an output that stores it can be moved."""

    image_shape: tuple[int, int, int]
    """(C, H, W) of the model's images."""
    num_train_timesteps: int
    beta_start: float
    beta_end: float
    digest: str
    """SHA-256 of the weights, the network's config and, if there is one, the scheduler's config."""
    ema: bool | None
    """Whether the weights are an exponential moving average; None if unknown."""

    def schedule(self) -> Schedule:
        """Return the schedule that the model was trained with."""
        betas = linear_betas(self.num_train_timesteps, self.beta_start, self.beta_end)
        return Schedule(tuple(alphas_cumprod(betas).tolist()))


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in a local folder."""

    weights: Path
    """diffusion_pytorch_model.safetensors or .bin, with config.json beside it."""
    info: ModelInfo


def read_checkpoint(root: Path, check_tensors: bool = True) -> Checkpoint:
    """Return the checkpoint in a folder, with its metadata.

    Args:
        root: a diffusers pipeline with the folders `unet` and `scheduler`, or that `unet`; or the folder of a U-Net
            only, with scheduler_config.json beside its config; without that file the schedule is DDPM's, linear with
            1000 steps. `weights.json`, as `convert` writes it, says whether the weights are EMA.
        check_tensors: compare names and shapes of the tensors with the network's, which imports diffusers.

    Raises:
        UserError: there is no U-Net that the samplers can use; the message says what is wrong, and where.

    """
    if root.name == "unet" and (root.parent / "scheduler").is_dir():
        root = root.parent
    model = f"model {str(root)!r}"
    folder = root / "unet" if (root / "unet").is_dir() else root
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise UserError(f"{model}: no {config_file}; give a folder that diffusers' UNet2DModel saved")
    config = _read_json(config_file)
    if config.get("_class_name") != "UNet2DModel":
        raise UserError(f"{model}: {config_file} describes a {config.get('_class_name')}, not a UNet2DModel")
    weights = folder / "diffusion_pytorch_model.safetensors"
    if not weights.is_file():
        weights = weights.with_suffix(".bin")
    if not weights.is_file():
        raise UserError(f"{model}: no {weights.with_suffix('.safetensors')}; save the U-Net with save_pretrained")
    network = _parse(_NetworkConfig, config, config_file)
    if network.in_channels != network.out_channels:
        raise UserError(f"{model}: a network that predicts the variance too is not supported")
    if config.get("class_embed_type") or config.get("num_class_embeds"):
        raise UserError(f"{model}: a class-conditional network is not supported")
    if config.get("time_embedding_type", "positional") != "positional":
        raise UserError(f"{model}: it takes noise levels ({config['time_embedding_type']}), not timesteps")
    candidates = [root / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json"]
    scheduler_file = next((file for file in candidates if file.is_file()), None)
    scheduler = _read_json(scheduler_file) if scheduler_file else {}
    if (kind := scheduler.get("_class_name", _SCHEDULERS[0])) not in _SCHEDULERS:
        raise UserError(f"{model}: {scheduler_file} is a {kind}'s, and a DDPM's is needed")
    for key, supported in _SUPPORTED.items():
        if scheduler.get(key, supported) != supported:
            raise UserError(f"{model}: {key} {scheduler[key]!r} in {scheduler_file} is not {supported!r}")
    schedule = _parse(_SchedulerConfig, scheduler, scheduler_file)
    size = network.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    if check_tensors:
        _check_tensors(model, config, weights)
    note = root / "weights.json"
    info = ModelInfo(
        image_shape=(network.in_channels, height, width),
        num_train_timesteps=schedule.num_train_timesteps,
        beta_start=schedule.beta_start,
        beta_end=schedule.beta_end,
        digest=_digest([weights, config_file, *([scheduler_file] if scheduler_file else [])]),
        ema=_parse(_Note, _read_json(note), note).ema if note.is_file() else None,
    )
    return Checkpoint(weights, info)


def _check_tensors(model: str, config: dict[str, Any], weights: Path) -> None:
    """Compare tensor names and shapes with the network's, since diffusers fills missing tensors with random numbers."""
    from diffusers import UNet2DModel

    try:
        with torch.device("meta"):
            expected = {
                name: tuple(value.shape) for name, value in UNet2DModel.from_config(config).state_dict().items()
            }
        if weights.suffix == ".safetensors":
            with safe_open(weights, "pt") as tensors:
                found = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        else:
            found = {
                name: tuple(value.shape)
                for name, value in torch.load(weights, map_location="cpu", weights_only=True, mmap=True).items()
            }
    except Exception as error:  # a wrong config, a truncated file, a pickle of more than tensors
        raise UserError.because(f"{model}: {weights} cannot be loaded", error) from error
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            there, asked = found.get(name, "missing"), expected.get(name, "unknown")
            raise UserError(f"{model}: tensor {name} is {there} in {weights} and {asked} by its config")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{file} holds no JSON object")
    return content


def _parse(kind: type[Parsed], content: dict[str, Any], file: Path | None) -> Parsed:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"{file}: {first['loc'][0]}: {first['msg']} (got {content.get(str(first['loc'][0]))!r})"
        ) from None


def _digest(files: list[Path]) -> str:
    sha = hashlib.sha256()
    for file in files:
        sha.update(file.read_bytes())
    return sha.hexdigest()
