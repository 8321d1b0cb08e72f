"""The difference of a metric between two sides: its error, its interval, and Holm's correction for many of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from pipeline.evaluation.uncertainty import Measured


@dataclass(frozen=True)
class Difference:
    """A difference of a metric, one side minus the other."""

    value: float
    """Without the excess that the finite numbers of images give, where it is known."""
    se: float | None
    """The standard error; None if there are too few images."""
    degrees: float
    """Degrees of freedom of the standard error: infinite by the influence function, K - 1 by K groups."""

    @property
    def p_value(self) -> float:
        """The two-sided p-value for no difference; 1 if there is no standard error, or both sides are the same."""
        from scipy.special import stdtr  # a slow import

        if self.se is None or self.value == 0:
            return 1.0
        if self.se == 0:
            return 0.0
        t = abs(self.value) / self.se
        return math.erfc(t / math.sqrt(2)) if math.isinf(self.degrees) else 2 * float(stdtr(self.degrees, -t))

    def interval(self, level: float) -> tuple[float, float] | None:
        """Return the interval of confidence 1 - level; it excludes 0 if the p-value is below level.

        None if there is no standard error.
        """
        from scipy.special import stdtrit

        if self.se is None:
            return None
        below = 1 - level / 2
        t = NormalDist().inv_cdf(below) if math.isinf(self.degrees) else float(stdtrit(self.degrees, below))
        return self.value - t * self.se, self.value + t * self.se


def paired(one: Measured, other: Measured) -> Difference:
    """Return the difference of a metric over pairs: image i of both sides has the same seed and noise.

    Groups are left out of both sides at once, so that what the two have in common cancels in the error.
    """
    both = one - other
    return _difference(both.value, both.bias, both.se, [both])


def unpaired(one: Measured, other: Measured) -> Difference:
    """Return the difference of a metric between images that have nothing in common; their numbers may differ."""
    bias = None if one.bias is None or other.bias is None else one.bias - other.bias
    se = None if one.se is None or other.se is None else math.hypot(one.se, other.se)
    return _difference(one.value - other.value, bias, se, [one, other])


def holm(p_values: Sequence[float], alpha: float) -> tuple[list[bool], list[float]]:
    """Return which hypotheses are rejected, and the level of each one's interval (Holm, 1979).

    The chance that any true hypothesis is rejected is at most alpha. The k-th smallest p-value is tested at
    alpha/(m − k + 1) until one is not rejected. That one and all later ones have its level, so that an interval at its
    own level excludes 0 exactly if the hypothesis is rejected.
    """
    m = len(p_values)
    rejected, levels = [False] * m, [alpha / max(1, m)] * m
    for k, i in enumerate(sorted(range(m), key=p_values.__getitem__)):
        level = alpha / (m - k)
        if p_values[i] >= level:
            for j in range(m):
                if not rejected[j]:
                    levels[j] = level
            break
        rejected[i], levels[i] = True, level
    return rejected, levels


def _difference(value: float, bias: float | None, se: float | None, made_of: Sequence[Measured]) -> Difference:
    # the error by groups, of which there are few, is itself uncertain; with one such side both count as such
    counts = [len(side.left_out) - 1.0 for side in made_of if side.influence is None and side.left_out is not None]
    return Difference(value - (bias or 0.0), se, min(counts, default=math.inf))
