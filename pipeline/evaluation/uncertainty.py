"""How a metric depends on the images that were drawn: standard errors and bias, of one side or of pairs."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

GROUPS = 20
"""Groups of the jackknife; the relative error of its standard error is 1/√(2 (K - 1)), 16 %."""
FEWEST_GROUPS = 5


@dataclass(frozen=True)
class Measured:
    """A metric of N images, and how it changes with them. A difference of two is that of pairs with the same seed."""

    value: float
    influence: Tensor | None = None
    """The first-order change of the value by each image, times N: float64, (N,), with mean 0."""
    left_out: Tensor | None = None
    """The value without each of K groups of images: float64, (K,)."""
    subsets: Tensor | None = None
    """The values of the random subsets whose mean the value is: float64, (B,). Both sides of a pair have the same."""
    spread: float | None = None
    """The standard deviation of what the value is the mean of, as torch-fidelity prints it; no error."""
    share_of: int | None = None
    """The number of images of which the value is a share."""

    @property
    def noise(self) -> float:
        """The standard deviation that the value has besides, from random subsets in its computation."""
        return 0.0 if self.subsets is None else float(self.subsets.std(correction=0)) / math.sqrt(len(self.subsets))

    @property
    def se(self) -> float | None:
        """The standard error: by the influence function, of a share, or by the jackknife; None for too few images."""
        if self.influence is not None:
            return math.hypot(float(self.influence.std()) / math.sqrt(len(self.influence)), self.noise)
        if self.share_of is not None:
            return math.sqrt(self.value * (1 - self.value) / self.share_of)
        if self.left_out is None:
            return None
        k = len(self.left_out)
        return math.hypot(math.sqrt((k - 1) ** 2 / k * float(self.left_out.var())), self.noise)

    @property
    def bias(self) -> float | None:
        """The excess by the finite number of images, by the jackknife; None if the images are too few."""
        if self.left_out is None:
            return None
        return (len(self.left_out) - 1) * (float(self.left_out.mean()) - self.value)

    def __sub__(self, other: "Measured") -> "Measured":
        """Return the difference to another side, whose image i has the seed of image i here."""
        return Measured(
            self.value - other.value,
            _minus(self.influence, other.influence),
            _minus(self.left_out, other.left_out),
            _minus(self.subsets, other.subsets),
        )


def _minus(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return None if one is None or other is None else one - other


def groups(num_images: int) -> list[slice]:
    """Return the groups of the jackknife, runs of seeds: `GROUPS`, or fewer with two images each; none below ten."""
    count = min(GROUPS, num_images // 2)
    if count < FEWEST_GROUPS:
        return []
    bounds = [i * num_images // count for i in range(count + 1)]
    return [slice(first, end) for first, end in itertools.pairwise(bounds)]


def jackknife(num_images: int, without: Callable[[slice], float]) -> Tensor | None:
    """Return what `without` makes of each group that is left out: float64, (K,); None if the images are too few."""
    values = [without(part) for part in groups(num_images)]
    return torch.tensor(values, dtype=torch.float64) if values else None
