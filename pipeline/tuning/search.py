"""The search: rounds in which fewer and fewer settings are scored on more and more seeds, the best of them refined."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline import RunFailedError
from pipeline.diffusion.schedule import Schedule
from pipeline.sweep.grid import Setting
from pipeline.tuning.candidates import defaults, ends_at_first, listed, most_times, on_default, variants
from pipeline.tuning.grids import Times, named
from pipeline.tuning.tasks import SEARCHED, Refine, Score, Scores

CRITERIA = ("pixels", "features", "law", "fid")
"""What settings are chosen by on the searched seeds, less is better. The first three are distances to the teacher's
images of the same x_T: the mean squared one of pixels and of features, and the Fréchet distance between both sets'
features, in which what all images have wrong in the same way counts as FID does it. The last is FID to the reference,
whose noise the settings have in common. Samplers that inject noise have no image of the teacher's, and that alone."""
FEW, SOME = 128, 256
"""Images a setting in the first rounds, and in the next and the refinement."""
_PART = 8
"""Settings a task."""


@dataclass(frozen=True)
class Proposed:
    """What a search proposes for a proof."""

    finalists: dict[Setting, str]
    """Setting → where its grid is from."""
    defaults: list[Setting]
    """The best settings on default grids, by FID on the searched seeds."""
    cost: int
    """Network calls × images of the search, without the teacher's."""


Rounds = Generator[Sequence[Any], Sequence[Any], Proposed]
"""Yields the tasks of a round, and is sent the content of their files."""


@dataclass
class Search:
    """The search for one budget."""

    calls: int
    names: Sequence[str]
    """Texts of samplers, of which options that they leave open are searched too."""
    schedule: Schedule
    path: Callable[[int], Times | None]
    """Number of times → the grid of least deviation from the teacher, by dynamic programming, from the schedule's first
    time; None where the teacher has too few nodes."""
    known: dict[Setting, Scores] = field(default_factory=dict)
    """The scores of the latest round."""
    origin: dict[Setting, str] = field(default_factory=dict)
    """Setting → where its grid is from."""
    cost: int = 0

    def rounds(self) -> Rounds:
        """Search. Raises RunFailedError if no setting draws finite images."""
        plain = [one for s in defaults(self.names) if (one := on_default(s, self.schedule, self.calls))]
        samplers = [sampler for name in self.names for sampler in variants(name)]
        begin = [one for s in samplers for one in self._grids(s, few=True)]
        yield from self._score("samplers", [*plain, *begin], FEW)
        if not self._first(self.origin, "fid", 1):
            raise RunFailedError("no image of the search is finite: the weights are broken, or too large for --dtype")
        chosen = dict.fromkeys(setting.sampler for setting in self._best(self.origin, 2))
        more = [one for s in chosen for one in self._grids(s, few=False) if one not in self.known]
        first = dict(self.known)
        yield from self._score("grids", more, FEW)
        self.known = first | self.known
        ahead = [*self._best(self.origin, 8), *self._first(plain, "fid", 6)]
        yield from self._score("halved", ahead, SOME)
        starts = [
            Refine(self.calls, criterion, setting, SOME)
            for criterion, count in (("law", 3), ("fid", 2), ("pixels", 1), ("features", 1))
            for setting in self._of_different_samplers(criterion, count)
        ]
        refined: list[Setting] = []
        for task, content in zip(starts, (yield starts), strict=True):
            self.cost += content["tried"] * task.number * task.setting.nfe
            setting = listed(task.setting.sampler, tuple(content["times"]), self.schedule)
            assert setting is not None
            refined.append(setting)
            self.origin.setdefault(setting, f"{self.origin[task.setting]}, refined by {task.criterion}")
        plain = self._first(plain, "fid", 4)
        yield from self._score("last", [*refined, *self._best(self.origin, 1), *plain], SEARCHED)
        proposed = [s for criterion in CRITERIA for s in self._first(self.origin, criterion, 1)]
        proposed += self._first(self.origin, "fid", 2)
        finalists = {setting: self.origin[setting] for setting in dict.fromkeys(proposed)}
        return Proposed(finalists, self._first(plain, "fid", 3), self.cost)

    def _score(self, name: str, settings: Iterable[Setting], number: int) -> Generator[Sequence[Any], Any, None]:
        """Score settings, each once, and know these scores alone."""
        each = [*dict.fromkeys(settings)]
        parts = [tuple(each[i : i + _PART]) for i in range(0, len(each), _PART)]
        tasks = [Score(self.calls, name, i, part, number) for i, part in enumerate(parts)]
        contents = yield tasks
        self.cost += sum(task.cost for task in tasks)
        scores = [one for content in contents for one in content["scores"]]
        self.known = dict(zip(each, scores, strict=True))

    def _grids(self, sampler: Any, few: bool) -> list[Setting]:
        """Return the settings on which a sampler begins: some of its grids, or all."""
        count = most_times(sampler, self.schedule, self.calls)
        if not count:
            return []
        own, starts = sampler.spacing, named(self.schedule, count)
        path = self.path(count)
        if not ends_at_first(sampler):  # whose last step, to time 0, may begin at any time
            starts = {f"{name} less its first": grid[1:] for name, grid in named(self.schedule, count + 1).items()}
            starts |= {name: grid for name, grid in named(self.schedule, count).items() if name == own}
            path = self.path(count + 1)
        if few:
            starts = {name: grid for name, grid in starts.items() if name in (own, f"{own} less its first")}
        if path is not None:
            starts["dynamic programming"] = path[-count:]
        made = []
        for name, times in starts.items():
            if setting := listed(sampler, times, self.schedule):
                self.origin.setdefault(setting, name)
                made.append(setting)
        return made

    def _first(self, among: Iterable[Setting], criterion: str, count: int) -> list[Setting]:
        """Return those of some settings that are best by a criterion, of which equal scores count once."""
        scored = [(self.known[s].get(criterion), s) for s in among if s in self.known]
        best: dict[float, Setting] = {}
        for score, setting in scored:
            if score is not None:
                best.setdefault(score, setting)
        return [best[score] for score in sorted(best)[:count]]

    def _best(self, among: Iterable[Setting], count: int) -> list[Setting]:
        """Return those of some settings that are among the best by one of the criteria."""
        settings = [*among]
        return [*dict.fromkeys(s for criterion in CRITERIA for s in self._first(settings, criterion, count))]

    def _of_different_samplers(self, criterion: str, count: int) -> list[Setting]:
        """Return the best settings by a criterion, one of a sampler's name."""
        best: dict[str, Setting] = {}
        for setting in self._first(self.origin, criterion, len(self.known)):
            best.setdefault(setting.sampler.name, setting)
        return [*best.values()][:count]
