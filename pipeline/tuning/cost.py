"""What a search and its proof cost in network calls, and after how many images that is repaid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.evaluation.difference import paired
from pipeline.evaluation.uncertainty import Measured


@dataclass(frozen=True)
class Cost:
    """What was paid, in network calls × images: a call for a batch of N images counts N."""

    search: int
    proof: int

    @property
    def total(self) -> int:
        """Search and proof."""
        return self.search + self.proof


@dataclass(frozen=True)
class Repaid:
    """When the cost of a tuned setting is repaid by the calls that each of its images saves."""

    images: int | None
    """After how many images; None if it is never repaid (`calls` is known, and nothing is saved), or if `calls` is
    None, and how much an image saves is not known."""
    calls: int | None
    """The fewest calls of the ladder at which the best default is as good; None if it is as good at none of them."""
    ladder: tuple[int, ...]
    """The numbers of calls at which the best default was measured, ascending. Where `calls` is None the best default
    needs more than the last of them."""


def repaid(cost: Cost, calls_tuned: int, calls_default: int | None, ladder: Sequence[int]) -> Repaid:
    """Return after how many images a cost is repaid.

    Args:
        cost: the cost of search and proof.
        calls_tuned: network calls per image of the tuned setting.
        calls_default: those of the best default of the same quality, see `same_quality`.
        ladder: the numbers of calls at which the best default was measured.

    """
    saved = 0 if calls_default is None else calls_default - calls_tuned
    images = -(-cost.total // saved) if saved > 0 else None
    return Repaid(images, calls_default, tuple(sorted(ladder)))


def same_quality(tuned: Measured, ladder: Mapping[int, Measured]) -> int | None:
    """Return the fewest calls at which a default's FID is not above the tuned setting's; None if it is at none.

    Args:
        tuned: FID of the tuned setting.
        ladder: network calls per image → FID of the best default with them, on the same seeds. Differences are without
            bias.

    """
    return next((calls for calls in sorted(ladder) if paired(ladder[calls], tuned).value <= 0), None)
