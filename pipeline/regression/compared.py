"""Metrics of two settings beside each other: the differences, whose FID decides, at levels for all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from pipeline.evaluation.difference import Difference, holm, paired, unpaired
from pipeline.evaluation.features import Features
from pipeline.evaluation.metrics.fid import FID
from pipeline.evaluation.uncertainty import Measured

T = TypeVar("T", bound="TwoSettings")

ALPHA = 0.05
"""1 - confidence of the intervals: the chance that without any change one of FID's excludes 0, to either side."""


@dataclass(frozen=True)
class Compared:
    """A metric of two settings."""

    baseline: float
    other: float
    difference: Difference
    """The other minus the baseline."""
    level: float = ALPHA
    """1 - confidence of the interval; for FID by Holm, so that those of all comparisons hold together."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval of the difference; None if there are too few images for one."""
        return self.difference.interval(self.level)

    @property
    def side(self) -> str:
        """Where the interval lies: "above" 0, "below" it or "around" it; "unknown" if there is none."""
        if self.interval is None:
            return "unknown"
        low, high = self.interval
        return "above" if low > 0 else "below" if high < 0 else "around"


@dataclass(frozen=True)
class TwoSettings:
    """Two settings whose metrics are compared."""

    metrics: dict[str, Compared]
    """Name → those that are measured of both; see `compared`."""

    @property
    def fid(self) -> Compared:
        """FID, which decides."""
        return self.metrics[FID.name]


def compared(ours: dict[str, Measured], theirs: dict[str, Measured], in_pairs: bool) -> dict[str, Compared]:
    """Return name → the metrics of two settings that are measured: IS with logits, KID with the reference's features.

    Args:
        ours: what `metrics.measure` returns of the other side.
        theirs: the same of the baseline, by the same extractor and reference.
        in_pairs: whether image i of both has the same noise.

    """

    def one(name: str) -> Compared:
        baseline, other = theirs[name], ours[name]
        return Compared(baseline.value, other.value, paired(other, baseline) if in_pairs else unpaired(other, baseline))

    return {name: one(name) for name in theirs}


def equal_features(one: Features, other: Features) -> bool:
    """Return whether features and logits of both, of which an extractor may have no logits, are equal."""
    if one.logits is None or other.logits is None:
        return one.logits is other.logits and torch.equal(one.features, other.features)
    return torch.equal(one.features, other.features) and torch.equal(one.logits, other.logits)


def decided(ones: Sequence[T]) -> list[T]:
    """Return all comparisons, each with its FID at the level of `at_holms_levels`."""
    fids = at_holms_levels([one.fid for one in ones])
    return [replace(one, metrics=one.metrics | {FID.name: fid}) for one, fid in zip(ones, fids, strict=True)]


def at_holms_levels(fids: Sequence[Compared]) -> list[Compared]:
    """Return the FIDs of all comparisons, each at its level by Holm among those that have a standard error."""
    known = [i for i, fid in enumerate(fids) if fid.difference.se is not None]
    levels = dict(zip(known, holm([fids[i].difference.p_value for i in known], ALPHA)[1], strict=True))
    return [replace(fid, level=levels.get(i, ALPHA)) for i, fid in enumerate(fids)]
