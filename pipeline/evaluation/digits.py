"""The digits: scikit-learn's images, and the classifier of them that the package has."""

from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor

from pipeline.diffusion.pixels import to_uint8

DIGITS_DATA = "digits"
DIGITS_SHAPE = (1, 8, 8)
DIGITS = "digits-classifier"
DIGITS_WEIGHTS = Path(str(files("pipeline") / "assets" / "digits-classifier" / "classifier.safetensors"))
DIGITS_WIDTH = 64


def digits_images() -> Tensor:
    """Return scikit-learn's 1,797 digits: uint8, (1797, 1, 8, 8), by the rule for samples, `to_uint8`."""
    from sklearn.datasets import load_digits  # a slow import that one worker needs

    return to_uint8(torch.tensor(load_digits().images)[:, None] / 8 - 1)
