"""Features to FID, IS, KID, precision and recall, by torch-fidelity's own functions."""

from typing import Any

from torch import Tensor
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric


def metric_options(num_images: int, num_reference: int) -> dict[str, int]:
    """Return the options that torch-fidelity needs for this many images, under its own names.

    They are its defaults from 8,000 images on: a KID subset of 1,000, 10 IS splits, the third neighbour. With fewer
    images a subset is an eighth of them, so that the 100 subsets differ; with a handful all three shrink.
    """
    fewest = min(num_images, num_reference)
    return {
        "kid_subset_size": max(2, min(1000, fewest // 8)),
        "isc_splits": min(10, num_images),
        "prc_neighborhood": min(3, fewest - 1),
    }


def compute_metrics(features: Tensor, logits: Tensor, reference: Tensor) -> dict[str, Any]:
    """Return fid, is_mean, is_std, kid_mean, kid_std, precision, recall and the options used.

    Args:
        features: float32, (N, D), in the order of the seeds; N ≥ 2.
        logits: float32, (N, K), same order.
        reference: float32, (M, D), features of the reference data.

    """
    options = metric_options(len(features), len(reference))
    statistics, statistics_reference = fid_features_to_statistics(features), fid_features_to_statistics(reference)
    fid = fid_statistics_to_metric(statistics, statistics_reference, verbose=False)
    inception_score = isc_features_to_metric(logits, splits=options["isc_splits"])
    kid = kid_features_to_metric(features, reference, kid_subset_size=options["kid_subset_size"], verbose=False)
    # torch-fidelity's first argument is the generated side.
    neighborhood = options["prc_neighborhood"]
    precision_recall = prc_features_to_metric(features, reference, prc_neighborhood=neighborhood, verbose=False)
    return {
        "fid": fid[KEY_METRIC_FID],
        "is_mean": inception_score[KEY_METRIC_ISC_MEAN],
        "is_std": inception_score[KEY_METRIC_ISC_STD],
        "kid_mean": kid[KEY_METRIC_KID_MEAN],
        "kid_std": kid[KEY_METRIC_KID_STD],
        "precision": precision_recall[KEY_METRIC_PRECISION],
        "recall": precision_recall[KEY_METRIC_RECALL],
        "options": options,
    }
