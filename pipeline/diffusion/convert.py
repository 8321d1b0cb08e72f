"""Conversion of checkpoints in the DDIM authors' format into diffusers folders."""

import hashlib
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from pipeline import UserError
from pipeline.diffusion.state_dict import digest_of, read_state_dict

ATTENTION_SIZE = 16
"""Height and width of the level with attention, in all configs of the authors."""

NORM_GROUPS = 32
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"

# diffusers' names → the authors', replaced in this order. The levels of `up` are numbered in reverse.
RENAMED = {
    "time_embedding.linear_1": "temb.dense.0",
    "time_embedding.linear_2": "temb.dense.1",
    "conv_norm_out": "norm_out",
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "mid_block.attentions.0": "mid.attn_1",
    "down_blocks.": "down.",
    "up_blocks.": "up.",
    ".resnets.": ".block.",
    ".attentions.": ".attn.",
    ".downsamplers.0": ".downsample",
    ".upsamplers.0": ".upsample",
    "time_emb_proj": "temb_proj",
    "conv_shortcut": "nin_shortcut",
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}


def to_diffusers(state_dict: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the arguments and the state dict of the `UNet2DModel` that computes what the authors' network does.

    Channels, levels, blocks per level and the level with attention follow from the names and shapes. The image size
    follows from that level, which is 16×16 in all configs of the authors.

    Raises:
        UserError: a tensor is missing, unexpected, of another shape, or not dense and real. The first is named.

    """
    config = _config(state_dict)
    levels = len(config["block_out_channels"])
    left, tensors = dict(state_dict), {}
    for name, parameter in _network(config).state_dict().items():
        source = _authors_name(name, levels)
        if source not in left:
            raise UserError(f"tensor {source} is missing: not a network of the DDIM authors'")
        tensor = left.pop(source)
        if not tensor.is_floating_point() or tensor.layout != torch.strided:
            raise UserError(f"tensor {source} is {tensor.dtype}, {tensor.layout}: weights are dense and real")
        # Attention layers are linear in diffusers and 1×1 convolutions in the authors' code.
        pointwise = ".attentions." in name and parameter.ndim == 2
        shape = (*parameter.shape, 1, 1) if pointwise else tuple(parameter.shape)
        if tensor.shape != shape:
            raise UserError(f"tensor {source} is of shape {tuple(tensor.shape)} where the others ask for {shape}")
        # A copy, because safetensors refuses two views of one storage.
        tensors[name] = tensor.detach().reshape(parameter.shape).clone()
    if left:
        raise UserError(f"tensor {next(iter(left))} has no place in a network of the DDIM authors'")
    return config, tensors


def convert(file: Path, folder: Path) -> None:
    """Write the checkpoint `file` as a diffusers pipeline into the new `folder`, completely or not at all.

    Besides diffusers' files, weights.json has the source's name, its SHA-256, whether the weights are EMA (true, false,
    or null if unknown), and what was taken of a file that holds more. The scheduler is the paper's: linear β from 1e-4
    to 0.02, T = 1000, no clipping, alpha = 1 before the first timestep.

    Raises:
        UserError: `folder` exists or cannot be written, or `file` is not a checkpoint of the authors' format.

    """
    if folder.exists():
        raise UserError(f"{folder} exists: give a new name")
    state_dict, ema, note = read_state_dict(file)
    try:
        config, tensors = to_diffusers(state_dict)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    from diffusers import DDIMPipeline, DDIMScheduler  # a slow import, so bad files fail before it

    network = _network(config)
    network.load_state_dict(tensors, assign=True)
    scheduler = DDIMScheduler(1000, 1e-4, 0.02, "linear", clip_sample=False, set_alpha_to_one=True)
    origin = {"source": file.name, "sha256": digest_of(file, hashlib.sha256), "ema": ema}
    if note:
        origin["note"] = f"model: {note}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            whole = Path(temporary) / folder.name
            DDIMPipeline(network, scheduler).save_pretrained(whole)
            # safetensors makes the file readable only by its owner, regardless of the umask.
            (whole / WEIGHTS).chmod((whole / "model_index.json").stat().st_mode)
            (whole / "weights.json").write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
            whole.rename(folder)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{folder} cannot be written: {error}") from error


def _config(state_dict: dict[str, Tensor]) -> dict[str, Any]:
    """Return the arguments of `UNet2DModel` that names and shapes imply; the caller checks every tensor."""

    def size(name: str, dimension: int = 0) -> int:
        if name not in state_dict:
            raise UserError(f"tensor {name} is missing: not a network of the DDIM authors'")
        if state_dict[name].ndim <= dimension:
            raise UserError(f"tensor {name} is of shape {tuple(state_dict[name].shape)}, not a convolution's")
        return state_dict[name].shape[dimension]

    names = "\n".join(state_dict)
    blocks = re.findall(r"^down\.(\d+)\.block\.(\d+)\.", names, re.MULTILINE)
    levels = 1 + max((int(level) for level, _ in blocks), default=0)
    in_channels, out_channels = size("conv_in.weight", 1), size("conv_out.weight")
    channels = [size(f"down.{level}.block.0.conv1.weight") for level in range(levels)]
    if any(width % NORM_GROUPS for width in channels):
        raise UserError(f"levels of {channels} channels do not divide into the {NORM_GROUPS} groups of the norms")
    with_attention = {int(level) for level in re.findall(r"^(?:down|up)\.(\d+)\.attn\.", names, re.MULTILINE)}
    if len(with_attention) != 1:
        raise UserError(f"attention at {len(with_attention)} levels: the image size is known only where it is at one")
    (attention,) = with_attention
    down = ["AttnDownBlock2D" if level == attention else "DownBlock2D" for level in range(levels)]
    return {
        "sample_size": ATTENTION_SIZE << attention,
        "in_channels": in_channels,
        "out_channels": out_channels,
        "block_out_channels": channels,
        "layers_per_block": len({block for _, block in blocks}),
        "down_block_types": down,
        "up_block_types": [block.replace("Down", "Up") for block in reversed(down)],
        "attention_head_dim": None,  # one head
        "norm_num_groups": NORM_GROUPS,
        "norm_eps": 1e-6,
        "act_fn": "silu",
        "freq_shift": 1,
        "flip_sin_to_cos": False,
        "downsample_padding": 0,  # diffusers then pads only below and to the right, as the authors do
    }


def _network(config: dict[str, Any]) -> Any:
    """Return the network on the meta device, without memory: its parameters are assigned later."""
    from diffusers import UNet2DModel  # a slow import

    with torch.device("meta"):
        return UNet2DModel(**config)


def _authors_name(name: str, levels: int) -> str:
    name = re.sub(r"^up_blocks\.(\d+)", lambda level: f"up_blocks.{levels - 1 - int(level[1])}", name)
    for ours, theirs in RENAMED.items():
        name = name.replace(ours, theirs)
    return name
