"""The proof: which finalists beat every default on fresh seeds, beyond noise and for all of them together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import torch

from pipeline.evaluation.difference import Difference, holm, paired
from pipeline.evaluation.metrics.fid import FID
from pipeline.evaluation.uncertainty import Measured
from pipeline.sweep.grid import Setting

ALPHA = 0.05
"""The chance that any finalist that is no better than the best default is said to win."""
POWER = 0.8
"""The chance with which the images that are said to be needed would show a difference as large as the one found."""

Metrics = Mapping[str, Measured]
"""Name → a metric of a setting's fresh images."""


@dataclass(frozen=True)
class Finalist:
    """A setting that the search has found, beside the defaults."""

    setting: Setting
    measured: Metrics
    against: Mapping[Setting, Mapping[str, Difference]]
    """Default → name → the finalist's metric minus the default's, over pairs of the same noise."""
    p_value: float
    """The largest over the defaults; 1 if one of them is not worse than the finalist."""
    level: float
    """1 - confidence of its intervals, by Holm over the finalists."""

    @property
    def wins(self) -> bool:
        """Whether it is better than each default, beyond noise."""
        return self.p_value < self.level

    @property
    def hardest(self) -> Setting:
        """The default that it beats least surely, or is furthest behind."""

        def doubt(setting: Setting) -> tuple[float, float]:
            fid = self.against[setting][FID.name]
            return _p_value(fid), fid.value

        return max(self.against, key=doubt)

    def images_needed(self, num_images: int) -> int | None:
        """Return of how many fresh images a difference to the hardest default as large as the one found is shown.

        It is shown with the probability `POWER` at the finalist's level by N ((z_(1 - level/2) + z_POWER) SE / Δ)²
        images, the sample size of a two-sided z test, since SE falls as 1/√N. None if the finalist is not better, so
        that no number of images would show it.

        Args:
            num_images: N, the fresh images that the difference and its error are from.

        """
        fid = self.against[self.hardest][FID.name]
        if fid.se is None or fid.value >= 0:
            return None
        z = NormalDist().inv_cdf(1 - self.level / 2) + NormalDist().inv_cdf(POWER)
        return math.ceil(num_images * (z * fid.se / fid.value) ** 2)


@dataclass(frozen=True)
class Proof:
    """Finalists beside defaults, on the same fresh seeds."""

    finalists: tuple[Finalist, ...]
    defaults: Mapping[Setting, Metrics]

    @property
    def best(self) -> Finalist | None:
        """The winner of the lowest FID; None if no finalist wins."""
        return min((one for one in self.finalists if one.wins), key=_fid, default=None)

    @property
    def closest(self) -> Finalist:
        """The finalist that is most surely better than the defaults; that of the lowest FID of several."""
        return min(self.finalists, key=lambda one: (one.p_value, _fid(one)))

    @property
    def best_default(self) -> Setting:
        """The default of the lowest FID."""
        return min(self.defaults, key=lambda setting: self.defaults[setting][FID.name].value)


def prove(finalists: Mapping[Setting, Metrics], defaults: Mapping[Setting, Metrics]) -> Proof:
    """Return the finalists beside the defaults.

    A finalist wins if its FID is below that of each default: its p-value is the largest of those of the differences
    (an intersection-union test, which needs no correction for the number of defaults), and Holm corrects for the number
    of finalists, so that the chance of any false win is at most `ALPHA`.

    Args:
        finalists: setting → its metrics by name, of images of the same fresh seeds, on which nothing was chosen.
        defaults: the same of settings on default grids; one at least.

    """
    against = {
        setting: {
            default: {name: paired(measured[name], theirs[name]) for name in theirs}
            for default, theirs in defaults.items()
        }
        for setting, measured in finalists.items()
    }
    p_values = [max(_p_value(by_name[FID.name]) for by_name in of.values()) for of in against.values()]
    levels = holm(p_values, ALPHA)[1]
    each = zip(finalists.items(), p_values, levels, strict=True)
    return Proof(
        tuple(Finalist(setting, measured, against[setting], p, level) for (setting, measured), p, level in each),
        defaults,
    )


def _p_value(fid: Difference) -> float:
    return fid.p_value if fid.value < 0 else 1.0


def _fid(one: Finalist) -> float:
    return one.measured[FID.name].value


def gap_closed(tuned: Metrics, default: Metrics, teacher: Metrics) -> Difference | None:
    """Return the share of FID's gap from a default to the teacher that a tuned setting closes, with its error.

    It is (default - tuned) / (default - teacher), of FIDs without the excess of few images; its error is by the delta
    method over pairs: the influence of an image is that of the first difference less the share times that of the
    second, over the second. None if the teacher is not better than the default, or there are too few images.
    """
    fids = [metrics[FID.name] for metrics in (tuned, default, teacher)]
    closed, gap = fids[1] - fids[0], fids[1] - fids[2]
    if closed.influence is None or gap.influence is None:
        return None
    whole = gap.value - (gap.bias or 0.0)
    if whole <= 0:
        return None
    share = (closed.value - (closed.bias or 0.0)) / whole
    influence: torch.Tensor = (closed.influence - share * gap.influence) / whole
    return Difference(share, float(influence.std()) / math.sqrt(len(influence)), math.inf)
