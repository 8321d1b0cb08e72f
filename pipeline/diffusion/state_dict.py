"""A file that torch.save wrote, read without running code: which state dict is taken, and whose network it is."""

import hashlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline import UserError

PUBLISHED = {
    "1fa350b952534ae442b1d5235cce5cd3": True,  # CIFAR10
    "82ed3067fd1002f5cf4c339fb80c4669": False,
    "1921fa46b66a3665e450e42f36c2720f": True,  # LSUN Bedroom
    "f70280ac0e08b8e696f42cb8e948ff1c": False,
    "646f23f4821f2459b8bafc57fd824558": True,  # LSUN Cat
    "bbee0e7c3d7abfb6e2539eaf2fb9987b": False,
    "fdc68a23938c2397caba4a260bc2445f": True,  # LSUN Church
    "eb619b8a5ab95ef80f94ce8a5488dae3": False,
}
"""MD5 of each file that the authors' code downloads (their functions/ckpt_util.py) → whether its weights are EMA."""

EMA_KEYS = (
    "ema",
    "ema_state_dict",
    "ema_model",
    "ema_model_state_dict",
    "model_ema",
    "model_ema_state_dict",
    "state_dict_ema",
    "ema_weights",
    "ema_params",
)
"""Keys under which trainers keep EMA weights."""
MODEL_KEYS = ("model", "model_state_dict", "state_dict", "net", "network", "unet")
"""Keys under which trainers keep a network's weights."""
_COUNTERS = {"n_averaged", "initted", "step"}
"""What torch's AveragedModel and ema_pytorch keep beside the weights."""
_PREFIXES = re.compile(r"^(?:(?:module|_orig_mod)\.)+")
"""What DataParallel and torch.compile put before names."""
_SCALARS: list[Any] = [
    np.dtype,
    *(type(np.dtype(kind)) for kind in "?bhilqBHILQefd"),
    (np._core.multiarray.scalar, "numpy._core.multiarray.scalar"),  # type: ignore[attr-defined]
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]
]
"""What numpy's numbers are pickled with, as a loss beside the weights; in releases before 2 under the second name."""
_OTHERS = {
    r"^input_blocks\.|^time_embed\.0\.": (
        "guided-diffusion's or improved-diffusion's network, whose file says neither its heads nor its schedule: not "
        "supported"
    ),
    r"^(?:model\.)?(?:init_conv|downs\.0\.0)\.": (
        "denoising-diffusion-pytorch's network, which is no UNet2DModel and whose file does not say what it predicts: "
        "not supported"
    ),
    r"^(?:down_blocks|up_blocks|time_embedding)\.": (
        "a diffusers network without its config: in the training code load it with load_state_dict, save_pretrained it "
        "into a folder, and give that"
    ),
}
"""Patterns of names → whose networks have them, and what to do."""


def read_state_dict(file: Path) -> tuple[dict[str, Tensor], bool | None, str | None]:
    """Return the tensors of a checkpoint, whether they are EMA weights (None: unknown), and what was taken of the file.

    A flat state dict is taken whole; only the MD5 of a published file tells whether it is EMA. The DDIM authors'
    trainer writes a list: model, optimiser, epoch, step and, if the config asks for EMA, the EMA weights, which are
    then taken. Others write a dictionary, of whose state dicts the first of `EMA_KEYS`, else of `MODEL_KEYS`, is taken.
    Names lose what DataParallel and torch.compile put before them.

    Raises:
        UserError: the file is missing, damaged, of another format or another network's, or pickles more than tensors
            and numbers. It is read with weights_only=True, so no code in it runs.

    """
    md5 = digest_of(file, lambda: hashlib.md5(usedforsecurity=False))
    content = _load(file)
    ema: bool | None = PUBLISHED.get(md5)
    tensors, note, under = content, None, ""
    if isinstance(content, list):
        if len(content) not in (4, 5):
            raise UserError(f"{file} holds a list of {len(content)}: the DDIM authors' trainer writes 4 or 5 entries")
        ema = len(content) == 5
        tensors = content[-1] if ema else content[0]
    elif isinstance(content, dict):
        known = [key for key in (*EMA_KEYS, *MODEL_KEYS) if key in content]
        if key := next((key for key in known if isinstance(content[key], dict) and content[key]), None):
            tensors, ema, under = content[key], key in EMA_KEYS or None, f" under key {key!r}"
            others = ", ".join(repr(other) for other in known if other != key)
            passed_over = f"; {others} passed over" if others else ""
            note = f"{'EMA weights' if ema else 'weights'} of key {key!r} taken{passed_over}"
    if not isinstance(tensors, dict):
        raise UserError(f"{file} holds a {type(tensors).__name__} where a state dict is expected")
    if any(str(name).startswith("ema_model.") for name in tensors):  # ema_pytorch keeps both networks in one
        tensors = {name: tensor for name, tensor in tensors.items() if str(name).startswith("ema_model.")}
        tensors = {name.removeprefix("ema_model."): tensor for name, tensor in tensors.items()}
    if note:
        tensors = {name: tensor for name, tensor in tensors.items() if name not in _COUNTERS}
    for name, value in tensors.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            kind = type(value).__name__
            raise UserError(f"{file} is not a flat state dict{under}: {name!r} is a {kind}, not a tensor")
    plain = {_PREFIXES.sub("", name): tensor for name, tensor in tensors.items()}
    for pattern, whose in _OTHERS.items():
        if any(re.search(pattern, name) for name in plain):
            raise UserError(f"{file} holds {whose}")
    return plain, ema, note


def digest_of(file: Path, algorithm: Callable[[], Any]) -> str:
    """Return the digest of a file's content in hexadecimal. Raises UserError if it cannot be read."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, algorithm).hexdigest()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error


def _load(file: Path) -> Any:
    zipped = zipfile.is_zipfile(file)
    if file.suffix == ".pkl" and not zipped:
        raise UserError(
            f"{file} is a pickle, as EDM and StyleGAN write them: loading it runs code that it brings along, so it is "
            "refused; save the weights alone in a format that --model takes"
        )
    try:
        if zipped:  # torch.load ignores the checksums that torch.save writes
            with zipfile.ZipFile(file) as archive:
                if bad := archive.testzip():
                    raise zipfile.BadZipFile(bad)
        # warnings are about other formats: the error below says enough
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(_SCALARS):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch may raise anything on a file of another format
        refused = re.search(r"GLOBAL ([\w.]+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if refused:
            raise UserError(f"{file} pickles more than tensors ({refused[1]}) and is refused") from error
        raise UserError(f"{file} is damaged, or not a checkpoint that torch.save wrote: fetch it again") from error
