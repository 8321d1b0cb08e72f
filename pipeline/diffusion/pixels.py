"""The images of a sampler as the uint8 pixels that are stored."""

import torch
from torch import Tensor


def to_uint8(x: Tensor) -> Tensor:
    """Return images as uint8 by the authors' rule: [-1, 1] to [0, 1], clamp, times 255, plus 0.5, floor."""
    return (((x + 1) / 2).clamp(0, 1) * 255 + 0.5).floor().to(torch.uint8)
