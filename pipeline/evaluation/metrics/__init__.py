"""METRICS: all that is measured of a setting's images. A metric is one file and one line here."""

from typing import Any

from torch import Tensor

from pipeline.evaluation.extractors import has_logits
from pipeline.evaluation.metrics.base import SPLITS, Inputs, Metric
from pipeline.evaluation.metrics.fid import FID, UnbiasedFID, distance_of
from pipeline.evaluation.metrics.inception_score import InceptionScore
from pipeline.evaluation.metrics.kid import KID
from pipeline.evaluation.metrics.precision_recall import Precision, Recall
from pipeline.evaluation.reference import Reference
from pipeline.evaluation.uncertainty import Measured, groups

METRICS: dict[str, Metric] = {
    FID.name: FID(),
    UnbiasedFID.name: UnbiasedFID(),
    InceptionScore.name: InceptionScore(),
    KID.name: KID(),
    Precision.name: Precision(),
    Recall.name: Recall(),
}
"""Name → metric, in the order of a row of metrics.json and of the page's columns."""

_MORE = "options", "jackknife"


def row_keys() -> set[str]:
    """Return the keys that `compute_metrics` may give a row of metrics.json."""
    return {key for metric in METRICS.values() for key in metric.keys}.union(_MORE)


def compared_metrics() -> list[Metric]:
    """Return the metrics whose differences are computed."""
    return [metric for metric in METRICS.values() if metric.compared]


def beside_fid() -> list[Metric]:
    """Return the metrics whose differences stand beside FID's and decide nothing."""
    return [metric for metric in compared_metrics() if metric.name != FID.name]


def measure(features: Tensor, logits: Tensor | None, reference: Reference) -> dict[str, Measured]:
    """Return name → the metrics that are compared, with how they depend on the images, where their needs are known.

    Args:
        features: float32, (N, D), in the order of the seeds; N ≥ 2.
        logits: float32, (N, K), same order; None if the extractor has none.
        reference: the reference that they are compared with.

    """
    inputs = Inputs(features, logits, reference)
    metrics = {metric.name: metric.measure(inputs) for metric in compared_metrics()}
    return {name: measured for name, measured in metrics.items() if measured is not None}


def compute_metrics(features: Tensor, logits: Tensor | None, reference: Reference) -> dict[str, Any]:
    """Return all metrics, their errors and the options used: the part of a row of metrics.json that has `row_keys`.

    What needs logits or the reference's features is None without them. `*_se` are standard errors over seeds, for this
    reference: how far a run of other seeds may be; they are None where there are too few images, as FID's below 10.
    `jackknife` has FID without each of the groups of images, from which differences of settings get their errors.
    See `measure` for the arguments.
    """
    inputs = Inputs(features, logits, reference)
    row: dict[str, Any] = {}
    for metric in METRICS.values():
        row |= metric.row(metric.measure(inputs))
    distance = inputs.once(distance_of)
    by_groups = f"jackknife of {len(groups(len(features)))} groups"
    method = by_groups if distance.influence is None else "influence function"
    left_out = None if distance.left_out is None else distance.left_out.tolist()
    return row | {"options": inputs.options | {"fid_se": method}, "jackknife": {"fid": left_out}}


def without_false_is(row: dict[str, Any], extractor: str) -> dict[str, Any]:
    """Return a row of metrics.json, with None for the IS that earlier releases wrote for extractors without logits."""
    return row if has_logits(extractor) else row | METRICS[InceptionScore.name].row(None)


def had_false_is(row: dict[str, Any]) -> bool:
    """Return whether `without_false_is` has taken an IS out of a row: the options of IS are still in it."""
    return row["is_mean"] is None and SPLITS in row["options"]
