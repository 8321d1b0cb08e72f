"""The gate: which settings got worse, beyond noise and beyond the tolerance; and the first image that differs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline import UserError
from pipeline.regression.compared import decided
from pipeline.regression.comparison import Comparison


@dataclass(frozen=True)
class Limits:
    """What is tolerated, relative to the baseline."""

    fid: float
    """Change of FID: 0.02 is 2 % of the baseline's FID of the same setting."""
    speed: float
    """Loss of the network's share of the drawing: 0.1 is 10 % of the baseline's share."""

    def __post_init__(self) -> None:
        if not self.fid >= 0:
            raise UserError(f"--tolerance must be 0 or more, not {self.fid}")
        if not 0 <= self.speed < 1:
            raise UserError(f"--speed-tolerance must be from 0 to below 1, not {self.speed}")


@dataclass(frozen=True)
class Verdict:
    """The gate's verdict on one setting."""

    comparison: Comparison
    """Its interval of FID is at the level that Holm gives the setting."""
    quality: str
    """"same" (pixels and features are the baseline's), "unknown" (too few images for an interval), "noise", "worse" or
    "better" (beyond noise, and the change beyond the limit), or "small" (beyond noise alone)."""
    speed: str
    """"ok", "slower", or "not compared" (another device, or a baseline in which it was not timed)."""
    limits: Limits

    @property
    def share_limit(self) -> float | None:
        """The network's share of the drawing below which the setting is slower; None if speed is not compared."""
        share = self.comparison.speeds[0].network_share
        return None if share is None or self.speed == "not compared" else (1 - self.limits.speed) * share

    @property
    def failed(self) -> bool:
        """Whether this is a regression."""
        return self.quality == "worse" or self.speed == "slower"


def judge(comparisons: Sequence[Comparison], limits: Limits) -> list[Verdict]:
    """Return a verdict for each setting.

    A setting is worse if Holm's interval of its paired difference of FID lies above 0 and the difference exceeds the
    limit. Both are without the excess that few images give. Only FID decides. IS and KID are shown with their own
    intervals: IS can rise as images leave the data, and KID sees what FID sees with more noise, so testing them too
    would cost power and add little. Speed is the network's share of the drawing; it is compared if both sides have it
    and name the same single device.
    """
    return [Verdict(one, _quality(one, limits), _speed(one, limits), limits) for one in decided(comparisons)]


def _quality(comparison: Comparison, limits: Limits) -> str:
    if not comparison.differing and comparison.equal_features:
        return "same"
    side = comparison.fid.side
    if side in ("unknown", "around"):
        return "unknown" if side == "unknown" else "noise"
    if abs(comparison.change) <= limits.fid:
        return "small"
    return "worse" if side == "above" else "better"


def _speed(comparison: Comparison, limits: Limits) -> str:
    baseline, tonight = comparison.speeds
    if baseline.network_share is None or tonight.network_share is None:
        return "not compared"
    if baseline.devices != tonight.devices or len(tonight.devices) != 1:
        return "not compared"
    return "slower" if tonight.network_share < (1 - limits.speed) * baseline.network_share else "ok"


def check_extractor(comparisons: Sequence[Comparison], url: str) -> None:
    """Check that the baseline's features and tonight's reference came from one extractor.

    Raises:
        UserError: the FID of the baseline's features to tonight's reference is not the one in the baseline's row.

    """
    for comparison in comparisons:
        written = comparison.baseline_row["fid"]
        # FID is a small difference of large traces; another order of summation moves it by less than this
        if not math.isclose(comparison.fid.baseline, written, rel_tol=1e-2, abs_tol=1e-3):
            raise UserError(
                f"--baseline {url}: FID of {comparison.setting.slug} is {written:.4g} in it and "
                f"{comparison.fid.baseline:.4g} beside tonight's reference: the extractor or the reference has changed"
            )


def first_difference(comparisons: Sequence[Comparison]) -> tuple[str, int] | None:
    """Return the first setting, in the order of the grid, and the first seed whose pixels differ; None if none do."""
    for comparison in comparisons:
        if comparison.differing:
            return comparison.setting.slug, comparison.differing[0]
    return None
