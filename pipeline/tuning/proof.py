"""The proof: whether searched settings beat the defaults on fresh seeds, in pairs, beyond noise. FID decides."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import torch

from pipeline.evaluation.difference import Difference, holm, paired
from pipeline.evaluation.metrics.fid import FID
from pipeline.evaluation.uncertainty import Measured
from pipeline.sweep.grid import Setting

POWER = 0.8
"""The chance that as many images as `Proof.images_needed` says show a difference as large as the measured one."""

Metrics = Mapping[str, Measured]
"""Name → a setting's metrics, see `evaluation.metrics.measure`."""


@dataclass(frozen=True, eq=False)
class Finalist:
    """A searched setting beside the defaults, on the same fresh seeds."""

    setting: Setting
    measured: Metrics
    against: Mapping[Setting, Mapping[str, Difference]]
    """Default → name of a metric that both have → the finalist's minus the default's, in pairs, without bias."""
    p_value: float
    """The largest over the defaults of FID's two-sided p-values, each 1 if the finalist's FID is not lower."""
    level: float
    """1 - confidence of all its intervals: the level at which Holm's procedure tested it."""
    wins: bool
    """Whether its FID is lower than each default's: FID's intervals at `level` are then all below 0."""

    @property
    def hardest(self) -> Setting:
        """The default with the largest p-value, among equal ones that with the largest difference of FID."""
        fids = {default: of_default[FID.name] for default, of_default in self.against.items()}
        return max(fids, key=lambda default: (_p_value(fids[default]), fids[default].value))

    @property
    def difference(self) -> Difference:
        """FID's difference to the hardest default."""
        return self.against[self.hardest][FID.name]

    def interval(self, default: Setting, metric: str = FID.name) -> tuple[float, float] | None:
        """Return the interval of a metric's difference to a default at `level`; None if there is no standard error."""
        return self.against[default][metric].interval(self.level)


@dataclass(frozen=True, eq=False)
class Proof:
    """What fresh seeds say of the finalists of a search."""

    finalists: Sequence[Finalist]
    """In the order in which they were given."""
    defaults: Mapping[Setting, Metrics]
    num_images: int
    """Fresh images of each setting."""
    alpha: float
    """The chance that anything is said to win where nothing is better is at most this."""

    @property
    def best(self) -> Finalist | None:
        """The winner with the lowest FID, without bias; None if nothing wins."""
        winners = [finalist for finalist in self.finalists if finalist.wins]
        return min(winners, key=lambda finalist: bias_free(finalist.measured[FID.name]), default=None)

    @property
    def best_default(self) -> Setting:
        """The default with the lowest FID, without bias, on the fresh seeds."""
        return min(self.defaults, key=lambda default: bias_free(self.defaults[default][FID.name]))

    @property
    def closest(self) -> Finalist | None:
        """The finalist with the smallest p-value of those that do not win, among equal ones that with the smallest
        difference of FID; None if all win.
        """  # noqa: D205
        others = [finalist for finalist in self.finalists if not finalist.wins]
        return min(others, key=lambda finalist: (finalist.p_value, finalist.difference.value), default=None)

    @property
    def images_needed(self) -> int | None:
        """How many fresh images of each setting would settle it, if nothing wins; None if there is no such number.

        See `unsettled` for why there is none.
        """
        raise NotImplementedError

    @property
    def unsettled(self) -> str | None:
        """Why no number of images is known that would settle it, as a part of a sentence; None if one is, or one wins."""
        raise NotImplementedError


def prove(
    finalists: Mapping[Setting, Metrics], defaults: Mapping[Setting, Metrics], num_images: int, alpha: float = 0.05
) -> Proof:
    """Return what fresh seeds say of the finalists of a search.

    Args:
        finalists: setting → what `evaluation.metrics.measure` returns of its images of the fresh seeds.
        defaults: the same of the settings that a finalist must beat; at least one.
        num_images: fresh images of each setting; image i of all has the same seed.
        alpha: the chance that is allowed for any claim where no finalist is better.

    """
    raise NotImplementedError


def gap_closed(tuned: Measured, default: Measured, teacher: Measured) -> Difference | None:
    """Return the share of the gap of FID from a default to the teacher that a tuned setting closes, with its error.

    None if the gap is not above 0 beyond noise: a share of nothing has no meaning.
    """
    raise NotImplementedError


def bias_free(measured: Measured) -> float:
    """Return a metric's value less its bias, where that is known."""
    return measured.value - (measured.bias or 0.0)


def _p_value(fid: Difference) -> float:
    return fid.p_value if fid.value < 0 else 1.0
