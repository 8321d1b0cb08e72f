"""Smoothness: how evenly features change along a line of pictures (figure 6 of the DDIM paper, as a number)."""

import torch
from torch import Tensor


def feature_steps(features: Tensor) -> Tensor:
    """Return the distance of each picture of a line from the one before: float64, (..., K - 1).

    Args:
        features: (..., K, D), in the order of the line.

    """
    steps: Tensor = features.double().diff(dim=-2).norm(dim=-1)
    return steps


def smoothness(steps: Tensor) -> Tensor:
    """Return the largest step over the mean step of each line: float64, (...). 1 is an even walk, K - 1 a single jump.

    Args:
        steps: the result of `feature_steps`; a line whose steps are all 0 gives nan.

    """
    return steps.amax(-1) / steps.mean(-1)


def lerp(x_0: Tensor, x_1: Tensor, a: float) -> Tensor:
    """Return the straight interpolation: x_0 at a = 0, x_1 at a = 1."""
    return torch.lerp(x_0, x_1, a) if 0 < a < 1 else (x_1 if a else x_0)
