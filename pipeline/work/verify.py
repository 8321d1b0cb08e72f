"""Verify: compare an output with the files that its works own; name and set aside bad, missing and surplus ones."""

import contextlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from pipeline import UserError
from pipeline.cluster.executor import Cluster
from pipeline.cluster.task import Task, Tasks, Work
from pipeline.evaluation.measurement import Measurement
from pipeline.storage.store import DamagedFileError
from pipeline.sweep.grid import Setting, described
from pipeline.sweep.layout import EVALUATION, EVALUATIONS, MANIFEST, METRICS, REPORT, RESULT, SET_ASIDE, STUDY, manifest
from pipeline.sweep.opened import Opened
from pipeline.sweep.run import Run, open_folder, saved_run
from pipeline.sweep.study import Study, saved_study
from pipeline.work.kind import Claims, File, Output, sealed_json
from pipeline.work.perform import perform
from pipeline.work.registry import STUDIES, WORKS


@dataclass(frozen=True)
class Problem:
    """One file that is not as planned."""

    path: str
    kind: str
    """"bad", "missing" or "surplus"."""
    text: str


class VerifyWorker:
    """Reads files and checks every byte of their pages."""

    def __init__(self, device: str, arguments: Output) -> None:
        self.storage = arguments.open()

    def do(self, file: File) -> Claims | str:
        """Return the claims of a file, or what is wrong with it."""
        try:
            return file.read(self.storage)
        except DamagedFileError as error:
            return str(error)


class Inventory(ABC):
    """The files in an output, by one listing, and the files that its works own."""

    settings: Sequence[Setting]
    """The settings whose files are planned."""

    def __init__(self, opened: Opened) -> None:
        """List the output."""
        self.opened = opened
        listed = opened.storage.find()
        self.set_aside = {path for path in listed if path.startswith(f"{SET_ASIDE}/")}
        self.found = {path: size for path, size in listed.items() if path not in self.set_aside}

    @property
    @abstractmethod
    def files(self) -> Mapping[str, File]:
        """Path → file of all files that the works own."""

    @property
    @abstractmethod
    def reports(self) -> tuple[str, ...]:
        """What the paths begin with that every run writes again."""

    def unread_problems(self) -> list[Problem]:
        """Return the problems that the listing shows: missing and surplus files."""
        url = self.opened.storage.url
        missing = [
            Problem(path, "missing", f"{url}/{path} is {'empty' if path in self.found else 'missing'}")
            for path, file in sorted(self.files.items())
            if file.needed and not self.found.get(path)
        ]
        surplus = [
            Problem(path, "surplus", f"{url}/{path} is not in the plan")
            for path in sorted(self.found.keys() - self.files.keys())
            if not path.startswith(self.reports)
        ]
        return missing + surplus

    def read_problems(self, said: Mapping[str, Claims | str]) -> list[Problem]:
        """Return the problems that reading has shown: bad files.

        Args:
            said: path → what `VerifyWorker` returned for that file.

        """
        url = self.opened.storage.url
        bad = {path: text for path, text in said.items() if isinstance(text, str)}
        claims = {path: claim for path, claim in said.items() if not isinstance(claim, str)}
        for path, claim in claims.items():
            for other, digest in claim.items():
                if other in claims and claims[other].get(other, digest) != digest:
                    bad[path] = f"{url}/{path}: it was made from another content of {other}"
        return [Problem(path, "bad", text) for path, text in sorted(bad.items())]

    def made_from(self, problems: list[Problem]) -> set[str]:
        """Return the paths of bad and surplus files, and of all files made from bad or missing ones."""
        paths = {problem.path for problem in problems}
        followed: set[str] = set()
        while paths != followed:
            followed = set(paths)
            paths |= {path for path, file in self.files.items() if not followed.isdisjoint(file.made_from)}
        return {path for path in paths if path in self.found}


