"""Comparison: one setting of tonight's run beside the baseline's, and the differences of their metrics."""

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
"""Gives a standard deviation to 2 %."""

NOTHING = Estimate(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Comparison:
    """What is known of one setting, before anything is decided."""

    setting: Setting
    row: dict[str, Any]
    """Tonight's, of metrics.json."""
    baseline_row: dict[str, Any]
    differing: list[int]
    """Seeds of the images whose pixels are not the baseline's, ascending."""
    fid: Estimate
    inception_score: Estimate
    kid: Estimate
    baseline_fid: float
    """Of the baseline's features beside tonight's reference; the baseline's row where the extractor is the same."""
    speeds: tuple[float, float]
    """Images a second: the baseline's, tonight's."""
    devices: tuple[list[str], list[str]]
    """The baseline's, tonight's."""

    @property
    def change(self) -> float:
        """Difference of FID, relative to the baseline's."""
        return self.fid.delta / self.baseline_fid


def estimate(
    ours: Features, theirs: Features, reference: torch.Tensor, device: str = "cpu"
) -> tuple[Estimate, Estimate, Estimate]:
    """Return the differences of FID, IS and KID between features of the same seeds.

    Args:
        ours: tonight's.
        theirs: the baseline's.
        reference: float32, (M, D).
        device: where to compute.

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
