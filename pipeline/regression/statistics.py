"""A difference of a metric between a night and its baseline, with its error."""

import math
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True)
class Estimate:
    """A difference candidate − baseline of a metric, over pairs of images with the same seed."""

    delta: float
    """The difference as measured."""
    bias: float
    """The part of it that comes from the finite number of images."""
    std: float
    """Its standard error; infinite where the images are too few for one."""

    @property
    def p_value(self) -> float:
        """The two-sided p-value for no difference; 1 if there is no noise."""
        if self.std == 0:
            return 1.0
        return math.erfc(abs(self.delta - self.bias) / self.std / math.sqrt(2))

    def interval(self, alpha: float) -> tuple[float, float]:
        """Return the interval of confidence 1 − alpha; it excludes 0 if the p-value is below alpha."""
        half = NormalDist().inv_cdf(1 - alpha / 2) * self.std
        return self.delta - self.bias - half, self.delta - self.bias + half
