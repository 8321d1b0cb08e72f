"""A checkpoint in diffusers' folder format, and its metadata, read without building the network."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, PositiveInt

from pipeline import UserError
from pipeline.device import Form, Precision
from pipeline.diffusion.config_file import parse, read_json
from pipeline.diffusion.model import Checkpoint, Model, ModelInfo
from pipeline.diffusion.network import UNet
from pipeline.diffusion.scheduler_config import (
    SchedulerConfig,
    assumed_line,
    passed_over_line,
    refuse_scheduler,
    scheduler_file_of,
)
from pipeline.diffusion.weights import check_weights, find_weights, variant_of, weight_files


class _NetworkConfig(BaseModel):
    """The fields of a UNet2DModel's config.json that are used here; diffusers checks the rest."""

    in_channels: PositiveInt
    out_channels: PositiveInt
    sample_size: PositiveInt | tuple[PositiveInt, PositiveInt]
    """The side of square images, or (H, W)."""
    down_block_types: list[str] = [""] * 4
    """All but the last halve the side."""


class _Note(BaseModel):
    """The content of weights.json."""

    ema: bool | None = None
    note: str | None = None
    """What `convert` took of a file."""


@dataclass(frozen=True)
class UNetCheckpoint(Checkpoint):
    """A U-Net in a local folder."""

    weights: Path
    """diffusion_pytorch_model.safetensors or .bin, or the index of several, with config.json beside it."""
    info: ModelInfo

    def load(self, device: str, precision: Precision = "float32", form: Form = "plain") -> Model:
        """Load it; see `UNet`."""
        return Model(self.info, UNet(self.weights, device, precision, form))


def read_checkpoint(given: Path, check_tensors: bool = True) -> UNetCheckpoint:
    """Return the checkpoint in a folder, with its metadata.

    Args:
        given: a diffusers pipeline with the folders `unet` and `scheduler`, or the folder of a U-Net. Its
            scheduler_config.json is looked for in the folder, then beside it and, for a trainer's checkpoint-500,
            beside that. Without one the schedule is taken for DDPM's, linear with 1000 steps, and the prediction for
            ε, and a note says so. `weights.json`, as `convert` writes it, says whether the weights are EMA.
        check_tensors: compare names and shapes of the tensors with the network's, which imports diffusers.

    Raises:
        UserError: there is no U-Net that the samplers can use; the message says what is wrong, and where.

    """
    model, root = f"model {str(given)!r}", given.resolve()
    if root.name == "unet" and (root.parent / "scheduler").is_dir():
        root = root.parent
    folder = root / "unet" if (root / "unet").is_dir() else root
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise UserError(f"{model}: no {config_file}; give a folder that diffusers' UNet2DModel saved")
    config = read_json(config_file)
    if config.get("_class_name") != "UNet2DModel":
        raise UserError(f"{model}: {config_file} describes a {config.get('_class_name')}, not a UNet2DModel")
    weights = find_weights(folder)
    if weights is None:
        name = folder / "diffusion_pytorch_model.safetensors"
        raise UserError(f"{model}: no {name}; save the U-Net with save_pretrained")
    files = weight_files(weights)
    image_shape = _image_shape(model, config, config_file)
    scheduler_file = scheduler_file_of(root, folder)
    scheduler = read_json(scheduler_file) if scheduler_file else {}
    refuse_scheduler(model, scheduler, scheduler_file)
    schedule = parse(SchedulerConfig, scheduler, scheduler_file)
    if check_tensors:
        check_weights(weights)
    note_file = root / "weights.json"
    note = parse(_Note, read_json(note_file), note_file) if note_file.is_file() else _Note()
    notes = [
        assumed_line(scheduler, schedule, scheduler_file),
        passed_over_line(scheduler),
        _variant(weights),
        note.note or "",
    ]
    info = ModelInfo(
        image_shape=image_shape,
        latent_shape=image_shape,
        num_train_timesteps=schedule.num_train_timesteps,
        beta_start=schedule.beta_start,
        beta_end=schedule.beta_end,
        digest=_digest([*files, config_file, *([scheduler_file] if scheduler_file else [])]),
        ema=note.ema,
        notes=tuple(filter(None, notes)),
    )
    return UNetCheckpoint(weights, info)


def _image_shape(model: str, config: dict[str, Any], file: Path) -> tuple[int, int, int]:
    """Return (C, H, W) of a network's images. Raises UserError if the samplers or what follows cannot use them."""
    network = parse(_NetworkConfig, config, file)
    channels, outputs = network.in_channels, network.out_channels
    if outputs == 2 * channels:
        raise UserError(f"{model}: a network that predicts the variance too is not supported")
    if outputs != channels:
        raise UserError(
            f"{model}: {channels} channels in and {outputs} out in {file}: a network that predicts the noise of what "
            "it is given has as many of both, and one with a condition among its inputs is not supported"
        )
    if channels not in (1, 3):
        raise UserError(
            f"{model}: {channels} channels in {file}: images are kept as PNG and measured with 1 or 3, and latents "
            "are not decoded"
        )
    if config.get("class_embed_type") or config.get("num_class_embeds"):
        raise UserError(f"{model}: a class-conditional network is not supported")
    if config.get("time_embedding_type", "positional") != "positional":
        raise UserError(f"{model}: it takes noise levels ({config['time_embedding_type']}), not timesteps")
    size = network.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    halvings = len(network.down_block_types) - 1
    for side in (height, width):
        if side % 2**halvings:
            raise UserError(
                f"{model}: sample_size {side} in {file}: the network halves a side {halvings} times, so that it is a "
                f"multiple of {2**halvings}"
            )
    return channels, height, width


def _variant(weights: Path) -> str:
    """Return a line on the variant of the weights; "" for plain ones."""
    if not (variant := variant_of(weights)):
        return ""
    return f"model: weights of variant {variant}" + (
        f", values rounded to {variant}" if variant in ("fp16", "bf16") else ""
    )


def _digest(files: list[Path]) -> str:
    sha = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            hashlib.file_digest(opened, lambda: sha)
    return sha.hexdigest()
