"""Comparison: one setting of tonight's run and of the baseline, and the differences of their metrics."""

from dataclasses import dataclass
from typing import Any

import torch

from pipeline.evaluation.features import Features
from pipeline.evaluation.metrics import metric_options
from pipeline.regression.statistics import (
    Estimate,
    fid_statistic,
    is_statistic,
    kid_statistic,
    paired_bootstrap,
)
from pipeline.sweep.grid import Setting

RESAMPLES = 1000
"""Number of bootstrap resamples; the standard deviation is then accurate to 2 %."""

NOTHING = Estimate(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Comparison:
    """What is measured of one setting, before the gate decides."""

    setting: Setting
    row: dict[str, Any]
    """Tonight's row of metrics.json."""
    baseline_row: dict[str, Any]
    """The baseline's row of metrics.json."""
    differing: list[int]
    """Seeds of the images whose pixels are not the baseline's, ascending."""
    fid: Estimate
    inception_score: Estimate
    kid: Estimate
    baseline_fid: float
    """FID of the baseline's features to tonight's reference; the baseline row's FID if the extractor is the same."""
    speeds: tuple[float, float]
    """Images per second: the baseline's, tonight's."""
    devices: tuple[list[str], list[str]]
    """Names of the devices: the baseline's, tonight's."""

    @property
    def change(self) -> float:
        """The difference of FID relative to the baseline's FID."""
        return self.fid.delta / self.baseline_fid


def estimate(
    ours: Features, theirs: Features, reference: torch.Tensor, device: str = "cpu"
) -> tuple[Estimate, Estimate, Estimate]:
    """Return the differences of FID, IS and KID between features of the same seeds.

    Args:
        ours: tonight's features.
        theirs: the baseline's features.
        reference: features of the reference, float32, (M, D).
        device: the device that computes.

    """
    if all(torch.equal(getattr(ours, name), getattr(theirs, name)) for name in ("features", "logits")):
        return NOTHING, NOTHING, NOTHING
    n, beside = len(ours.seeds), reference.to(device)
    splits = metric_options(n, len(reference))["isc_splits"]
    (x, y), (p, q) = ([getattr(side, name).to(device) for side in (ours, theirs)] for name in ("features", "logits"))
    return (
        paired_bootstrap(fid_statistic(x, beside), fid_statistic(y, beside), n, RESAMPLES, device),
        paired_bootstrap(is_statistic(p, splits), is_statistic(q, splits), n, RESAMPLES, device),
        paired_bootstrap(kid_statistic(x, beside), kid_statistic(y, beside), n, RESAMPLES, device),
    )
