"""Conductors: of a sweep or another measurement of it, and of a study."""

from collections.abc import Callable
from typing import Any

from pipeline.cluster.executor import Cluster
from pipeline.cluster.resources import Request
from pipeline.images.pixels import Pixels
from pipeline.reporting.report import publish
from pipeline.storage.sealed import fingerprint
from pipeline.sweep.layout import REPORT, SUMMARY
from pipeline.sweep.run import Run
from pipeline.sweep.shards import pending
from pipeline.sweep.study import Config, Study, make_study_config
from pipeline.work.complete import Conductor, complete
from pipeline.work.draw import Draw
from pipeline.work.flow import flow
from pipeline.work.growing import growing_page
from pipeline.work.kind import StudyWork
from pipeline.work.match import Consistency
from pipeline.work.perform import perform
from pipeline.work.settle import settle


class OfRun(Conductor[Run]):
    """Draws and measures what is missing from a sweep or an evaluation; its page grows meanwhile."""

    def __init__(self, run: Run) -> None:
        self.output = run
        self.seen: dict[str, Pixels] = {}
        """Slug of a setting → its first images, which are not read again."""

    def planned(self) -> tuple[int, int]:
        """Return the number of settings, and of images in all of them."""
        number = len(self.output.settings)
        return number, number * self.output.config.num_images

    def finished(self) -> bool:
        """Return whether all is drawn, measured, and compared with the largest S."""
        run = self.output
        return run.settled and not Draw(run).tasks() and self.publishable(run) and not Consistency(run).tasks()

    def settle(self, joined: Cluster) -> None:
        """Choose batch size and form where they are auto."""
        self.output = settle(self.output, joined)

    def perform(self, joined: Cluster) -> None:
        """Draw, extract, measure and compare what is missing. Raises IncompleteError."""
        with growing_page(self.output, self.seen) as write:
            flow(self.output, joined, self.output.result, on_minute=write)
            perform(Consistency(self.output), joined, self.output.result)

    def publishable(self, output: Run) -> bool:
        """Return whether every setting is measured."""
        return len(output.metrics()) == len(output.settings)

    def publish(self, output: Run) -> str:
        """Write metrics.json and report/, and return the tables."""
        return publish(output, self.seen)


class OfStudy(Conductor[Study]):
    """Does the tasks of a study whose file is missing."""

    def __init__(self, work: StudyWork[Any, Any, Any]) -> None:
        self.work, self.output = work, work.study

    def planned(self) -> tuple[int, int]:
        """Return the number of settings, and of images in all of them."""
        tasks = self.work.planned()
        return len({task.group for task in tasks}), sum(task.images for task in tasks)

    def finished(self) -> bool:
        """Return whether every file is there."""
        return self.publishable(self.output)

    def perform(self, joined: Cluster) -> None:
        """Do the missing tasks. Raises IncompleteError."""
        perform(self.work, joined, self.output.result)

    def publishable(self, output: Study) -> bool:
        """Return whether every file is there."""
        return not self._of(output).tasks()

    def publish(self, output: Study) -> str:
        """Write the numbers and the report, with what is to be known of the model, and return its text."""
        text = "\n".join([self._of(output).publish(), *(f"{note}." for note in output.notes)])
        output.storage.write(f"{REPORT}/{SUMMARY}", f"{text}\n".encode())
        return text

    def _of(self, output: Study) -> StudyWork[Any, Any, Any]:
        return self.work if output.config == self.work.study.config else type(self.work)(output)


def print_plan(run: Run) -> None:
    """Print the settings of a sweep and how many of its shards are missing."""
    shards = run.shards()
    missing = pending(run.storage, "images", shards)
    lacking = dict.fromkeys(run.settings, 0)
    for shard in missing:
        lacking[shard.setting] += 1
    width = max(len(setting.slug) for setting in run.settings)
    a_setting = len(shards) // len(run.settings)
    for note in run.notes:
        print(note)
    for setting, count in lacking.items():
        print(
            f"{setting.slug:<{width}} {setting.nfe:>5} calls an image, {a_setting - count} of {a_setting} shards found"
        )
    known = fingerprint(run.identity) if run.settled else "known when it is chosen what is auto"
    print(
        f"{len(run.settings)} settings × {run.config.num_images:,} images in {run.config.out}, "
        f"fingerprint {known}\n"
        f"{len(shards) - len(missing)} shards found, {len(missing)} missing: "
        f"{sum(shard.cost for shard in missing):,} network calls × images to do"
    )


def conduct(
    kind: type[Config],
    open_study: Callable[[Config, dict[str, Any] | None], Study],
    make: Callable[[Study], StudyWork[Any, Any, Any]],
    given: dict[str, Any],
    request: dict[str, Any],
    storage_options: dict[str, Any] | None,
) -> int:
    """Do what is missing from a study and publish it; return the exit status of its job.

    Args:
        kind: the class of the study's config.
        open_study: opens the study of a config; writes nothing.
        make: makes its work.
        given: option → value, as the user gave them.
        request: values of a `Request`.
        storage_options: fsspec's options for the output.

    Raises:
        UserError, IncompleteError, PoolBrokenError: see `open_study` and `complete`.

    """
    config = make_study_config(kind, given)
    resources = Request(**request, out=config.out, first_file=Study.first_file)
    complete(OfStudy(make(open_study(config, storage_options))), resources)
    return 0
