"""Tune: the best sampler and grid for a budget of network calls, searched, and proven on fresh seeds."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.cluster.task import Task
from pipeline.evaluation.measurement import Measurement, open_measurement
from pipeline.images.pixels import Pixels
from pipeline.storage.sealed import fingerprint
from pipeline.storage.store import DamagedFileError, Storage
from pipeline.sweep.drawn import read_drawn
from pipeline.sweep.grid import Row, Setting
from pipeline.sweep.measured import read_planned, reference_files
from pipeline.sweep.study import Study
from pipeline.tuning import report
from pipeline.tuning.answer import Answer
from pipeline.tuning.config import TuneConfig
from pipeline.tuning.grids import Times
from pipeline.tuning.paths import best_path
from pipeline.tuning.rounds import PICTURES, Budget, Walked, shown_of, teacher_of
from pipeline.tuning.tasks import FOLDER, MOVES, TEACHER_CALLS, Draw, MeasureOne, Refine, Score, Show, Teach, teaching
from pipeline.work.draw import DrawArguments
from pipeline.work.extract import THE_REFERENCE, check_reference
from pipeline.work.kind import Claims, File, StudyWork
from pipeline.work.tuning_worker import Item, OfReference, TuneArguments, TuneWorker, read_taught


class Tune(StudyWork[TuneArguments, Item, None]):
    """Searches and proves. Which tasks there are follows, round by round, from what the files of earlier ones say."""

    name = "drawing"
    on_gpu = True
    worker = TuneWorker
    config = TuneConfig

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self._contents: dict[str, Any] = {}
        """Path → what a file says that was read."""
        self._budgets: dict[int, Walked] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes it anew in another process: how far its rounds are known is found there from the files."""
        return type(self), (self.study,)

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
        return teacher_of(self.study.schedule)

    @property
    def arguments(self) -> TuneArguments:
        """The arguments for the study's model, extractor and teacher."""
        return TuneArguments(DrawArguments.of_study(self.study), self.measurement, self.teacher)

    def planned(self) -> list[Task[Item]]:
        """Return the tasks of all rounds that are known, done or not."""
        return self._walk()[0]

    def file(self, item: Item) -> File:
        """Return the file of a task."""
        path = item.path if isinstance(item, OfReference) else f"{FOLDER}/{item.path}"
        return File(path, partial(_check, item, self.study.identity))

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

        def done(items: Sequence[Item]) -> bool:
            return all(listed.get(self.file(item).path) for item in items)

        first: list[Item] = [*self._reference(listed), *teaching()]
        known, answers = [*first], []
        for calls in self.of.calls if done(first) else ():
            try:
                walked = self._walked_by(calls, first)
            except DamagedFileError:  # what follows from it is not known: whoever needs it says so
                break
            with contextlib.suppress(DamagedFileError):
                walked.walk(done, self._read)
            known += walked.items
            answers += [] if walked.answer is None else [walked.answer]
        return [self._task(item) for item in {item.path: item for item in known}.values()], answers

    def _walked_by(self, calls: int, first: Sequence[Item]) -> Walked:
        """Return the rounds of a budget, which go on where they were. Raises DamagedFileError."""
        if calls not in self._budgets:
            path = self._path_by([self._read(item) for item in first if isinstance(item, Teach)])
            budget = Budget(calls, self.of.sampler, self.study.schedule, self.of.num_images, path)
            self._budgets[calls] = Walked(budget.rounds())
        return self._budgets[calls]

    def _path_by(self, taught: Sequence[Mapping[str, Tensor]]) -> Callable[[int], Times | None]:
        """Return what gives the cheapest grid of so many times by the teacher's single steps; None if it has fewer."""
        costs, starts = (torch.stack([one[name] for one in taught]).sum(0) for name in ("costs", "starts"))
        costs = costs.where(torch.ones_like(costs).triu(1) > 0, torch.inf)
        nodes = self.teacher.grid(self.study.schedule)

        def path(count: int) -> Times | None:
            if not 2 <= count <= len(nodes):
                return None
            return tuple(nodes[i].t for i in reversed(best_path(costs, starts, count - 1)))

        return path

    def _reference(self, listed: Mapping[str, int]) -> list[OfReference]:
        files = reference_files(self.measurement, listed)
        return [OfReference(shard or THE_REFERENCE, path) for path, shard in files.items()]

    def _task(self, item: Item) -> Task[Item]:
        """Return the task of an item; its cost is in network calls × images."""
        name = item.path
        match item:
            case OfReference():
                return Task(item, name, None, 0, 1000 * TEACHER_CALLS)  # before all that waits for it
            case Teach():
                images = item.end - item.first
                return Task(item, name, None, images, images * TEACHER_CALLS)
            case Score():
                return Task(item, name, None, item.number * len(item.settings), item.cost)
            case Refine():
                return Task(item, name, None, item.number * MOVES, item.cost)
            case Draw():
                return Task(item, name, item.shard.setting.slug, item.shard.rows, item.shard.cost)
            case MeasureOne() | Show():
                return Task(item, name, None, 0, item.number)

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

    def _pictures(self, setting: Setting) -> Pixels:
        path = f"{FOLDER}/{Show(setting, PICTURES).path}"
        drawn, _ = read_drawn(self.study.storage, path, setting.fingerprint(self.study.identity))
        return np.stack([row["image"] for row in drawn])


def _check(item: Item, identity: dict[str, Any], storage: Storage) -> Claims:
    """Check the file of a task, in any process. Raises DamagedFileError."""
    path = f"{FOLDER}/{item.path}"
    match item:
        case OfReference():
            shard = None if isinstance(item.source, str) else item.source
            return check_reference(item.path, shard, identity["reference"], storage)
        case Teach():
            read_taught(storage, item, fingerprint(identity))
        case Draw():
            read_planned(storage, path, item.shard, item.shard.setting.fingerprint(identity))
        case Show():
            read_drawn(storage, path, item.setting.fingerprint(identity))
        case _:
            read_plain(storage, path, fingerprint(identity))
    return {}


def read_plain(storage: Storage, path: str, own: str) -> dict[str, Any]:
    """Return the plain values of a file. Raises DamagedFileError."""
    content = storage.read_json(path)
    if content["fingerprint"] != own:
        carried = content["fingerprint"]
        raise DamagedFileError(f"{storage.url}/{path}: it has fingerprint {carried}, this study has {own}")
    return content
