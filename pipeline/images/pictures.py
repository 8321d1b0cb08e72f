"""Pictures: an encoded image becomes uint8 pixels; what is converted is named, and what is wrong too."""

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFile
from torch import Tensor

from pipeline import UserError

_NAMED_AT_MOST = 10
_ORIENTATION = 0x0112
"""EXIF's tag: 1 is upright."""


@dataclass(frozen=True)
class Picture:
    """An image of a source, or what is wrong with it."""

    name: str
    pixels: Tensor | None
    """uint8, (C, H, W), C = 1 or 3; None if it cannot be read."""
    changes: tuple[str, ...] = ()
    """What was dropped or converted to get 8 bits of gray or RGB."""
    fault: str = ""
    """Why it cannot be read, as "is no image: …"."""

    def misfit(self, shape: tuple[int, ...] | None) -> str:
        """Return why it is not one of images of a shape (C, H, W), with its name; "" if it is, or shape is None."""
        if self.pixels is None:
            return f"{self.name} {self.fault}"
        return "" if shape in (None, tuple(self.pixels.shape)) else f"{self.name} is {shape_text(self.pixels.shape)}"


def shape_text(shape: Sequence[int]) -> str:
    """Return (C, H, W) as "gray 8×8" or "RGB 32×32"."""
    return f"{'gray' if shape[0] == 1 else 'RGB'} {shape[1]}×{shape[2]}"


def changes_text(changes: Mapping[str, int]) -> str:
    """Return changes, what → number of images, as "alpha dropped in 3, 16 bits to 8 in 2"."""
    return ", ".join(f"{what} in {count:,}" for what, count in sorted(changes.items()))


def refuse(source: str, faults: Sequence[str], count: int) -> None:
    """Raise UserError if there are faults: the first ten, and how many of the `count` images in `source` have one."""
    if faults:
        named = "; ".join(faults[:_NAMED_AT_MOST]) + ("; …" if len(faults) > _NAMED_AT_MOST else "")
        raise UserError(f"{source}: {len(faults):,} of {count:,} images cannot be used: {named}")


def all_faults(pictures: Iterable[Picture], shape: tuple[int, ...] | None) -> list[str]:
    """Return what is wrong with those that cannot be read or have another shape (C, H, W)."""
    return [fault for picture in pictures if (fault := picture.misfit(shape))]


def decode_picture(name: str, source: Path | bytes) -> Picture:
    """Return an encoded image as 8 bits of gray or RGB.

    Alpha is dropped, CMYK, palettes and other colours become RGB by Pillow's `convert`, and EXIF's rotation is not
    applied: as torch-fidelity and pytorch-fid read images. But gray stays one channel, and 16 bits of gray are scaled,
    value × 255 / 65535 to the nearest (of 16 bits of colour Pillow keeps the upper byte).
    """
    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
        packed = _raw_mode(image)  # which is not known any more when pixels are loaded
        if fault := _unknown_range(image, packed):
            return Picture(name, None, fault=fault)
        changes = _changes(image, packed)
        pixels = _pixels(image, packed)
    except Exception as error:  # each format raises its own errors
        return Picture(name, None, fault=str(UserError.because("is no image", error)))
    return Picture(name, torch.from_numpy(pixels), changes)


def _unknown_range(image: ImageFile.ImageFile, packed: str) -> str:
    """Return why the values of black and white are unknown, or ""."""
    if image.mode == "F":
        return "has floats, whose range is unknown: save 8 or 16 bits"
    # PGM and PNG scale to 16 bits; a TIFF may hold fewer or more
    if image.mode.startswith("I") and image.format not in ("PNG", "PPM") and ";16" not in packed:
        return f"has integers of another size than 8 or 16 bits ({packed}), whose range is unknown"
    return ""


def _pixels(image: ImageFile.ImageFile, packed: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        return ((deep * 255 + 32767) // 65535).astype(np.uint8)[None]
    if image.mode in ("1", "L", "LA") or packed.startswith("LA"):
        return np.array(image.convert("L"))[None]
    return np.array(image.convert("RGB")).transpose(2, 0, 1).copy()


def _changes(image: ImageFile.ImageFile, packed: str) -> tuple[str, ...]:
    changes = []
    if ";16" in packed or image.mode.startswith("I"):
        changes.append("16 bits to 8")
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA"):
        changes.append("alpha dropped")
    if image.mode not in ("1", "L", "LA", "RGB", "RGBA") and not image.mode.startswith("I"):
        changes.append("palette to RGB" if image.mode in ("P", "PA") else f"{image.mode} to RGB")
    orientation = None
    with contextlib.suppress(Exception):  # EXIF that is broken rotates nothing
        orientation = image.getexif().get(_ORIENTATION)
    if orientation not in (None, 1):
        changes.append("EXIF rotation not applied")
    if getattr(image, "n_frames", 1) > 1:
        changes.append("first of several frames")
    return tuple(changes)


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Return how the file packs its values, as "RGB;16B"; "" where Pillow does not say."""
    arguments = image.tile[0].args if image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments or "")
