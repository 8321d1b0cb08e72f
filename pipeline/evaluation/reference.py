"""A reference data set as images, in the form that torch-fidelity's extractors take."""

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from pipeline import UserError
from pipeline.diffusion.ddim import to_uint8


def digits_images() -> Tensor:
    """Return scikit-learn's 1,797 digits as gray RGB: uint8, (1797, 3, 8, 8), by the rule that samples follow."""
    x_0 = torch.tensor(load_digits().images)[:, None] / 8 - 1
    return to_uint8(x_0).expand(-1, 3, -1, -1)


def reference_images(reference: str) -> Tensor:
    """Return the images of a named reference: uint8, (N, 3, H, W).

    Raises:
        UserError: there is no such reference.

    """
    if reference != "digits":
        raise UserError(f"unknown reference {reference!r}: use digits")
    return digits_images()
