"""Answer: what tuning has come to for one budget of network calls."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.sweep.grid import Setting
from pipeline.tuning.cost import Cost, Repaid
from pipeline.tuning.proof import Metrics, Proof


@dataclass(frozen=True)
class Answer:
    """What tuning has come to for one budget of network calls."""

    calls: int
    num_images: int
    """Fresh images a setting."""
    proof: Proof
    teacher: Setting
    of_teacher: Metrics
    ladder: Mapping[Setting, Metrics]
    """The best default at more calls, on the fresh seeds, until one is as good; empty if nothing was won."""
    cost: Cost
    repaid: Repaid
    titles: Mapping[Setting, str]
    """Finalist → where its grid is from, as "karras ρ = 5 from 774, refined by pixels"."""
