"""Tune: the best sampler and grid for a budget of network calls, searched, and proven on fresh seeds."""

import json
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from pipeline import UserError
from pipeline.cluster.task import Task
from pipeline.diffusion import samplers
from pipeline.diffusion.schedule import Schedule
from pipeline.evaluation.measurement import Measurement, open_measurement
from pipeline.evaluation.uncertainty import Measured
from pipeline.images.pixels import Pixels
from pipeline.storage.sealed import fingerprint, unseal
from pipeline.storage.store import DamagedFileError, Storage
from pipeline.sweep.config import Steps
from pipeline.sweep.drawn import read_drawn
from pipeline.sweep.grid import Row, Setting
from pipeline.sweep.measured import read_planned, reference_files
from pipeline.sweep.shards import plan
from pipeline.sweep.study import Study, StudyConfig, inspect, open_study, same_as_sweep, saved_identity
from pipeline.tuning import report
from pipeline.tuning.answer import Answer
from pipeline.tuning.candidates import defaults, on_default
from pipeline.tuning.cost import Cost, repaid, same_quality
from pipeline.tuning.grids import Times
from pipeline.tuning.paths import best_path
from pipeline.tuning.proof import prove
from pipeline.tuning.search import ALL, SOME, Refine, Score, Search
from pipeline.work.draw import DrawArguments
from pipeline.work.extract import THE_REFERENCE, check_reference
from pipeline.work.kind import Claims, File, StudyWork
from pipeline.work.tuning_worker import (
    FOLDER,
    SHARD_SIZE,
    Draw,
    Item,
    MeasureOne,
    OfReference,
    Show,
    Teach,
    TuneArguments,
    TuneWorker,
    measured_of,
    read_taught,
    teaching,
)

TEACHER, TEACHER_CALLS = "unipc", 50
"""The sampler whose images others are to reach with fewer calls, on its default grid."""
SEARCH_VERSION = 1
"""A number that must grow whenever the same command may find another grid, so that no output is made by two."""
LADDER = (1, 2, 3, 5, 8, 12, 17, 25)
"""How many calls more the defaults get, until one is as good as what was tuned."""
PICTURES = 10


class TuneConfig(StudyConfig):
    """For which budgets a sampler and its grid are searched, and how they are proven."""

    kind = "tuning"
    folder = FOLDER

    out: str = Field(default="runs/tuned", description="folder or URL of the output (runs/tuned)")
    calls: tuple[Steps, ...] = Field(default=(5,), min_length=1, description="budgets of network calls an image (5)")
    sampler: tuple[str, ...] = Field(
        default=tuple(samplers.SAMPLERS),
        min_length=1,
        description="samplers that are searched, with all values of the options that are left open (all samplers)",
    )
    num_images: int = Field(default=10_000, ge=10, le=10**9, description="fresh images a setting in the proof (10000)")
    batch_size: int = Field(default=128, ge=1, le=10**9, description="images a network call (128)")
    extractor: str = Field(default="digits-classifier", description="digits-classifier, inception-v3-compat, vgg16, …")
    extractor_weights: str | None = Field(default=None, description="file or URL; default torch-fidelity's download")
    reference: str = Field(default="digits", description=same_as_sweep("reference"))

    @property
    def settings(self) -> dict[str, Any]:
        """The samplers on their default grids."""
        return {"sampler": self.sampler, "steps": self.calls}


def open_tuning(config: TuneConfig, storage_options: dict[str, Any] | None) -> Study:
    """Return the study of a config; writes nothing.

    Raises:
        UserError: a budget is too small for every sampler, the reference does not fit, or see `open_study`.

    """
    model = inspect(config.model)
    schedule = model.schedule()
    config = config.model_copy(update={"calls": tuple(sorted(set(config.calls)))})
    least = {name: [c for c in config.calls if any_default([name], schedule, c)] for name in config.sampler}
    for calls in config.calls:
        if not any(calls in paid for paid in least.values()):
            raise UserError(f"--calls {calls}: none of {', '.join(config.sampler)} takes so few network calls")
    left_out = [name for name, paid in least.items() if not paid]
    if left_out:
        print(f"left out, since they take more network calls: {', '.join(left_out)}", file=sys.stderr)
    config = config.model_copy(update={"sampler": tuple(name for name, paid in least.items() if paid)})
    known = saved_identity(config, "reference", storage_options)
    chosen = config.extractor, config.extractor_weights, config.reference
    measurement = open_measurement(*chosen, model.image_shape, model.identity, known)
    more = {
        "search": SEARCH_VERSION,
        **config.model_dump(include={"calls", "sampler", "num_images"}),
        **{name: measurement.identity[name] for name in ("extractor", "extractor_weights", "reference")},
    }
    return open_study(config, model, more, storage_options)


def any_default(names: Sequence[str], schedule: Schedule, calls: int) -> bool:
    """Return whether a budget pays for a walk of one of some samplers on its default grid."""
    return any(on_default(sampler, schedule, calls) for sampler in defaults(names))


