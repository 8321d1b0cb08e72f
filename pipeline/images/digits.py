"""The digits: scikit-learn's images."""

import torch
from torch import Tensor

from pipeline.images.pixels import to_uint8

DIGITS_DATA = "digits"
DIGITS_SHAPE = (1, 8, 8)


def digits_images() -> Tensor:
    """Return scikit-learn's 1,797 digits: uint8, (1797, 1, 8, 8), by the rule for samples, `to_uint8`."""
    from sklearn.datasets import load_digits  # a slow import that one worker needs

    return to_uint8(torch.tensor(load_digits().images)[:, None] / 8 - 1)
