"""The digits: scikit-learn's images."""

from functools import cache

import torch
from torch import Tensor

from pipeline.images.base import Images, Source, numbered
from pipeline.images.pixels import to_uint8

DIGITS_DATA = "digits"
DIGITS_SHAPE = (1, 8, 8)
_NUMBER = 1797


@cache
def digits_images() -> Tensor:
    """Return scikit-learn's 1,797 digits: uint8, (1797, 1, 8, 8), by the rule for samples, `to_uint8`."""
    from sklearn.datasets import load_digits  # a slow import that one worker needs

    return to_uint8(torch.tensor(load_digits().images)[:, None] / 8 - 1)


def _open(name: str, option: str) -> Images:
    return Images(
        name,
        f"{option} {name}",
        _NUMBER,
        lambda first, end: numbered(digits_images())(first, end),
        lambda known: name,
        DIGITS_SHAPE,
    )


DIGITS_SOURCE = Source(lambda name: name == DIGITS_DATA, _open, lambda: [DIGITS_DATA])
