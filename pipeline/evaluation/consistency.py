"""Consistency: whether images of the same x_T keep their features at fewer steps, against images of other seeds."""

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Consistency:
    """How far images are from those of the same seeds at the largest S (figure 5 of the DDIM paper, as a number)."""

    distance: float
    """Mean Euclidean distance of the features of an image and of the image with the same seed at the largest S."""
    control: float
    """The same to the image with another seed at the largest S."""
    score: float
    """distance / control: 0 for the same images, 1 for images that have no more in common than any two."""
    score_se: float
    """Its standard error over seeds."""


def consistency(features: Tensor, largest: Tensor) -> Consistency:
    """Return the consistency of images.

    The other seed is half of the images away, so that each image at the largest S is the control of one. The error is
    the delta method's for a ratio of means over seeds; that a control shares its image with another seed's distance
    moves it by less than a tenth.

    Args:
        features: float32, (N, D), in the order of seeds, N ≥ 2.
        largest: the same seeds' features at the largest S.

    """
    distances = (features - largest).double().norm(dim=1)
    controls = (features - largest.roll(-(len(largest) // 2), dims=0)).double().norm(dim=1)
    distance, control = float(distances.mean()), float(controls.mean())
    score = distance / control
    influence = (distances - score * controls) / control
    return Consistency(distance, control, score, float(influence.std()) / math.sqrt(len(features)))
