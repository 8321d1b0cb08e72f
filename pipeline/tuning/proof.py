"""The proof: whether searched settings beat the defaults on fresh seeds, in pairs, beyond noise. FID decides."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from pipeline.evaluation.difference import Difference, holm, paired
from pipeline.evaluation.metrics.fid import FID
from pipeline.evaluation.uncertainty import Measured
from pipeline.sweep.grid import Setting

POWER = 0.8
"""The chance that `Proof.images_needed` images show a difference, if it is as large as the measured one."""

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
        """The finalist with the smallest p-value of those that do not win; None if all win.

        Of several with the same p-value, as 1, it is the one whose difference of FID is least.
        """
        others = [finalist for finalist in self.finalists if not finalist.wins]
        return min(others, key=lambda finalist: (finalist.p_value, finalist.difference.value), default=None)

    @property
    def images_needed(self) -> int | None:
        """How many fresh images of each setting would settle it, if nothing wins; None if no such number is known.

        With so many, the closest finalist would beat its hardest default with probability `POWER`, if the true
        difference Δ of the two is the measured one. This is the textbook sample size of a two-sided z test: the
        standard error of n images is SE √(N/n), and |Δ| must be z(1 - level/2) + z(POWER) of these, so
        n = N ((z + z) SE / |Δ|)². The other defaults, whose differences are further from 0 in standard errors, need
        fewer; where they are nearly as hard, the chance to beat all is lower. A measured difference has an error
        itself, so the number tells orders of magnitude.
        """
        closest = None if self.best else self.closest
        if closest is None or self.unsettled:
            return None
        fid, normal = closest.difference, NormalDist()
        assert fid.se is not None
        errors = normal.inv_cdf(1 - closest.level / 2) + normal.inv_cdf(POWER)
        return math.ceil(self.num_images * (errors * fid.se / fid.value) ** 2)

    @property
    def unsettled(self) -> str | None:
        """Why `images_needed` knows no number though nothing wins, as a clause; None if it knows one."""
        closest = None if self.best else self.closest
        if closest is None:
            return None
        if closest.difference.value >= 0:
            return f"its FID is not below that of {closest.hardest.slug}, which more images do not change"
        return "there are too few images for a standard error" if closest.difference.se is None else None


def prove(
    finalists: Mapping[Setting, Metrics], defaults: Mapping[Setting, Metrics], num_images: int, alpha: float = 0.05
) -> Proof:
    """Return what fresh seeds say of the finalists of a search.

    A finalist wins if its FID is lower than each default's. To be wrong on that the test of the default that is no
    worse in truth must be wrong, so the largest p-value needs no correction for their number (an intersection-union
    test: Berger, 1982). Finalists are corrected for by Holm.

    Args:
        finalists: setting → what `evaluation.metrics.measure` returns of its images of the fresh seeds; at least one.
        defaults: the same of the settings that a finalist must beat; at least one.
        num_images: fresh images of each setting; image i of all has the same seed.
        alpha: the chance that is allowed for a claim of any finalist that is not better than each default.

    """
    against = {setting: _against(measured, defaults) for setting, measured in finalists.items()}
    p_values = [max(_p_value(one[FID.name]) for one in of_one.values()) for of_one in against.values()]
    decided = zip(finalists.items(), p_values, *holm(p_values, alpha), strict=True)
    ones = [
        Finalist(setting, measured, against[setting], p_value, level, wins)
        for (setting, measured), p_value, wins, level in decided
    ]
    return Proof(ones, defaults, num_images, alpha)


def gap_closed(tuned: Measured, default: Measured, teacher: Measured) -> Difference | None:
    """Return the share of FID's gap between a default and the teacher that a tuned setting closes, with its error.

    It is R = A / B with A = default - tuned and B = default - teacher, in pairs and without bias. Its error is by the
    delta method: to first order R changes by (a - R b) / B where A changes by a and B by b, so each image, or group
    that is left out, changes it by that.

    None if B is not above 0 beyond noise, at 5 %: a share of no gap means nothing.
    """
    gap = paired(default, teacher)
    if gap.value <= 0 or gap.p_value >= 0.05:
        return None
    share = paired(default, tuned).value / gap.value
    error = paired(default - tuned, _scaled(default - teacher, share))
    return Difference(share, None if error.se is None else error.se / gap.value, error.degrees)


def bias_free(measured: Measured) -> float:
    """Return a metric's value less its bias, where that is known."""
    return measured.value - (measured.bias or 0.0)


def _p_value(fid: Difference) -> float:
    return fid.p_value if fid.value < 0 else 1.0


def _against(measured: Metrics, defaults: Mapping[Setting, Metrics]) -> dict[Setting, dict[str, Difference]]:
    return {
        default: {name: paired(one, theirs[name]) for name, one in measured.items() if name in theirs}
        for default, theirs in defaults.items()
    }


def _scaled(fid: Measured, factor: float) -> Measured:
    influence, left_out = (None if part is None else factor * part for part in (fid.influence, fid.left_out))
    return Measured(factor * fid.value, influence, left_out)
