"""FID, IS, KID, precision and recall from features, by torch-fidelity's own functions."""

import math
from typing import Any

from torch import Tensor
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from pipeline.evaluation.reference import Reference


def metric_options(num_images: int, num_reference: float) -> dict[str, int]:
    """Return torch-fidelity's options for this many images, under its own names.

    From 8,000 images on they are its defaults: a KID subset of 1,000, 10 IS splits, the third neighbour. With fewer
    images a subset is an eighth of them, so that the 100 subsets differ; with a handful of images all three shrink.
    """
    fewest = int(min(num_images, num_reference))
    return {
        "kid_subset_size": max(2, min(1000, fewest // 8)),
        "isc_splits": min(10, num_images),
        "prc_neighborhood": min(3, fewest - 1),
    }


def compute_metrics(features: Tensor, logits: Tensor, reference: Reference) -> dict[str, Any]:
    """Return fid, is_mean, is_std, kid_mean, kid_std, precision, recall and the options used.

    KID, precision and recall need the reference's features; they are None if it has only statistics.

    Args:
        features: float32, (N, D), in the order of the seeds; N ≥ 2.
        logits: float32, (N, K), same order.
        reference: the reference that they are compared with.

    """
    num_reference = math.inf if reference.features is None else len(reference.features)
    options = metric_options(len(features), num_reference)
    statistics = {"mu": reference.mu, "sigma": reference.sigma}
    fid = fid_statistics_to_metric(fid_features_to_statistics(features), statistics, verbose=False)
    inception_score = isc_features_to_metric(logits, splits=options["isc_splits"])
    return {
        "fid": fid[KEY_METRIC_FID],
        "is_mean": inception_score[KEY_METRIC_ISC_MEAN],
        "is_std": inception_score[KEY_METRIC_ISC_STD],
        **_by_features(features, reference.features, options),
        "options": options,
    }


def _by_features(features: Tensor, reference: Tensor | None, options: dict[str, int]) -> dict[str, float | None]:
    if reference is None:
        return dict.fromkeys(("kid_mean", "kid_std", "precision", "recall"))
    kid = kid_features_to_metric(features, reference, kid_subset_size=options["kid_subset_size"], verbose=False)
    # The first argument is the generated side. For 50,000 images all distances at once would take 30 GB, and
    # batches of the default size 8 GB.
    precision_recall = prc_features_to_metric(
        features,
        reference,
        prc_neighborhood=options["prc_neighborhood"],
        prc_batch_size=2500,
        save_cpu_ram=True,
        verbose=False,
    )
    return {
        "kid_mean": kid[KEY_METRIC_KID_MEAN],
        "kid_std": kid[KEY_METRIC_KID_STD],
        "precision": precision_recall[KEY_METRIC_PRECISION],
        "recall": precision_recall[KEY_METRIC_RECALL],
    }
