"""The inventory of an output: the files that are listed, and those that its works own; problems by comparing them."""

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pipeline import UserError
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
from pipeline.sweep.output import Output, open_folder
from pipeline.sweep.run import Run, evaluations, saved_run
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


Owned = tuple[list[Setting], Iterable[File], tuple[str, ...]]
"""The settings that are planned, all files that the works own or that describe the output, and what the paths begin
with of which nobody needs to say or can say whether they are right: reports are written again."""


class Inventory:
    """The files in an output, by one listing, and the files that its works own."""

    def __init__(self, output: Output) -> None:
        """List the output.

        Raises:
            UserError: this release does not know the sampler, an option or the grid of a setting.

        """
        self.output = output
        listed = output.storage.find()
        self.set_aside = {path for path in listed if path.startswith(f"{SET_ASIDE}/")}
        self.listed = {path: size for path, size in listed.items() if path not in self.set_aside}
        """Path → size of every file, but those that are set aside."""
        assert isinstance(output, Run | Study)
        owned = _of_run(output, self.listed) if isinstance(output, Run) else _of_study(output)
        self.settings, files, self.unread = owned
        self.files = {file.path: file for file in files}
        """Path → file of all files that the works own."""

    def unread_problems(self) -> list[Problem]:
        """Return the problems that the listing shows: missing and surplus files."""
        url = self.output.storage.url
        missing = [
            Problem(path, "missing", f"{url}/{path} is {'empty' if path in self.listed else 'missing'}")
            for path, file in sorted(self.files.items())
            if file.needed and not self.listed.get(path)
        ]
        surplus = [
            Problem(path, "surplus", f"{url}/{path} is not in the plan")
            for path in sorted(self.listed.keys() - self.files.keys())
            if not path.startswith(self.unread)
        ]
        return missing + surplus

    def read_problems(self, said: Mapping[str, Claims | str]) -> list[Problem]:
        """Return the problems that reading has shown: bad files.

        Args:
            said: path → its claims, or what is wrong with it.

        """
        url = self.output.storage.url
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
        return {path for path in paths if path in self.listed}


def _of_run(run: Run, listed: Mapping[str, int]) -> Owned:
    """Return what is planned in a sweep's output: its own, and that of its evaluations.

    Settings of an earlier grid count as planned if they have a manifest. Without its first file nothing says what
    belongs in an evaluation's folder.
    """
    planned = list(dict.fromkeys([*run.settings, *_closed_settings(run, listed)]))
    whole = evaluations(run, listed)
    places = sorted(
        {"/".join(path.split("/")[:2]) for path in listed if path.startswith(f"{EVALUATIONS}/") and path.count("/") > 1}
    )
    runs = [run, *whole.values()]
    files = [
        *_describing(run.first_file),
        *(file for place in places for file in _describing(EVALUATION, f"{place}/")),
        *itertools.chain.from_iterable(kind(one).files(planned, listed) for one in runs for kind in WORKS.values()),
    ]
    unknown = (f"{place}/" for place in places if place not in whole)
    return planned, files, (CARD, *(one.paths.report() for one in runs), *unknown)


def _closed_settings(run: Run, listed: Mapping[str, int]) -> list[Setting]:
    closed_settings = []
    for path in listed:
        if path.startswith("images/") and path.endswith(f"/{MANIFEST}"):
            try:
                closed = run.storage.read_json(path)
                setting = described(closed["setting"], run.schedule)
            except DamagedFileError:
                continue
            except ValueError as error:
                raise UserError(f"{run.storage.url}/{path}: {error}") from error
            fingerprint = setting.fingerprint(run.identity)
            if closed["fingerprint"] == fingerprint and manifest(setting.slug) == path:
                closed_settings.append(setting)
    return closed_settings


def _of_study(study: Study) -> Owned:
    """Return what is planned in a study's output: its files, and its numbers.

    The files of an earlier grid need not be there, since a study may have left that grid unfinished.
    """
    make = STUDIES[study.config.kind]
    work = make(study)
    own = [work.file(task.item) for task in work.planned()]
    files = _describing(study.first_file)
    for setting in study.earlier:
        of_earlier = make(replace(study, settings=[setting]))
        files += [replace(of_earlier.file(task.item), needed=False) for task in of_earlier.planned()]
    if work.has_numbers:
        check = partial(_check_numbers, work)
        files.append(File(METRICS, check, tuple(file.path for file in own), needed=False))
    return [*study.settings, *study.earlier], [*files, *own], (f"{REPORT}/",)


def _describing(first_file: str, prefix: str = "") -> list[File]:
    """Return the first file of an output and its result.json."""
    first, result = prefix + first_file, prefix + RESULT
    return [File(first, partial(sealed_json, first)), File(result, partial(sealed_json, result), needed=False)]


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
        return Inventory(saved_study(kinds, out, storage_options))
    return Inventory(saved_run(out, storage_options))
