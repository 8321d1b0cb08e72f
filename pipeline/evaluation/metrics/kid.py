"""KID, the Kernel Inception Distance, by torch-fidelity's kernel and subsets, and its influence function."""

import numpy as np
import torch
from torch import Tensor

from pipeline.evaluation.metrics.base import Inputs, Metric
from pipeline.evaluation.uncertainty import Measured

IMAGES = 2000
"""Images of a side from which the mean of the kernel is taken for each image."""


class KID(Metric):
    """The mean of KID over torch-fidelity's random subsets."""

    name = "kid"
    title = "KID"
    needs = ("reference features",)
    compared = True
    significant = 3
    keys = ("kid_mean", "kid_std", "kid_se")

    def decimals(self, value: float) -> int:
        """Return 2 or 4: KID of Inception is a few thousandths."""
        return 2 if abs(value) >= 1 else 4

    def compute(self, inputs: Inputs) -> Measured:
        """Return KID."""
        features, real = inputs.features, inputs.reference.features
        assert real is not None
        subsets = kid_subsets(features, real, inputs.options["kid_subset_size"])
        spread = float(subsets.std(correction=0))
        return Measured(float(subsets.mean()), kid_influence(features, real), subsets=subsets, spread=spread)

    def values(self, measured: Measured) -> tuple[float | None, ...]:
        """Return KID, its spread over the subsets and its error."""
        return measured.value, measured.spread, measured.se


def kid_subsets(features: Tensor, reference: Tensor, size: int) -> Tensor:
    """Return KID of each of torch-fidelity's random subsets, whose mean it returns: float64, (100,).

    Args:
        features: float32, (N, D).
        reference: float32, (M, D).
        size: images of each side in a subset.

    """
    from torch_fidelity.defaults import DEFAULTS
    from torch_fidelity.metric_kid import kernel_mmd

    random = np.random.RandomState(DEFAULTS["rng_seed"])
    sides = features.numpy(), reference.numpy()
    values = []
    for _ in range(DEFAULTS["kid_subsets"]):
        x, y = (side[random.choice(len(side), size, replace=False)] for side in sides)
        values.append(float(kernel_mmd(x, y)))
    return torch.tensor(values, dtype=torch.float64)


def kid_influence(features: Tensor, reference: Tensor) -> Tensor:
    """Return the influence function of KID for float32 features (N, D) and (M, D): float64, (N,).

    KID is E[k(x, x')] - 2 E[k(x, y)] + E[k(y, y')], so an image adds 2 (E[k(x, x')] - E[k(x, y)]) less the mean of it.
    """
    some, others = features[:IMAGES], reference[:IMAGES]
    within = torch.cat([_kernel(part, some).sum(1, dtype=torch.float64) for part in features.split(IMAGES)])
    itself = _kernel_of_itself(some)
    within[: len(some)] -= itself
    count = torch.full((len(features),), float(len(some)), dtype=torch.float64)
    count[: len(some)] -= 1
    across = torch.cat([_kernel(part, others).mean(1, dtype=torch.float64) for part in features.split(IMAGES)])
    influence = 2 * (within / count - across)
    return influence - influence.mean()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    root = (x @ y.T).div_(x.shape[1]).add_(1)
    return root * root * root


def _kernel_of_itself(x: Tensor) -> Tensor:
    return ((x.square().sum(1) / x.shape[1] + 1) ** 3).double()
