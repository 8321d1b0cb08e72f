"""The rounds of one budget: the search, the proof on fresh seeds, what a default needs to be as good, and pictures."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pipeline.diffusion import samplers
from pipeline.diffusion.schedule import Schedule
from pipeline.evaluation.metrics.fid import FID
from pipeline.evaluation.uncertainty import Measured
from pipeline.sweep.grid import Setting
from pipeline.sweep.shards import plan
from pipeline.tuning.answer import Answer
from pipeline.tuning.candidates import defaults, on_default
from pipeline.tuning.cost import Cost, repaid, same_quality
from pipeline.tuning.grids import Times
from pipeline.tuning.proof import Metrics, prove
from pipeline.tuning.search import SOME, Search
from pipeline.tuning.tasks import SEARCHED, SHARD_SIZE, TEACHER, TEACHER_CALLS, Draw, MeasureOne, Score, Show

LADDER = (1, 3, 5, 8, 12)
"""How many calls more the defaults get, until one is as good as what was tuned."""
PICTURES = 10
"""Fresh seeds of which there are pictures."""

Rounds = Generator[Sequence[Any], Sequence[Any], Answer]
"""Yields the tasks of a round, is sent the content of their files, and returns what came of them."""


def teacher_of(schedule: Schedule) -> Setting:
    """Return the setting whose images others are to reach."""
    setting = on_default(samplers.make(TEACHER, {}), schedule, TEACHER_CALLS)
    assert setting is not None
    return setting


class Walked:
    """Rounds, as far as their files are known."""

    def __init__(self, rounds: Rounds) -> None:
        self.rounds = rounds
        self.latest = next(rounds)
        self.items = [*self.latest]
        """The tasks of all rounds that are known."""
        self.answer: Answer | None = None

    def walk(self, done: Callable[[Sequence[Any]], bool], read: Callable[[Any], Any]) -> None:
        """Go on to the first round that is not done, or to the answer. Raises DamagedFileError."""
        while self.answer is None and done(self.latest):
            contents = [read(item) for item in self.latest]
            try:
                self.latest = self.rounds.send(contents)
            except StopIteration as end:
                self.answer = end.value
            else:
                self.items += self.latest


@dataclass(frozen=True)
class Budget:
    """What is tuned for one number of network calls."""

    calls: int
    names: Sequence[str]
    """Texts of samplers, of which options that they leave open are searched too."""
    schedule: Schedule
    num_images: int
    """Fresh images a setting."""
    path: Callable[[int], Times | None]
    """See `Search`."""

    def rounds(self) -> Rounds:
        """Search, prove, look for the calls at which a default is as good, and draw pictures."""
        proposed = yield from Search(self.calls, self.names, self.schedule, self.path).rounds()
        teacher = teacher_of(self.schedule)
        measured = yield from self._measured([*proposed.finalists, *proposed.defaults, teacher])
        proof = prove(
            {setting: measured[setting] for setting in proposed.finalists},
            {setting: measured[setting] for setting in proposed.defaults},
            self.num_images,
        )
        ladder: dict[Setting, Metrics] = {}
        if proof.best is not None:
            ladder = yield from self._ladder(proof.best.measured[FID.name])
        drawn = dict.fromkeys([*proposed.finalists, *proposed.defaults, teacher, *ladder])
        search = proposed.cost + SEARCHED * teacher.nfe
        cost = Cost(search, self.num_images * sum(setting.nfe for setting in drawn))
        fids = {setting.nfe: of_setting[FID.name] for setting, of_setting in ladder.items()}
        quality = None if proof.best is None else same_quality(proof.best.measured[FID.name], fids)
        back = repaid(cost, self.calls, quality, [*fids])
        of_teacher = measured[teacher]
        answer = Answer(self.calls, self.num_images, proof, teacher, of_teacher, ladder, cost, back, proposed.finalists)
        yield [Show(setting, PICTURES) for setting in shown_of(answer)]
        return answer

    def _ladder(self, tuned: Measured) -> Generator[Sequence[Any], Sequence[Any], dict[Setting, Metrics]]:
        """Return the best defaults at more calls, on the fresh seeds: up to one that is as good, and some below it."""
        ladder: dict[Setting, Metrics] = {}

        def is_reached(calls: int) -> Generator[Sequence[Any], Sequence[Any], bool]:
            best = yield from self._best_default(calls)
            ladder.update((yield from self._measured([best])))
            return same_quality(tuned, {best.nfe: ladder[best][FID.name]}) is not None

        below = self.calls
        for calls in (self.calls + more for more in LADDER if self.calls + more < TEACHER_CALLS):
            if (yield from is_reached(calls)):
                while calls - below > 1:  # the step was longer than one call, so fewer may do
                    middle = (below + calls) // 2
                    reached = yield from is_reached(middle)
                    below, calls = (below, middle) if reached else (middle, calls)
                break
            below = calls
        return dict(sorted(ladder.items(), key=lambda one: one[0].nfe))

    def _best_default(self, calls: int) -> Generator[Sequence[Any], Sequence[Any], Setting]:
        """Return the default that is best at another budget by FID on searched seeds: of the four that are on some."""
        made = (on_default(sampler, self.schedule, calls) for sampler in defaults(self.names))
        left = [*dict.fromkeys(setting for setting in made if setting is not None)]
        for number, kept in ((SOME, 4), (SEARCHED, 1)):
            (content,) = yield [Score(self.calls, f"defaults-S{calls}-of-{number}", 0, tuple(left), number)]
            scores = [(one["fid"], i) for i, one in enumerate(content["scores"]) if one.get("fid") is not None]
            left = [left[i] for _, i in sorted(scores)[:kept]]
        return left[0]

    def _measured(self, settings: Iterable[Setting]) -> Generator[Sequence[Any], Sequence[Any], dict[Setting, Metrics]]:
        """Return the metrics of settings on the fresh seeds."""
        each = [*dict.fromkeys(settings)]
        yield [Draw(shard) for setting in each for shard in plan(setting, self.num_images, SHARD_SIZE)]
        contents = yield [MeasureOne(setting, self.num_images) for setting in each]
        return {
            setting: {name: measured_of(one) for name, one in content["metrics"].items()}
            for setting, content in zip(each, contents, strict=True)
        }


def shown_of(answer: Answer) -> list[Setting]:
    """Return the settings whose pictures stand beside each other: the best default, what was tuned, the teacher."""
    return [answer.proof.best_default, answer.lead.setting, answer.teacher]


def measured_of(saved: dict[str, Any]) -> Measured:
    """Return a metric that was measured from what its file has."""
    tensors = {name: torch.tensor(v, dtype=torch.float64) for name, v in saved.items() if isinstance(v, list)}
    return Measured(**(saved | tensors))
