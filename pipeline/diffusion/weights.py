"""The weights of a diffusers network: which files of a folder hold them, and whether they are its config's network."""

import contextlib
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from pipeline import UserError

_NAME = re.compile(
    r"diffusion_pytorch_model(?:\.(?P<variant>\w+))??\.(?P<kind>safetensors|bin)"
    r"(?P<index>\.index(?:\.(?P<variant_of_index>\w+))?\.json)?"
)
"""The names that save_pretrained gives to a file of weights, or to the index of several."""


def find_weights(folder: Path) -> Path | None:
    """Return the file of a folder's weights, or the index of several such files; None if there is none.

    The plain weights are taken, else those of the only variant; of one variant safetensors before pickles, and an
    index before a single file, as diffusers does.

    Raises:
        UserError: there are several variants and no plain weights.

    """
    variants: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        if _NAME.fullmatch(file.name):
            variants.setdefault(variant_of(file), []).append(file)
    if not variants:
        return None
    if "" not in variants and len(variants) > 1:
        names = ", ".join(sorted(variants))
        raise UserError(f"{folder} holds weights of the variants {names} and no plain ones: leave one of them there")
    files = variants.get("") or next(iter(variants.values()))
    return min(files, key=lambda file: (".bin" in file.name, file.suffix != ".json"))


def variant_of(weights: Path) -> str:
    """Return the variant in the name of a file that `find_weights` returned, such as "fp16"; "" for none."""
    match = _NAME.fullmatch(weights.name)
    return (match and (match["variant"] or match["variant_of_index"])) or ""


def weight_files(weights: Path) -> list[Path]:
    """Return the file, or an index and then the files that it names.

    Raises:
        UserError: the index is broken, or names what is no file beside it.

    """
    if weights.suffix != ".json":
        return [weights]
    names = sorted(set(_weight_map(weights).values()))
    for name in names:
        if Path(name).name != name or not (weights.parent / name).is_file():
            raise UserError(f"{weights} names {name}, which is not beside it: fetch or save all files again")
    return [weights, *(weights.parent / name for name in names)]


def load_network(weights: Path, dtype: torch.dtype) -> Any:
    """Return the `UNet2DModel` of the weights and of config.json beside them, in evaluation mode.

    diffusers renames the attention layers of its old releases as it reads. What it would fill with random numbers, or
    leave out, is refused here. Under `torch.device("meta")` only names and shapes are read.

    Raises:
        UserError: the files do not hold the network that their config describes; the first tensor is named.

    """
    from diffusers import UNet2DModel  # a slow import

    try:
        with _quiet():
            network, loaded = UNet2DModel.from_pretrained(
                weights.parent,
                use_safetensors=".bin" not in weights.name,
                variant=variant_of(weights) or None,
                low_cpu_mem_usage=False,
                torch_dtype=dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    except Exception as error:  # a wrong config, a truncated file, a pickle of more than tensors
        raise UserError.because(f"model {str(weights.parent)!r}: {weights.name} cannot be loaded", error) from error
    problems = {name: "is missing" for name in loaded["missing_keys"]}
    problems |= {name: "is unknown by its config" for name in loaded["unexpected_keys"]}
    problems |= {
        name: f"is {tuple(shape)} and {tuple(asked)} by its config" for name, shape, asked in loaded["mismatched_keys"]
    }
    if problems:
        name = min(problems)
        others = f" (and {len(problems) - 1} others do not fit)" if len(problems) > 1 else ""
        raise UserError(f"model {str(weights.parent)!r}: tensor {name} {problems[name]} in {weights.name}{others}")
    return network


def check_weights(weights: Path) -> None:
    """Check the names and shapes of all tensors against the config, without reading their values. Raises UserError."""
    with torch.device("meta"):
        load_network(weights, torch.float32)
    if weights.suffix == ".json":  # diffusers believes an index, and leaves what its files lack at random
        held = {name for file in weight_files(weights)[1:] for name in _names(file)}
        if lost := sorted(_weight_map(weights).keys() - held):
            raise UserError(f"model {str(weights.parent)!r}: tensor {lost[0]} is in {weights.name} and in no file")


def _names(file: Path) -> list[str]:
    if file.suffix == ".safetensors":
        with safe_open(file, "pt") as tensors:
            return list(tensors.keys())
    return list(torch.load(file, map_location="cpu", weights_only=True, mmap=True))


def _weight_map(index: Path) -> dict[str, str]:
    try:
        return dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{index} is not the index of sharded weights: save them again") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what diffusers and torch print about tensors; it is raised in one line."""
    from diffusers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
