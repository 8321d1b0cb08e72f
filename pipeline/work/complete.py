"""Complete an output, whatever its kind: what is missing is done, then its report is written and its tables printed."""

import sys
from collections.abc import Callable
from typing import Any

from pipeline.cluster.executor import Cluster, cluster
from pipeline.cluster.resources import Request
from pipeline.images.pixels import Pixels
from pipeline.reporting.report import publish
from pipeline.storage.sealed import fingerprint
from pipeline.sweep.layout import REPORT, SUMMARY
from pipeline.sweep.run import Run
from pipeline.sweep.shards import pending
from pipeline.sweep.study import Config, Study, make_study_config
from pipeline.text_table import text_table
from pipeline.work.claim import claim, publish_as_planned
from pipeline.work.draw import Draw
from pipeline.work.flow import flow
from pipeline.work.growing import growing_page
from pipeline.work.kind import StudyWork
from pipeline.work.match import Consistency
from pipeline.work.perform import perform
from pipeline.work.settle import settle


def complete(run: Run, request: Request) -> None:
    """Draw and measure what is missing from a sweep or an evaluation, write its report and print the tables.

    If nothing is missing, Ray is not started. Meanwhile result.json has the state of the run, and the page in report/
    what is measured.

    Raises:
        UserError, PoolBrokenError: see `cluster` and `claim`.
        IncompleteError: all attempts at a task failed; all tasks that do not need it are done.

    """
    _complete(_OfRun(run), request)


def conduct(
    kind: type[Config],
    open_study: Callable[[Config, dict[str, Any] | None], Study],
    make: Callable[[Study], StudyWork[Any, Any, Any]],
    given: dict[str, Any],
    request: dict[str, Any],
    storage_options: dict[str, Any] | None,
) -> int:
    """Do what is missing from a study, write its report and print its table; return the exit status of its job.

    It is of the config that the user has `given`; `open_study` opens it, writing nothing, and `make` makes its work.
    `request` has values of a `Request`, and `storage_options` are fsspec's. For its errors see these and `complete`.
    """
    config = make_study_config(kind, given)
    resources = Request(**request, out=config.out, first_file=Study.first_file)
    complete_study(make(open_study(config, storage_options)), resources)
    return 0


def complete_study(work: StudyWork[Any, Any, Any], request: Request) -> None:
    """Do what is missing from a study, write its report and print its table. For its errors see `complete`."""
    _complete(_OfStudy(work), request)


def print_plan(run: Run) -> None:
    """Print the settings of a sweep and how many of its shards are missing."""
    shards = run.shards()
    missing = pending(run.storage, "images", shards)
    lacking = dict.fromkeys(run.settings, 0)
    for shard in missing:
        lacking[shard.setting] += 1
    a_setting = len(shards) // len(run.settings)
    for note in run.notes:
        print(note)
    lines = [
        [setting.slug, f"{setting.nfe}", f"calls an image, {a_setting - count} of {a_setting} shards found"]
        for setting, count in lacking.items()
    ]
    print(text_table(lines, left=(0, 2), least=(0, 5), gap=" "))
    known = fingerprint(run.identity) if run.config.settled else "known when it is chosen what is auto"
    print(
        f"{len(run.settings)} settings × {run.config.num_images:,} images in {run.config.out}, "
        f"fingerprint {known}\n"
        f"{len(shards) - len(missing)} shards found, {len(missing)} missing: "
        f"{sum(shard.cost for shard in missing):,} network calls × images to do"
    )


class _OfRun:
    """What `_complete` asks of a kind of output: here of sweeps and evaluations."""

    def __init__(self, run: Run) -> None:
        self.output = run
        self.seen: dict[str, Pixels] = {}

    @property
    def outputs(self) -> dict[str, Run]:
        return {run.measurement.extractor.name: run for run in self.output.measured_together}

    def planned(self) -> tuple[int, int]:
        number = len(self.output.settings)
        return number, number * self.output.config.num_images

    def finished(self) -> bool:
        runs = self.output.measured_together
        drawn = self.output.config.settled and not Draw(self.output).tasks()
        return drawn and all(self.publishable(run) and not Consistency(run).tasks() for run in runs)

    def settle(self, joined: Cluster) -> None:
        self.output = settle(self.output, joined)

    def perform(self, joined: Cluster) -> None:
        with growing_page(self.output, self.seen) as write:
            flow(self.output, joined, self.output.result, on_minute=write)
            for run in self.output.measured_together:
                perform(Consistency(run), joined, self.output.result)

    def publishable(self, run: Run) -> bool:
        return len(run.metrics()) == len(run.settings)

    def publish(self, run: Run) -> str:
        return publish(run, self.seen)


class _OfStudy:
    def __init__(self, work: StudyWork[Any, Any, Any]) -> None:
        self.work, self.output = work, work.study

    @property
    def outputs(self) -> dict[str, Study]:
        return {"": self.output}

    def planned(self) -> tuple[int, int]:
        tasks = self.work.planned()
        return len({task.group for task in tasks} - {None}), sum(task.images for task in tasks)

    def finished(self) -> bool:
        return not self.work.tasks()

    def settle(self, joined: Cluster) -> None:
        pass  # a study leaves nothing open

    def perform(self, joined: Cluster) -> None:
        while perform(self.work, joined, self.output.result):  # of some studies what is done says what comes next
            self.output.result.plan(*self.planned())

    def publishable(self, study: Study) -> bool:
        return not self._work_of(study).tasks()

    def publish(self, study: Study) -> str:
        text = "\n".join([self._work_of(study).publish(), *(f"{note}." for note in study.notes)])
        study.storage.write(f"{REPORT}/{SUMMARY}", f"{text}\n".encode())
        return text

    def _work_of(self, study: Study) -> StudyWork[Any, Any, Any]:
        return self.work if study.config == self.work.study.config else type(self.work)(study)


def _complete(kind: "_OfRun | _OfStudy", request: Request) -> None:
    for note in kind.output.notes:
        print(note, file=sys.stderr)
    if kind.finished():
        for output in kind.outputs.values():
            claim(output)
        print("nothing to do: every file is there", file=sys.stderr)
        _record(kind, lambda: None)
        return
    with cluster(request) as joined:
        kind.settle(joined)
        for output in kind.outputs.values():
            claim(output, joined)
        _record(kind, lambda: kind.perform(joined))


def _record(kind: Any, perform: Callable[[], None]) -> None:
    with kind.output.result.recorded(*kind.planned()):
        perform()
        texts = {
            title: publish_as_planned(output, kind.publish, kind.publishable) for title, output in kind.outputs.items()
        }
        print("\n\n".join(f"{title}\n\n{text}" if len(texts) > 1 else text for title, text in texts.items()))