Rounds = Generator[Sequence[Item], Sequence[Any], Any]
"""Yields the tasks of a round, is sent the content of their files, and returns what came of them."""


class Tune(StudyWork[TuneArguments, Item, None]):
    """Searches and proves. Which tasks there are follows, round by round, from what the files of earlier ones say."""

    name = "tuning"
    on_gpu = True
    worker = TuneWorker
    config = TuneConfig

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self._contents: dict[str, Any] = {}
        """Path → what a file says that was read."""

    @property
    def of(self) -> TuneConfig:
        """The config."""
        assert isinstance(self.study.config, TuneConfig)
        return self.study.config

    @cached_property
    def measurement(self) -> Measurement:
        """The extractor and the reference, whose features are among the study's files."""
        config, study = self.of, self.study
        chosen = config.extractor, config.extractor_weights, config.reference
        known = study.identity["reference"]
        return replace(open_measurement(*chosen, study.model.image_shape, study.identity, known), path=FOLDER)

    @cached_property
    def teacher(self) -> Setting:
        """The setting whose images others are to reach."""
        setting = on_default(samplers.make(TEACHER, {}), self.study.schedule, TEACHER_CALLS)
        assert setting is not None
        return setting

    @property
    def arguments(self) -> TuneArguments:
        """The arguments for the study's model, extractor and teacher."""
        return TuneArguments(DrawArguments.of_study(self.study), self.measurement, self.teacher, ALL)

    def planned(self) -> list[Task[Item]]:
        """Return the tasks of all rounds that are known, done or not."""
        return self._walk()[0]

    def file(self, item: Item) -> File:
        """Return the file of a task."""
        path = item.path if isinstance(item, OfReference) else f"{FOLDER}/{item.path}"
        return File(path, partial(self._check, item))

    def rows(self) -> list[Row]:
        """Return the numbers of all settings of the proof."""
        return report.rows(self._answers())

    def publish(self) -> str:
        """Write metrics.json and report/, and return the answer."""
        answers = self._answers()
        shown = [setting for answer in answers for setting in shown_of(answer)]
        return report.publish(self.study, answers, {setting: self._pictures(setting) for setting in shown})

    def _answers(self) -> list[Answer]:
        tasks, answers = self._walk()
        if len(answers) < len(self.of.calls):
            for task in tasks:
                self._read(task.item)  # raises what is wrong with it
        return answers

    def _walk(self) -> tuple[list[Task[Item]], list[Answer]]:
        """Return the tasks that are known, and the answers of the budgets for which all is done."""
        listed = self.study.storage.find()
        tasks: dict[str, Task[Item]] = {}
        answers = []

        def done(items: Sequence[Item]) -> bool:
            made = [self._task(item) for item in items]
            tasks.update((task.name, task) for task in made)
            return all(listed.get(self.file(item).path) for item in items)

        first: list[Item] = [*self._reference(listed), *teaching(ALL)]
        if not done(first):
            return [*tasks.values()], []
        try:
            taught = [self._read(item) for item in first if isinstance(item, Teach)]
            costs, starts = (torch.stack([one[name] for one in taught]).sum(0) for name in ("costs", "starts"))
            path = partial(self._path, costs.where(torch.ones_like(costs).triu(1) > 0, torch.inf), starts)
        except DamagedFileError:
            return [*tasks.values()], []
        for calls in self.of.calls:
            rounds = self._budget(calls, path)
            try:
                items = next(rounds)
                while done(items):
                    items = rounds.send([self._read(item) for item in items])
            except StopIteration as end:
                answers.append(end.value)
            except DamagedFileError:
                continue  # what follows from it is not known; whoever needs it reads it, and says so
        return [*tasks.values()], answers

    def _budget(self, calls: int, path: Callable[[int], Times | None]) -> Rounds:
        """Search, prove, look for the calls at which a default is as good, and draw pictures; return the `Answer`."""
        config, schedule = self.of, self.study.schedule
        found = yield from Search(calls, config.sampler, schedule, path).rounds()
        measured = yield from self._measured([*found.finalists, *found.defaults, self.teacher])
        proof = prove(
            {setting: measured[setting] for setting in found.finalists},
            {setting: measured[setting] for setting in found.defaults},
        )
        ladder: dict[Setting, Mapping[str, Measured]] = {}
        if proof.best is not None:
            for budget in (calls + more for more in LADDER if calls + more < TEACHER_CALLS):
                best = yield from self._best_default(calls, budget)
                ladder |= yield from self._measured([best])
                if same_quality(measured[proof.best.setting], {budget: ladder[best]}) is not None:
                    break
        drawn = [*found.finalists, *found.defaults, self.teacher, *ladder]
        cost = Cost(
            search=found.cost + ALL * self.teacher.nfe,
            proof=config.num_images * sum(setting.nfe for setting in dict.fromkeys(drawn)),
        )
        reached = {setting.nfe: of_setting for setting, of_setting in ladder.items()}
        quality = None if proof.best is None else same_quality(measured[proof.best.setting], reached)
        answer = Answer(
            calls,
            config.num_images,
            proof,
            self.teacher,
            measured[self.teacher],
            ladder,
            cost,
            repaid(cost, calls, quality, tuple(reached)),
            found.finalists,
        )
        yield [Show(setting, PICTURES) for setting in shown_of(answer)]
        return answer

    def _best_default(self, calls: int, budget: int) -> Generator[Sequence[Item], Sequence[Any], Setting]:
        """Return the default that is best at another budget, by FID on searched seeds."""
        made = (on_default(sampler, self.study.schedule, budget) for sampler in defaults(self.of.sampler))
        plain = tuple(dict.fromkeys(setting for setting in made if setting is not None))
        (content,) = yield [Score(calls, f"defaults-S{budget}", 0, plain, SOME)]
        scores = [(one["fid"], i) for i, one in enumerate(content["scores"]) if one.get("fid") is not None]
        return plain[min(scores)[1]]

    def _measured(
        self, settings: Iterable[Setting]
    ) -> Generator[Sequence[Item], Sequence[Any], dict[Setting, Mapping[str, Measured]]]:
        """Return the metrics of settings on the fresh seeds."""
        each, number = [*dict.fromkeys(settings)], self.of.num_images
        yield [Draw(shard) for setting in each for shard in plan(setting, number, SHARD_SIZE)]
        contents = yield [MeasureOne(setting, number) for setting in each]
        return {
            setting: {name: measured_of(one) for name, one in content["metrics"].items()}
            for setting, content in zip(each, contents, strict=True)
        }

    def _path(self, costs: Tensor, starts: Tensor, count: int) -> Times | None:
        """Return the cheapest grid of so many times by the teacher's single steps; None if the teacher has fewer."""
        nodes = self.teacher.grid(self.study.schedule)
        if not 2 <= count <= len(nodes):
            return None
        return tuple(nodes[i].t for i in reversed(best_path(costs, starts, count - 1)))

    def _reference(self, listed: Mapping[str, int]) -> list[OfReference]:
        files = reference_files(self.measurement, listed)
        return [OfReference(shard or THE_REFERENCE, path) for path, shard in files.items()]

    def _task(self, item: Item) -> Task[Item]:
        """Return the task of an item; its images count for progress, and its cost in network calls × images."""
        name = item.path
        match item:
            case OfReference():
                return Task(item, name, None, 0, 1000 * TEACHER_CALLS)  # before all that waits for it
            case Teach():
                images, cost = item.end - item.first, (item.end - item.first) * TEACHER_CALLS
            case Score() | Refine():
                images, cost = item.cost, item.cost
            case Draw():
                images, cost = item.shard.rows, item.shard.cost
            case MeasureOne() | Show():
                images, cost = item.number, item.number
        return Task(item, name, None, images, cost)

    def _read(self, item: Item) -> Any:
        """Return what a file says that later rounds follow from. Raises DamagedFileError."""
        storage, own = self.study.storage, fingerprint(self.study.identity)
        if item.path not in self._contents:
            match item:
                case Teach():
                    self._contents[item.path] = read_taught(storage, item, own)
                case Score() | Refine() | MeasureOne():
                    self._contents[item.path] = read_plain(storage, f"{FOLDER}/{item.path}", own)
                case _:
                    return None
        return self._contents[item.path]

    def _check(self, item: Item, storage: Storage) -> Claims:
        """Check the file of a task. Raises DamagedFileError."""
        identity, path = self.study.identity, f"{FOLDER}/{item.path}"
        match item:
            case OfReference():
                shard = None if isinstance(item.source, str) else item.source
                return check_reference(item.path, shard, self.measurement.reference.identity, storage)
            case Teach():
                read_taught(storage, item, fingerprint(identity))
            case Draw():
                read_planned(storage, path, item.shard, item.shard.setting.fingerprint(identity))
            case Show():
                read_drawn(storage, path, item.setting.fingerprint(identity))
            case _:
                read_plain(storage, path, fingerprint(identity))
        return {}

    def _pictures(self, setting: Setting) -> Pixels:
        path = f"{FOLDER}/{Show(setting, PICTURES).path}"
        drawn, _ = read_drawn(self.study.storage, path, setting.fingerprint(self.study.identity))
        return np.stack([row["image"] for row in drawn])


def shown_of(answer: Answer) -> list[Setting]:
    """Return the settings whose pictures stand beside each other: the best default, what was tuned, the teacher."""
    return [answer.proof.best_default, (answer.proof.best or answer.proof.closest).setting, answer.teacher]


def read_plain(storage: Storage, path: str, own: str) -> dict[str, Any]:
    """Return the plain values of a file. Raises DamagedFileError."""

    def parse(data: bytes) -> dict[str, Any]:
        content = unseal(json.loads(data))
        if content["fingerprint"] != own:
            raise ValueError(f"it has fingerprint {content['fingerprint']}, this study has {own}")
        return content

    return storage.read_checked(path, parse)
