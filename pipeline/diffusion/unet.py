"""A checkpoint in diffusers' folder format: what it is, and its network as eps_model(x_t, t)."""

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline import UserError
from pipeline.diffusion.schedule import alphas_cumprod, linear_betas

EMBEDDED = {"digits": "digits-ddpm"}
"""Names of the models that travel with the package, and their folders under `pipeline/assets`."""


@dataclass(frozen=True)
class ModelInfo:
    """What a checkpoint says of itself, read without loading it."""

    folder: Path
    """The folder of config.json and diffusion_pytorch_model.safetensors."""
    image_shape: tuple[int, int, int]
    """(C, H, W) of its images."""
    num_train_timesteps: int
    beta_start: float
    beta_end: float
    digest: str
    """SHA-256 over the weights and both configs."""

    def alphas_cumprod(self) -> Tensor:
        """Return the schedule it was trained with: float64, shape (T,)."""
        return alphas_cumprod(linear_betas(self.num_train_timesteps, self.beta_start, self.beta_end))


def describe(model: str) -> ModelInfo:
    """Return what the checkpoint `model` says of itself.

    Args:
        model: "digits", the embedded one; or a folder: a diffusers pipeline with `unet` and `scheduler` in it, or a
            U-Net's own, with scheduler_config.json beside its config or DDPM's linear schedule of 1000 steps.

    Raises:
        UserError: there is no U-Net that this sampler can use; the text says what, where and what to do.

    """
    root = Path(str(files("pipeline") / "assets" / EMBEDDED[model])) if model in EMBEDDED else Path(model)
    folder = root / "unet" if (root / "unet").is_dir() else root
    config_file = folder / "config.json"
    weights = folder / "diffusion_pytorch_model.safetensors"
    if not config_file.is_file():
        raise UserError(f"model {model!r}: no {config_file}; give a folder that diffusers' UNet2DModel saved")
    config = _read_json(config_file)
    if config.get("_class_name") != "UNet2DModel":
        raise UserError(f"model {model!r}: {config_file} describes a {config.get('_class_name')}, not a UNet2DModel")
    if not weights.is_file():
        raise UserError(f"model {model!r}: no {weights}; save the U-Net with safe_serialization=True")
    if config["in_channels"] != config["out_channels"]:
        raise UserError(f"model {model!r}: a network that predicts the variance too is not supported")
    if config.get("class_embed_type") or config.get("num_class_embeds"):
        raise UserError(f"model {model!r}: a class-conditional network is not supported")
    candidates = [root / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json"]
    scheduler_file = next((file for file in candidates if file.is_file()), None)
    scheduler = _read_json(scheduler_file) if scheduler_file else {}
    for key, supported in {"prediction_type": "epsilon", "beta_schedule": "linear", "trained_betas": None}.items():
        if scheduler.get(key, supported) != supported:
            raise UserError(f"model {model!r}: {key} {scheduler[key]!r} in {scheduler_file} is not {supported!r}")
    size = config["sample_size"]
    height, width = (size, size) if isinstance(size, int) else size
    return ModelInfo(
        folder=folder,
        image_shape=(config["in_channels"], height, width),
        num_train_timesteps=scheduler.get("num_train_timesteps", 1000),
        beta_start=scheduler.get("beta_start", 1e-4),
        beta_end=scheduler.get("beta_end", 2e-2),
        digest=_digest([weights, config_file, *([scheduler_file] if scheduler_file else [])]),
    )


class UNet:
    """A diffusers `UNet2DModel` in evaluation mode, as eps_model(x_t, t)."""

    def __init__(self, info: ModelInfo, device: str) -> None:
        """Load the weights of `info.folder` onto `device`.

        Raises:
            UserError: the files do not hold the network that their config describes.

        """
        from diffusers import UNet2DModel  # seconds of imports that only a worker pays

        try:
            network = UNet2DModel.from_pretrained(info.folder, use_safetensors=True, low_cpu_mem_usage=False)
        except Exception as error:
            raise UserError(f"model {str(info.folder)!r} cannot be loaded: {str(error).splitlines()[0]}") from error
        self.network = network.to(device).eval().requires_grad_(False)

    def __call__(self, x_t: Tensor, t: int) -> Tensor:
        """Return the predicted noise: x_t's shape and dtype."""
        return self.network(x_t, torch.full((len(x_t),), t, device=x_t.device)).sample  # type: ignore[no-any-return]


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())  # type: ignore[no-any-return]
    except ValueError as error:
        raise UserError(f"{file} is not JSON: {error}") from error


def _digest(files: list[Path]) -> str:
    sha = hashlib.sha256()
    for file in files:
        sha.update(file.read_bytes())
    return sha.hexdigest()