class SweepInventory(Inventory):
    """The inventory of a sweep."""

    def __init__(self, run: Run) -> None:
        """List the output.

        Settings of an earlier grid of the same run count as planned if they have a manifest. So do the folders of
        other measurements.

        Raises:
            UserError: this release does not know the sampler, an option or the grid of a setting.

        """
        super().__init__(run)
        self.run = run
        self.settings = list(dict.fromkeys([*run.settings, *self._closed_settings()]))
        self.runs = [run, *(replace(run, measurement=other) for other in self._other_measurements())]

    @cached_property
    def files(self) -> dict[str, File]:
        """Path → file of all files that the works own."""
        owned = (kind(run).files(self.settings, self.found) for run in self.runs for kind in WORKS.values())
        return {file.path: file for file in itertools.chain.from_iterable(owned)}

    @property
    def reports(self) -> tuple[str, ...]:
        """The folders of the reports of all measurements."""
        return tuple(run.paths.report() for run in self.runs)

    def _other_measurements(self) -> list[Measurement]:
        found = []
        for path in self.found:
            if path.startswith(f"{EVALUATIONS}/") and path.endswith(f"/{EVALUATION}"):
                # if it is damaged, its whole folder is surplus
                with contextlib.suppress(DamagedFileError):
                    found.append(Measurement.load(self.run.storage.read_json(path)))
        return found

    def _closed_settings(self) -> list[Setting]:
        found = []
        for path in self.found:
            if path.startswith("images/") and path.endswith(f"/{MANIFEST}"):
                try:
                    closed = self.run.storage.read_json(path)
                    setting = described(closed["setting"], self.run.schedule)
                except DamagedFileError:
                    continue
                except ValueError as error:
                    raise UserError(f"{self.run.storage.url}/{path}: {error}") from error
                fingerprint = setting.fingerprint(self.run.identity)
                if closed["fingerprint"] == fingerprint and manifest(setting.slug) == path:
                    found.append(setting)
        return found


class StudyInventory(Inventory):
    """The inventory of a study."""

    def __init__(self, study: Study) -> None:
        """List the output."""
        super().__init__(study)
        self.study = study
        self.settings = study.settings

    @cached_property
    def files(self) -> dict[str, File]:
        """Path → file of all files that the study's work owns, and of its first file."""
        work = STUDIES[self.study.config.kind](self.study)
        first = [File(STUDY, partial(sealed_json, STUDY)), File(RESULT, partial(sealed_json, RESULT), needed=False)]
        return {file.path: file for file in [*first, *(work.file(task.item) for task in work.planned())]}

    @property
    def reports(self) -> tuple[str, ...]:
        """The report, and the numbers in it."""
        return (f"{REPORT}/", METRICS)


def take_inventory(out: str, storage_options: dict[str, Any] | None) -> Inventory:
    """Return the inventory of a sweep's or a study's output. Raises UserError if it is neither."""
    _, names = open_folder("--out", out, storage_options)
    if STUDY in names:
        kinds = {kind: work.config for kind, work in STUDIES.items()}
        return StudyInventory(saved_study(kinds, out, storage_options))
    return SweepInventory(saved_run(out, storage_options))


class Verify(Work[Output, File, Claims | str]):
    """Checks every file of an output that is there."""

    name = "verifying"
    on_gpu = False
    worker = VerifyWorker

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory

    @property
    def arguments(self) -> Output:
        """The output."""
        return Output.of(self.inventory.opened)

    def tasks(self) -> Tasks[File]:
        """Return one task per file that is there and not empty."""
        found = self.inventory.found

        def task(file: File) -> Task[File]:
            if file.shard is None:
                return Task(file, file.path, None, 0, found[file.path])
            return Task(file, file.path, file.shard.setting.slug, file.shard.rows, found[file.path])

        return Tasks([file for path, file in self.inventory.files.items() if found.get(path)], task)


def verify(inventory: Inventory, cluster: Cluster) -> list[Problem]:
    """Read every file in parallel and return all problems."""
    said: dict[str, Claims | str] = {}
    perform(Verify(inventory), cluster, on_done=lambda file, answer: said.update({file.path: answer}))
    return inventory.read_problems(said) + inventory.unread_problems()


def set_aside(inventory: Inventory, problems: list[Problem]) -> list[str]:
    """Move bad and surplus files, and files made from bad or missing ones, under `_set-aside/`; return their paths.

    Nothing is deleted: if an earlier file has the same name there, the new one gets a number.
    """
    prefix = f"{SET_ASIDE}/"
    paths = sorted(inventory.made_from(problems))
    for path in paths:
        names = (f"{prefix}{path}.{i}" if i else prefix + path for i in itertools.count())
        inventory.opened.storage.move(path, next(name for name in names if name not in inventory.set_aside))
    return paths
