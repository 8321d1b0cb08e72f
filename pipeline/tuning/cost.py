"""What a search and its proof cost in network calls × images, and when that is repaid."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.evaluation.difference import paired
from pipeline.evaluation.metrics.fid import FID
from pipeline.tuning.proof import Metrics


@dataclass(frozen=True)
class Cost:
    """Network calls × images."""

    search: int
    proof: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.search + self.proof


@dataclass(frozen=True)
class Repaid:
    """After how many images the calls of search and proof are saved."""

    calls: int | None
    """The fewest calls at which a default is as good as what was tuned; None if none of the ladder is."""
    images: int | None
    """The images; None if no default is as good, so that nothing says what is saved."""
    ladder: tuple[int, ...]
    """The numbers of calls at which defaults were tried."""


def same_quality(tuned: Metrics, ladder: Mapping[int, Metrics]) -> int | None:
    """Return the fewest calls at which a default's FID is not above a tuned setting's, over pairs; None if at none."""
    reached = [n for n, of in ladder.items() if paired(of[FID.name], tuned[FID.name]).value <= 0]
    return min(reached, default=None)


def repaid(cost: Cost, calls: int, calls_of_default: int | None, ladder: tuple[int, ...]) -> Repaid:
    """Return when a cost is repaid by images of `calls` network calls in place of `calls_of_default`.

    Args:
        cost: of search and proof.
        calls: of the tuned setting.
        calls_of_default: what `same_quality` says; None if no default was as good.
        ladder: the numbers of calls at which defaults were tried.

    """
    if calls_of_default is None:
        return Repaid(None, None, ladder)
    saved = calls_of_default - calls
    return Repaid(calls_of_default, math.ceil(cost.total / saved), ladder)
