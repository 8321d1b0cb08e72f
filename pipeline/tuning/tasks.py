"""The tasks of a tuning: what a worker does at once, and where it writes what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.sweep.grid import Setting
from pipeline.sweep.shards import Shard

FOLDER = "tuning"
"""The folder of a tuning's files."""
FIRST_SEED = 2**40
"""The first seed of the images that are searched on. A proof's seeds begin at 0 and are at most 10^9, so that no image
of one is of the other."""
TEACHER, TEACHER_CALLS = "unipc", 50
"""The sampler whose images others are to reach with fewer calls, on its default grid."""
SEARCHED = 1024
"""Images of the teacher's, and of a setting in the last round of the search."""
TAUGHT_AT_ONCE = 128
"""Images in one of the teacher's files."""
MOVES = 60
"""Grids that a refinement tries."""
SHARD_SIZE = 1000
"""Fresh images in one file."""

Scores = Mapping[str, float | None]
"""Criterion → score; None where the setting has none, or its images are not finite."""


@dataclass(frozen=True)
class Teach:
    """A task: walk the teacher from the x_T of the searched seeds first ≤ i < end, counted from `FIRST_SEED`."""

    first: int
    end: int

    @property
    def path(self) -> str:
        """The path of its file, below the study's folder."""
        return f"teacher/seeds-{self.first:06d}-{self.end:06d}.parquet"


@dataclass(frozen=True)
class Score:
    """A task: score some settings on the first `number` searched seeds by all criteria."""

    calls: int
    round: str
    part: int
    settings: tuple[Setting, ...]
    number: int

    @property
    def path(self) -> str:
        """The path of its file, below the study's folder."""
        return f"search/S{self.calls}/{self.round}-{self.part:03d}.json"

    @property
    def cost(self) -> int:
        """Network calls × images."""
        return self.number * sum(setting.nfe for setting in self.settings)


@dataclass(frozen=True)
class Refine:
    """A task: move the times of a setting to where one criterion is least."""

    calls: int
    criterion: str
    setting: Setting
    number: int

    @property
    def path(self) -> str:
        """The path of its file, below the study's folder."""
        return f"search/S{self.calls}/{self.criterion}-{self.setting.slug}.json"

    @property
    def cost(self) -> int:
        """Network calls × images, at most."""
        return MOVES * self.number * self.setting.nfe


@dataclass(frozen=True)
class Draw:
    """A task: draw a shard of a setting's fresh images and keep their features."""

    shard: Shard

    @property
    def path(self) -> str:
        """The path of its file, below the study's folder."""
        return self.shard.path("proof")


@dataclass(frozen=True)
class MeasureOne:
    """A task: measure a setting's fresh images."""

    setting: Setting
    number: int

    @property
    def path(self) -> str:
        """The path of its file, below the study's folder."""
        return f"proof/{self.setting.slug}.json"


@dataclass(frozen=True)
class Show:
    """A task: draw the first fresh images of a setting as pictures."""

    setting: Setting
    number: int

    @property
    def path(self) -> str:
        """The path of its file, below the study's folder."""
        return f"pictures/{self.setting.slug}.parquet"


def teaching() -> list[Teach]:
    """Return the teacher's tasks."""
    return [Teach(first, min(first + TAUGHT_AT_ONCE, SEARCHED)) for first in range(0, SEARCHED, TAUGHT_AT_ONCE)]
