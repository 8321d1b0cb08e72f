"""How a metric depends on the images that were drawn: standard errors and bias, of one side or of pairs."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

GROUPS = 20
"""Groups of the jackknife; the relative error of its standard error is 1/√(2 (K - 1)), 16 %."""
FEWEST_GROUPS = 5
KID_IMAGES = 2000
"""Images of a side from which the mean of KID's kernel is taken for each image."""
PAIRS = 50_000_000
"""Distances at once. In torch-fidelity's search for neighbours each takes 16 bytes, its value, a copy and an index."""
_NEIGHBOURS = 64


@dataclass(frozen=True)
class Measured:
    """A metric of N images, and how it changes with them. A difference of two is that of pairs with the same seed."""

    value: float
    influence: Tensor | None
    """The first-order change of the value by each image, times N: float64, (N,), with mean 0."""
    left_out: Tensor | None
    """The value without each of K groups of images: float64, (K,)."""
    subsets: Tensor | None = None
    """The values of the random subsets whose mean the value is: float64, (B,). Both sides of a pair have the same."""

    @property
    def noise(self) -> float:
        """The standard deviation that the value has besides, from random subsets in its computation."""
        return 0.0 if self.subsets is None else float(self.subsets.std(correction=0)) / math.sqrt(len(self.subsets))

    @property
    def se(self) -> float | None:
        """The standard error: by the influence function, else by the jackknife; None if the images are too few."""
        if self.influence is not None:
            return math.hypot(float(self.influence.std()) / math.sqrt(len(self.influence)), self.noise)
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


def inception_score_influence(logits: Tensor, splits: int) -> Tensor:
    """Return the influence function of torch-fidelity's IS, for float32 logits (N, K): float64, (N,).

    IS is the mean over splits of exp(E[log p - log q]) with q = E[p], and each split has its own images.
    """
    from torch_fidelity.defaults import DEFAULTS  # a slow import that only workers need

    n = len(logits)
    log_p = logits.double().log_softmax(dim=1)
    order = np.random.RandomState(DEFAULTS["rng_seed"]).permutation(n)
    influence = torch.zeros(n, dtype=torch.float64)
    for i in range(splits):
        of = torch.from_numpy(order[i * n // splits : (i + 1) * n // splits])
        log = log_p[of]
        p = log.exp()
        divergence = (p * (log - p.mean(0).log())).sum(1)
        influence[of] = divergence.mean().exp() * (divergence - divergence.mean()) * n / (splits * len(of))
    return influence


def kid_influence(features: Tensor, reference: Tensor) -> Tensor:
    """Return the influence function of KID for float32 features (N, D) and (M, D): float64, (N,).

    KID is E[k(x, x')] - 2 E[k(x, y)] + E[k(y, y')], so an image adds 2 (E[k(x, x')] - E[k(x, y)]) less the mean of it.
    """
    some, others = features[:KID_IMAGES], reference[:KID_IMAGES]
    within = torch.cat([_kernel(part, some).sum(1, dtype=torch.float64) for part in features.split(KID_IMAGES)])
    itself = _kernel_of_itself(some)
    within[: len(some)] -= itself
    count = torch.full((len(features),), float(len(some)), dtype=torch.float64)
    count[: len(some)] -= 1
    across = torch.cat([_kernel(part, others).mean(1, dtype=torch.float64) for part in features.split(KID_IMAGES)])
    influence = 2 * (within / count - across)
    return influence - influence.mean()


def rows_at_once(most: int, num_images: int) -> int:
    """Return how many images, `most` at most, are compared at once with `num_images` others; see `PAIRS`."""
    return max(1, min(most, PAIRS // num_images))


def recall_left_out(features: Tensor, reference: Tensor, neighbourhood: int) -> Tensor | None:
    """Return torch-fidelity's recall without each of the groups of images: float64, (K,); None for too few images.

    Recall is the share of reference images within the ball of an image, whose radius is the distance to its
    `neighbourhood`-th neighbour among the images that are left.
    """
    n = len(features)
    parts = groups(n)
    if not parts:
        return None
    rows, k = rows_at_once(KID_IMAGES, n), min(n, _NEIGHBOURS)
    distances, who = torch.empty(n, k), torch.empty(n, k, dtype=torch.long)
    for first in range(0, n, rows):
        part = slice(first, first + rows)
        distances[part], who[part] = torch.cdist(features[part], features).topk(k, largest=False)
    group = torch.empty(n, dtype=torch.long)
    for i, images in enumerate(parts):
        group[images] = i
    of = group[who]
    radii = torch.empty(len(parts), n)
    for i in range(len(parts)):
        # an image is the first neighbour of itself; of 64 the fourth is never missing
        place = ((of != i).cumsum(1) == neighbourhood + 1).int().argmax(1)
        radii[i] = distances.gather(1, place[:, None])[:, 0].where(group != i, torch.tensor(-1.0))
    covered = torch.zeros(len(parts), dtype=torch.float64)
    for real in reference.split(rows):
        distance = torch.cdist(real, features).numpy()
        # numpy's `any` takes a quarter of torch's time
        covered += torch.tensor([(distance <= radius).any(1).sum() for radius in radii.numpy()])
    return covered / len(reference)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    root = (x @ y.T).div_(x.shape[1]).add_(1)
    return root * root * root


def _kernel_of_itself(x: Tensor) -> Tensor:
    return ((x.square().sum(1) / x.shape[1] + 1) ** 3).double()
