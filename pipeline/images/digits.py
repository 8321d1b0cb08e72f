"""The digits: scikit-learn's images, which the package has."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from pipeline.images.base import Images, Source, numbered
from pipeline.images.pixels import to_uint8

DIGITS_DATA = "digits"
DIGITS_SHAPE = (1, 8, 8)
_NUMBER = 1797
_FILE = Path(str(files("pipeline") / "assets" / "digits" / "digits.safetensors"))
"""Images, uint8 from 0 to 16, and labels of scikit-learn's `load_digits`; its header has their source and licence."""


def digits_data() -> tuple[Tensor, Tensor]:
    """Return scikit-learn's 1,797 digits: uint8 (1797, 8, 8) from 0 to 16, and their classes, uint8 (1797,)."""
    data = load_file(_FILE)
    return data["images"], data["labels"]


@cache
def digits_images() -> Tensor:
    """Return scikit-learn's 1,797 digits: uint8, (1797, 1, 8, 8), by the rule for samples, `to_uint8`."""
    return to_uint8(digits_data()[0].double()[:, None] / 8 - 1)


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
