"""The line: drawing, features and metrics of a run side by side, each task as soon as the files it needs are there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.cluster.task import Joined, Task, Tasks, Work, Worker
from pipeline.sweep.grid import Setting
from pipeline.sweep.run import Run
from pipeline.sweep.shards import Shard, Shards
from pipeline.work.draw import Draw
from pipeline.work.extract import Extract
from pipeline.work.measure import Measure

Step = tuple[str, Task[Any]]
"""The name of a work and one of its tasks."""


@dataclass(frozen=True)
class LineArguments:
    """The arguments of a `LineWorker`."""

    works: tuple[tuple[str, Callable[[str, Any], Worker[Any, Any]], Any], ...]
    """(name, class of the workers, their arguments) of each work."""


class LineWorker:
    """Does the tasks of several works, each by a worker of that work."""

    def __init__(self, device: str, arguments: LineArguments) -> None:
        """Make the workers."""
        self.workers = {name: make(device, of_work) for name, make, of_work in arguments.works}

    def do(self, step: Step) -> Any:
        """Do one task of one work."""
        name, task = step
        return self.workers[name].do(task.item)


class Line(Work[LineArguments, Step, Any]):
    """Draws, extracts and measures what is missing from a run.

    The features of a shard follow its images at once, and a setting is measured when it has all of its features, so
    that the first numbers are there long before the last image.
    """

    name = "the line"
    on_gpu = True
    worker = LineWorker

    def __init__(self, run: Run) -> None:
        """List what is missing."""
        self.run = run
        self.draw, self.extract, self.measure = Draw(run), Extract(run), Measure(run)
        self.to_draw, self.to_extract, to_measure = self.draw.missing(), self.extract.missing(), self.measure.tasks()
        reference = self.extract.reference_tasks()
        missing: dict[str, Sequence[Task[Any]]] = {
            Draw.name: Tasks(self.to_draw, self.draw.task),
            Extract.name: Joined([Tasks(self.to_extract, self.extract.task), reference]),
            Measure.name: to_measure,
        }
        self.missing = {name: tasks for name, tasks in missing.items() if tasks}
        """Name of a work → its tasks, for the works that have some."""
        self._unmeasured = {task.item for task in to_measure}
        self._without_reference = {path: {*sources} for path, sources in self.extract.lacking_reference.items()}
        """Path of a measurement → what is missing of its reference."""
        self._left = {(path, setting): 0 for path in self.extract.lacking for setting in run.settings}
        """(path of a measurement, setting) → files of images and features that are missing."""
        for path, lacking in self.extract.lacking.items():
            for setting, firsts in [*self.to_draw.parts, *lacking.parts]:
                self._left[path, setting] += len(firsts)
        self._urgent = 1 + max((setting.nfe for setting, _ in self.to_draw.parts), default=0) * run.config.shard_size
        """More than the cost of any shard's drawing."""

    @property
    def arguments(self) -> LineArguments:
        """The arguments of the works that have tasks."""
        works = (work for work in (self.draw, self.extract, self.measure) if work.name in self.missing)
        return LineArguments(tuple((work.name, work.worker, work.arguments) for work in works))

    def tasks(self) -> Sequence[Task[Step]]:
        """Return the tasks that can begin, but those of metrics: the reference, then missing features, then drawing."""
        drawing, plan = dict(self.to_draw.parts), self.to_extract
        drawn = [(s, np.setdiff1d(firsts, drawing.get(s, ())).tolist()) for s, firsts in plan.parts]
        to_extract = Shards(drawn, plan.num_images, plan.shard_size)
        return Joined(
            [
                [_step(Extract.name, task, 2 * self._urgent) for task in self.extract.reference_tasks()],
                Tasks(to_extract, lambda shard: _step(Extract.name, self.extract.task(shard), self._urgent)),
                Tasks(self.to_draw, self._draw_step),
            ]
        )

    def _draw_step(self, shard: Shard) -> Task[Step]:
        # a short shard counts as a whole one: it would come last of all, and its setting be measured at the end
        short = self.run.config.shard_size - shard.rows
        return _step(Draw.name, self.draw.task(shard), short * shard.setting.nfe)

    def follow(self, done: Task[Step], result: Any) -> Sequence[Task[Step]]:
        """Return the tasks that a finished one has made possible."""
        name, task = done.item
        if name == Measure.name:
            return []
        source, paths = (task.item, [*self.extract.lacking]) if name == Draw.name else task.item
        if not isinstance(source, Shard):
            for path in paths:
                self._without_reference[path].discard(source)
            return self.measurable()
        for path in paths:
            self._left[path, source.setting] -= 1
        if name == Draw.name and source in self.to_extract:
            return [_step(Extract.name, self.extract.task(source))]
        return self.measurable([source.setting])

    def measurable(self, settings: Sequence[Setting] | None = None) -> list[Task[Step]]:
        """Return the tasks of those of the settings, or of all, that can be measured now, each once."""
        with_reference = (path for path, missing in self._without_reference.items() if not missing)
        cells = [(path, setting) for path in with_reference for setting in settings or self.run.settings]
        ready = [cell for cell in cells if cell in self._unmeasured and not self._left[cell]]
        self._unmeasured.difference_update(ready)
        return [_step(Measure.name, self.measure.task(cell), self._urgent) for cell in ready]


def _step(name: str, task: Task[Any], more: int = 0) -> Task[Step]:
    return Task((name, task), task.name, task.group, task.images, task.cost + more)
