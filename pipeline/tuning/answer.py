"""What tuning has come to for a budget of network calls, and every setting that was proven, with the part it has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.evaluation.difference import Difference
from pipeline.evaluation.metrics.fid import FID
from pipeline.sweep.grid import Setting
from pipeline.tuning.cost import Cost, Repaid
from pipeline.tuning.proof import Finalist, Metrics, Proof, gap_closed

Role = Literal["tuned", "finalist", "default", "teacher", "ladder"]
"""The winner, another searched setting, one that it must beat, the one to come near to, or a default of more calls."""


@dataclass(frozen=True)
class Proven:
    """A setting that was drawn on the fresh seeds."""

    role: Role
    setting: Setting
    measured: Metrics
    finalist: Finalist | None = None
    """What the proof says of it, if it was searched."""


@dataclass(frozen=True)
class Answer:
    """What tuning has come to for one budget of network calls."""

    calls: int
    num_images: int
    """Fresh seeds of each setting."""
    proof: Proof
    teacher: Setting
    of_teacher: Metrics
    """The teacher's metrics on the fresh seeds."""
    ladder: Mapping[Setting, Metrics]
    """The best default's sampler on its default grid at more calls, on the fresh seeds; it may be empty."""
    cost: Cost
    repaid: Repaid
    titles: Mapping[Setting, str]
    """Finalist → where its grid is from, such as "karras ρ = 5 from 774, refined by pixels"."""

    @property
    def lead(self) -> Finalist:
        """The winner, or the finalist that is closest to winning."""
        lead = self.proof.best or self.proof.closest
        assert lead is not None
        return lead

    @property
    def difference(self) -> Difference:
        """The lead's FID minus the best default's."""
        return self.lead.against[self.proof.best_default][FID.name]

    @property
    def gap_closed(self) -> Difference | None:
        """The share of FID's gap from the best default to the teacher that the lead closes; see `proof.gap_closed`."""
        of_default = self.proof.defaults[self.proof.best_default]
        return gap_closed(self.lead.measured[FID.name], of_default[FID.name], self.of_teacher[FID.name])

    @property
    def proven(self) -> list[Proven]:
        """All settings: the lead and the other finalists, the best default and the others, the ladder, the teacher."""
        proof, best = self.proof, self.proof.best_default
        finalists = [self.lead, *(one for one in proof.finalists if one is not self.lead)]
        defaults = [best, *(setting for setting in proof.defaults if setting != best)]
        return [
            *(
                Proven("tuned" if one is proof.best else "finalist", one.setting, one.measured, one)
                for one in finalists
            ),
            *(Proven("default", setting, proof.defaults[setting]) for setting in defaults),
            *(Proven("ladder", setting, measured) for setting, measured in self.ladder.items()),
            Proven("teacher", self.teacher, self.of_teacher),
        ]
