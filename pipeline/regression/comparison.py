"""Comparison: one setting of tonight's run and of the baseline, and the differences of their metrics."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from pipeline.evaluation.features import Features
from pipeline.evaluation.frechet import fid_value
from pipeline.evaluation.metrics import measure
from pipeline.evaluation.reference import Reference
from pipeline.evaluation.uncertainty import Measured
from pipeline.regression.statistics import Estimate
from pipeline.sweep.grid import Setting

NOTHING = Estimate(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Speed:
    """How fast a setting was drawn."""

    images_per_second: float
    """Of one worker, the median over the shards: it falls when a machine has other work, so it is shown and no more."""
    devices: list[str]
    """Names of the devices."""
    network_share: float | None
    """The share of the drawing that as many network calls as the setting has took, each as long as on average. Other
    work on the machine slows both alike; a sampler that does more than before, or calls the network more often, lowers
    it. None if it was not timed."""


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
    speeds: tuple[Speed, Speed]
    """The baseline's, tonight's."""

    @property
    def change(self) -> float:
        """The difference of FID relative to the baseline's FID."""
        return self.fid.delta / self.baseline_fid


def estimate(
    ours: Features, theirs: Features, reference: Reference
) -> tuple[tuple[Estimate, Estimate, Estimate], float]:
    """Return the differences of FID, IS and KID between features of the same seeds, and FID of theirs.

    Args:
        ours: tonight's features.
        theirs: the baseline's features.
        reference: the reference, with features.

    """
    if all(torch.equal(getattr(ours, name), getattr(theirs, name)) for name in ("features", "logits")):
        return (NOTHING, NOTHING, NOTHING), fid_value(theirs.features, reference)
    here, there = (measure(side.features, side.logits, reference) for side in (ours, theirs))
    fid, score, kid = (_estimate(here[name] - there[name]) for name in ("fid", "is", "kid"))
    return (fid, score, kid), there["fid"].value


def _estimate(difference: Measured) -> Estimate:
    se = difference.se  # None for a handful of images: nothing is beyond their noise
    return Estimate(difference.value, difference.bias or 0.0, math.inf if se is None else se)
