"""The inventory of an output: the files that are there, and those that its works own; problems by comparing them."""

import contextlib
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from pipeline import UserError
from pipeline.evaluation.measurement import Measurement
from pipeline.storage.store import DamagedFileError, Storage
from pipeline.sweep.grid import Setting, described
from pipeline.sweep.layout import (
    CARD,
    EVALUATION,
    EVALUATIONS,
    MANIFEST,
    METRICS,
    REPORT,
    RESULT,
    SET_ASIDE,
    STUDY,
    manifest,
)
from pipeline.sweep.output import Opened
from pipeline.sweep.run import Run, open_folder, saved_run
from pipeline.sweep.study import Study, saved_study
from pipeline.work.kind import Claims, File, StudyWork, sealed_json
from pipeline.work.registry import STUDIES, WORKS


@dataclass(frozen=True)
class Problem:
    """One file that is not as planned."""

    path: str
    kind: str
    """"bad", "missing" or "surplus"."""
    text: str


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
            said: path → its claims, or what is wrong with it.

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
        """README.md, and the folders of the reports of all measurements."""
        return (CARD, *(run.paths.report() for run in self.runs))

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
        self.settings = [*study.settings, *study.earlier]

    @cached_property
    def files(self) -> dict[str, File]:
        """Path → file of the study's first file, its numbers, and all files that its work owns.

        The files of an earlier grid need not be there, since a study may have left that grid unfinished.
        """
        make = STUDIES[self.study.config.kind]
        work = make(self.study)
        found = [File(STUDY, partial(sealed_json, STUDY)), File(RESULT, partial(sealed_json, RESULT), needed=False)]
        own = [work.file(task.item) for task in work.planned()]
        for setting in self.study.earlier:
            of_earlier = make(replace(self.study, settings=[setting]))
            found += [replace(of_earlier.file(task.item), needed=False) for task in of_earlier.planned()]
        if work.has_numbers:
            check = partial(_check_numbers, work)
            found.append(File(METRICS, check, tuple(file.path for file in own), needed=False))
        return {file.path: file for file in [*found, *own]}

    @property
    def reports(self) -> tuple[str, ...]:
        """The report."""
        return (f"{REPORT}/",)


def _check_numbers(work: StudyWork[Any, Any, Any], storage: Storage) -> Claims:
    """Check metrics.json against the files that its numbers are from; bad files are told of by their own checks."""
    try:
        rows = work.rows()
    except DamagedFileError:
        return {}

    def parse(data: bytes) -> Claims:
        if json.loads(data) != rows:
            raise ValueError("it has other numbers than its files")
        return {}

    return storage.read_checked(METRICS, parse)


def take_inventory(out: str, storage_options: dict[str, Any] | None) -> Inventory:
    """Return the inventory of a sweep's or a study's output. Raises UserError if it is neither."""
    _, names = open_folder("--out", out, storage_options)
    if STUDY in names:
        kinds = {kind: work.config for kind, work in STUDIES.items()}
        return StudyInventory(saved_study(kinds, out, storage_options))
    return SweepInventory(saved_run(out, storage_options))
