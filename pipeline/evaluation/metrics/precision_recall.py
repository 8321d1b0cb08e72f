"""Precision and recall by nearest neighbours, by torch-fidelity's function, and recall without groups of images."""

import torch
from torch import Tensor

from pipeline.evaluation.metrics.base import Inputs, Metric
from pipeline.evaluation.uncertainty import Measured, groups

PAIRS = 50_000_000
"""Distances at once. In torch-fidelity's search for neighbours each takes 16 bytes, its value, a copy and an index."""
_NEIGHBOURS = 64


class Precision(Metric):
    """The share of the images that lie within the ball of a reference image."""

    name = "precision"
    title = "precision"
    higher_is_better = True
    needs = ("reference features",)

    def decimals(self, value: float) -> int:
        """Return 3, whatever the value."""
        return 3

    def compute(self, inputs: Inputs) -> Measured:
        """Return precision, a share of the images."""
        return Measured(inputs.once(_both)[0], share_of=len(inputs.features))


class Recall(Metric):
    """The share of the reference images that lie within the ball of an image."""

    name = "recall"
    title = "recall"
    higher_is_better = True
    needs = ("reference features",)

    def decimals(self, value: float) -> int:
        """Return 3, whatever the value."""
        return 3

    def compute(self, inputs: Inputs) -> Measured:
        """Return recall; its error is the jackknife's."""
        assert inputs.reference.features is not None
        neighbourhood = inputs.options["prc_neighborhood"]
        left_out = recall_left_out(inputs.features, inputs.reference.features, neighbourhood)
        return Measured(inputs.once(_both)[1], left_out=left_out)


def _both(inputs: Inputs) -> tuple[float, float]:
    """Return precision and recall, which torch-fidelity computes together."""
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    features, real = inputs.features, inputs.reference.features
    assert real is not None
    # The first argument is the generated side. For 50,000 images all distances at once would take 30 GB, and
    # batches of the default size 8 GB. Up to 20,000 images batches are of 2,500, then smaller.
    both = prc_features_to_metric(
        features,
        real,
        prc_neighborhood=inputs.options["prc_neighborhood"],
        prc_batch_size=rows_at_once(2500, max(len(features), len(real))),
        save_cpu_ram=True,
        verbose=False,
    )
    return both[KEY_METRIC_PRECISION], both[KEY_METRIC_RECALL]


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
    rows, k = rows_at_once(2000, n), min(n, _NEIGHBOURS)
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
