"""FID, IS, KID, precision and recall from features, by torch-fidelity's own functions, a slow import."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.evaluation.extractors import has_logits
from pipeline.evaluation.metrics.fid import fid
from pipeline.evaluation.reference import Reference
from pipeline.evaluation.uncertainty import (
    Measured,
    groups,
    inception_score_influence,
    kid_influence,
    recall_left_out,
    rows_at_once,
)

_SPLITS = "isc_splits"

ROW_KEYS = {
    *("fid", "fid_se", "fid_bias", "fid_inf", "is_mean", "is_std", "is_se", "kid_mean", "kid_std", "kid_se"),
    *("precision", "precision_se", "recall", "recall_se", "options", "jackknife"),
    *("num_images", "seconds", "images_per_second", "reference", "device"),
}
"""What a row of metrics.json has besides its setting: what `compute_metrics` returns, and what is said of the files."""


def metric_options(num_images: int, num_reference: float) -> dict[str, Any]:
    """Return torch-fidelity's options for this many images, under its own names.

    From 8,000 images on they are its defaults: a KID subset of 1,000, 10 IS splits, the third neighbour. With fewer
    images a subset is an eighth of them, so that the 100 subsets differ; with a handful of images all three shrink.
    """
    fewest = int(min(num_images, num_reference))
    return {
        "kid_subset_size": max(2, min(1000, fewest // 8)),
        _SPLITS: min(10, num_images),
        "prc_neighborhood": min(3, fewest - 1),
    }


def measure(features: Tensor, logits: Tensor | None, reference: Reference) -> dict[str, Measured]:
    """Return fid, is if there are logits, and kid if the reference has features, with how they depend on the images.

    Args:
        features: float32, (N, D), in the order of the seeds; N ≥ 2.
        logits: float32, (N, K), same order; None if the extractor has none.
        reference: the reference that they are compared with.

    """
    return {name: found for name, (found, _) in _measure(features, logits, reference).items()}


def compute_metrics(features: Tensor, logits: Tensor | None, reference: Reference) -> dict[str, Any]:
    """Return fid, is_mean, is_std, kid_mean, kid_std, precision, recall, their errors and the options used.

    IS needs logits, and KID, precision and recall the reference's features; without them they are None. `*_se` are
    standard errors over seeds, for this reference: how far a run of other seeds may be. `fid_bias` is what FID has too
    much because there are only N images, and `fid_inf` is FID without it. They are None with fewer than 10 images.
    `jackknife` has FID without each of the groups of images, from which differences of settings get their errors.
    See `measure` for the arguments.
    """
    options = _options(features, logits, reference)
    found = _measure(features, logits, reference)
    distance, _ = found["fid"]
    by_groups = f"jackknife of {len(groups(len(features)))} groups"
    method = by_groups if distance.influence is None else "influence function"
    return {
        "fid": distance.value,
        "fid_se": distance.se,
        "fid_bias": distance.bias,
        "fid_inf": None if distance.bias is None else distance.value - distance.bias,
        **_inception_score(found.get("is")),
        **_by_neighbours(features, reference.features, options, found.get("kid")),
        "options": options | {"fid_se": method},
        "jackknife": {"fid": None if distance.left_out is None else distance.left_out.tolist()},
    }


def without_false_is(row: dict[str, Any], extractor: str) -> dict[str, Any]:
    """Return a row of metrics.json, with None for the IS that earlier releases wrote for extractors without logits."""
    return row if has_logits(extractor) else row | _inception_score(None)


def had_false_is(row: dict[str, Any]) -> bool:
    """Return whether `without_false_is` has taken an IS out of a row: the options of IS are still in it."""
    return row["is_mean"] is None and _SPLITS in row["options"]


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


def _options(features: Tensor, logits: Tensor | None, reference: Reference) -> dict[str, Any]:
    options = metric_options(len(features), math.inf if reference.features is None else len(reference.features))
    if logits is None:
        del options[_SPLITS]
    return options


def _measure(features: Tensor, logits: Tensor | None, reference: Reference) -> dict[str, tuple[Measured, float]]:
    """Return metric → (what is measured, the spread over IS's splits or KID's subsets; 0 for FID)."""
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

    options = _options(features, logits, reference)
    found = {"fid": (fid(features, reference), 0.0)}
    if logits is not None:
        score = isc_features_to_metric(logits, splits=options[_SPLITS])
        influence = inception_score_influence(logits, options[_SPLITS])
        found["is"] = Measured(score[KEY_METRIC_ISC_MEAN], influence, None), score[KEY_METRIC_ISC_STD]
    if reference.features is not None:
        size = options["kid_subset_size"]
        subsets = kid_subsets(features, reference.features, size)
        influence = kid_influence(features, reference.features)
        found["kid"] = Measured(float(subsets.mean()), influence, None, subsets), float(subsets.std(correction=0))
    return found


def _inception_score(found: tuple[Measured, float] | None) -> dict[str, float | None]:
    if found is None:
        return dict.fromkeys(("is_mean", "is_std", "is_se"))
    return {"is_mean": found[0].value, "is_std": found[1], "is_se": found[0].se}


def _by_neighbours(
    features: Tensor, reference: Tensor | None, options: dict[str, Any], kid: tuple[Measured, float] | None
) -> dict[str, float | None]:
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    if reference is None or kid is None:
        names = ("kid_mean", "kid_std", "kid_se", "precision", "precision_se", "recall", "recall_se")
        return dict.fromkeys(names)
    # The first argument is the generated side. For 50,000 images all distances at once would take 30 GB, and
    # batches of the default size 8 GB. Up to 20,000 images batches are of 2,500, then smaller.
    precision_recall = prc_features_to_metric(
        features,
        reference,
        prc_neighborhood=options["prc_neighborhood"],
        prc_batch_size=rows_at_once(2500, max(len(features), len(reference))),
        save_cpu_ram=True,
        verbose=False,
    )
    precision, recall = precision_recall[KEY_METRIC_PRECISION], precision_recall[KEY_METRIC_RECALL]
    left_out = recall_left_out(features, reference, options["prc_neighborhood"])
    return {
        "kid_mean": kid[0].value,
        "kid_std": kid[1],
        "kid_se": kid[0].se,
        "precision": precision,
        "precision_se": math.sqrt(precision * (1 - precision) / len(features)),  # a share of the images
        "recall": recall,
        "recall_se": Measured(recall, None, left_out).se,
    }
