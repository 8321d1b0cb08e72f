"""Pixels: from the floats of a sampler to uint8, to PNG and back, and their digest."""

import hashlib
import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Pixels = NDArray[np.uint8]
"""uint8, shape (N, H, W, C), C = 1 or 3."""


def to_uint8(x: Tensor) -> Tensor:
    """Return images as uint8 by the authors' rule: [-1, 1] to [0, 1], clamp, times 255, plus 0.5, floor."""
    return (((x + 1) / 2).clamp(0, 1) * 255 + 0.5).floor().to(torch.uint8)


def pixel_digest(pixels: Pixels) -> str:
    """Return the SHA-256 of the pixels in C order."""
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def png(image: Pixels) -> bytes:
    """Return an image, uint8, (H, W, C), as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, "PNG")
    return buffer.getvalue()


def decode(png: bytes) -> Pixels:
    """Return the pixels of a PNG: uint8, (H, W, C)."""
    image = np.asarray(Image.open(io.BytesIO(png)))
    return image[:, :, None] if image.ndim == 2 else image
