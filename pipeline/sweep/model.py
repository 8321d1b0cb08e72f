"""The model that a user names: the embedded one, a folder, a checkpoint, a URL or a hub name."""

import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from pipeline import UserError
from pipeline.diffusion.checkpoint import read_checkpoint
from pipeline.diffusion.convert import convert
from pipeline.diffusion.model import Checkpoint
from pipeline.storage.local import local_path, once, sha256_of

EMBEDDED = Path(str(files("pipeline") / "assets" / "digits-ddpm"))
"""The folder of the model in the package."""
MODELS: dict[str, Callable[[], Checkpoint]] = {"digits": lambda: read_checkpoint(EMBEDDED, check_tensors=False)}
"""Name → how the model is read. Any other name is a folder's, a file's, a URL, or one of the hub."""
CHECKPOINTS = (".ckpt", ".pth", ".pt", ".pkl")
"""The endings of the names of files that `convert` reads."""
_WEIGHTS = "*diffusion_pytorch_model"
WEIGHT_PATTERNS = [
    [f"{_WEIGHTS}{middle}.{kind}" for middle in middles]
    for middles in (("", "-*-of-*"), (".*",))
    for kind in ("safetensors", "bin")
]
"""Patterns of weights on the hub, in the order of `find_weights`: plain ones, whole or sharded, then variants."""


def read_model(model: str) -> Checkpoint:
    """Return the checkpoint of one of `MODELS`, or of a model that is named as for `model_folder`.

    Raises:
        UserError: there is no such model, or the samplers cannot use it.

    """
    return MODELS[model]() if model in MODELS else read_checkpoint(model_folder(model))


def model_folder(model: str) -> Path:
    """Return the local diffusers folder of a model.

    Args:
        model: "digits", the embedded one; a folder; a `.ckpt`, `.pth` or `.pt` with the DDIM authors' network, which
            is converted; an fsspec URL of either; or a hub name such as google/ddpm-cifar10-32.

    Raises:
        UserError: there is no such model, or it cannot be reached.

    """
    if model == "digits":
        return EMBEDDED
    is_checkpoint = model.endswith(CHECKPOINTS)
    if not is_checkpoint and re.fullmatch(r"[\w.-]+/[\w.-]+", model) and not Path(model).exists():
        return _from_hub(model)
    path = local_path("--model", model)
    if not is_checkpoint or path.is_dir():
        return path
    return once(sha256_of(path), "converted", lambda folder: convert(path, folder))


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    parts = ["*.json", "unet/*.json", "scheduler/*.json"]
    try:
        # The hub's cache has locks, so actors on one node do not download twice.
        for patterns in WEIGHT_PATTERNS:
            folder = Path(snapshot_download(name, allow_patterns=parts + patterns))
            if any(file for pattern in patterns for file in folder.rglob(pattern)):
                break
    except Exception as error:  # offline, unknown, private: the hub raises different errors
        raise UserError.because(f"--model {name} is no folder here and cannot be had from the hub", error) from error
    return folder
