"""A whole output against its plan: every bad, missing or surplus file by name; and bad ones set aside."""

import contextlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.evaluation.measurement import FOLDER, Evaluation
from pipeline.evaluation.reference import REFERENCE_PATH, read_reference
from pipeline.storage.store import DamagedFileError, Storage
from pipeline.sweep.grid import Setting
from pipeline.sweep.images import read_footer
from pipeline.sweep.result import RESULT_PATH
from pipeline.sweep.run import Run
from pipeline.sweep.shards import Shard, plan
from pipeline.work.extract import manifest_path, metrics_path, read_planned

SET_ASIDE = "_set-aside"


@dataclass(frozen=True)
class Problem:
    """One file that is not as the plan has it."""

    path: str
    kind: str
    """"bad", "missing" or "surplus"."""
    text: str


@dataclass(frozen=True)
class Checked:
    """What reading a shard's files showed."""

    digest: str | None
    """Of the pixels; None where they cannot be trusted."""
    problems: list[Problem]


class Verifier:
    """Reads a shard's files and checks every byte of their pages. A plain class, as `Sampler` is."""

    def __init__(
        self,
        device: str,
        out: str,
        storage_options: dict[str, Any] | None,
        fingerprint: str,
        evaluations: list[Evaluation],
    ) -> None:
        self.storage = Storage(out, storage_options)
        self.fingerprint = fingerprint
        self.evaluations = evaluations

    def check_shard(self, shard: Shard) -> Checked:
        """Check the image file and its feature files. That a file is missing is found by the listing instead."""
        problems = []
        digest = None
        try:
            digest = read_footer(self.storage, shard, self.fingerprint).digest
        except DamagedFileError as error:
            problems.append(Problem(shard.path("images"), "bad", str(error)))
        for evaluation in self.evaluations:
            path = evaluation.prefix + shard.path("features")
            try:
                made_from = read_planned(self.storage, path, shard, evaluation.fingerprint).metadata["digest"]
                if digest is not None and made_from != digest:
                    problems.append(Problem(path, "bad", f"{self.storage.url}/{path}: made from other pixels"))
            except DamagedFileError as error:
                problems.append(Problem(path, "bad", str(error)))
        return Checked(digest, problems)


class Inventory:
    """The files of an output as one listing shows them, beside those that its plan asks for."""

    def __init__(self, run: Run) -> None:
        """List the output.

        Settings of an earlier, other grid of the same run count as planned: their manifests name them. So do the
        folders of other evaluations.
        """
        self.storage = storage = run.storage
        self.run = run
        self.fingerprint = run.fingerprint
        listed = storage.find()
        self.set_aside = {path for path in listed if path.startswith(f"{SET_ASIDE}/")}
        self.found = {path: size for path, size in listed.items() if path not in self.set_aside}
        self.settings = list(dict.fromkeys([*run.settings, *self._closed_settings()]))
        shape = run.config.num_images, run.config.shard_size
        self.shards = [shard for setting in self.settings for shard in plan(setting, *shape)]
        self.evaluations = [run.evaluation, *self._other_evaluations()]

    def unread_problems(self) -> list[Problem]:
        """Return what the listing alone shows: missing and surplus files."""
        needed = {"sweep.json"} | {manifest_path(setting) for setting in self.settings}
        needed |= {shard.path("images") for shard in self.shards}
        known = {RESULT_PATH}
        for evaluation in self.evaluations:
            prefix = evaluation.prefix
            # another evaluation than the sweep's need not know settings that came later
            measured = [s for s in self.settings if not prefix or prefix + metrics_path(s) in self.found]
            needed |= {prefix + name for name in ("metrics.json", REFERENCE_PATH, *map(metrics_path, measured))}
            features = {shard: prefix + shard.path("features") for shard in self.shards}
            needed |= {path for shard, path in features.items() if shard.setting in measured}
            known |= {*features.values(), f"{prefix}evaluation.json"}
        missing = [
            Problem(path, "missing", f"{self.storage.url}/{path} is {'empty' if path in self.found else 'missing'}")
            for path in sorted(needed)
            if not self.found.get(path)
        ]
        reports = tuple(f"{evaluation.prefix}report/" for evaluation in self.evaluations)
        surplus = [
            Problem(path, "surplus", f"{self.storage.url}/{path} is not in the plan")
            for path in sorted(set(self.found) - needed - known)
            if not path.startswith(reports)
        ]
        return missing + surplus

    def readable(self) -> list[Shard]:
        """Return the shards that have a file to read."""
        return [shard for shard in self.shards if any(self.found.get(path) for path in self._files(shard))]

    def closing_problems(self, digests: dict[Shard, str | None]) -> list[Problem]:
        """Check what is there once a setting or the sweep is done: manifests, metrics, reference features.

        Args:
            digests: of the shards' pixels, None where they cannot be trusted.

        """
        problems = self._attempt(RESULT_PATH, partial(self.storage.read_json, RESULT_PATH))
        for setting in self.settings:
            drawn = {shard.name: d for shard, d in digests.items() if shard.setting == setting and d}
            manifest = manifest_path(setting)
            problems += self._attempt(manifest, partial(self._check_manifest, manifest, drawn))
        for evaluation in self.evaluations:
            prefix = evaluation.prefix
            rows: dict[Setting, Any] = {}
            for setting in self.settings:
                path = prefix + metrics_path(setting)
                problems += self._attempt(path, partial(self._read_row, rows, setting, path))
            # the grid may have changed since another evaluation than the sweep's
            of_grid = [rows[setting] for setting in self.run.settings if setting in rows]
            check = among([*rows.values()]) if prefix else same(of_grid)
            metrics = f"{prefix}metrics.json"
            problems += self._attempt(metrics, partial(self.storage.read_checked, metrics, check))
            real = prefix + REFERENCE_PATH
            problems += self._attempt(real, partial(read_reference, self.storage, real))
        return problems

    def made_from(self, problems: list[Problem]) -> set[str]:
        """Return the paths of bad and surplus files, and of what was made from them.

        From an image: features, metrics, manifest. Metrics go with a bad or missing manifest: both are made at once.
        """
        paths = {problem.path for problem in problems if problem.kind != "missing"}
        for shard in self.shards:
            images, *features = self._files(shard)
            if images in paths:
                paths |= {*features, manifest_path(shard.setting)}
            for evaluation, path in zip(self.evaluations, features, strict=True):
                if path in paths:
                    paths.add(evaluation.prefix + metrics_path(shard.setting))
        for prefix in (evaluation.prefix for evaluation in self.evaluations):
            if prefix + REFERENCE_PATH in paths:
                paths |= {prefix + metrics_path(setting) for setting in self.settings}
        named, own = {problem.path for problem in problems}, self.run.evaluation.prefix
        paths |= {own + metrics_path(setting) for setting in self.settings if manifest_path(setting) in named}
        return {path for path in paths if path in self.found}

    def _files(self, shard: Shard) -> list[str]:
        features = [evaluation.prefix + shard.path("features") for evaluation in self.evaluations]
        return [shard.path("images"), *features]

    def _read_row(self, rows: dict[Setting, Any], setting: Setting, path: str) -> None:
        rows[setting] = self.storage.read_json(path)

    def _check_manifest(self, path: str, drawn: dict[str, str]) -> None:
        manifest = self.storage.read_json(path)
        if manifest["fingerprint"] != self.fingerprint:
            raise DamagedFileError(f"{self.storage.url}/{path}: it has fingerprint {manifest['fingerprint']}")
        for name, digest in drawn.items():
            if manifest["files"].get(name, {}).get("digest") != digest:
                raise DamagedFileError(f"{self.storage.url}/{path}: it has another digest of {name}")

    def _attempt(self, path: str, check: Callable[[], object]) -> list[Problem]:
        try:
            if self.found.get(path):
                check()
        except DamagedFileError as error:
            return [Problem(path, "bad", str(error))]
        return []

    def _other_evaluations(self) -> list[Evaluation]:
        found = []
        for path in self.found:
            if path.startswith(f"{FOLDER}/") and path.endswith("/evaluation.json"):
                # where it is damaged, all of its folder is surplus
                with contextlib.suppress(DamagedFileError):
                    found.append(Evaluation.load(self.storage.read_json(path)))
        return found

    def _closed_settings(self) -> list[Setting]:
        found = []
        for path in self.found:
            if path.startswith("images/") and path.endswith("/_manifest.json"):
                try:
                    manifest = self.storage.read_json(path)
                except DamagedFileError:
                    continue
                setting = Setting(**manifest["setting"] | {"tau": tuple(manifest["setting"]["tau"])})
                if manifest["fingerprint"] == self.fingerprint and manifest_path(setting) == path:
                    found.append(setting)
        return found


def same(rows: list[dict[str, Any]]) -> Callable[[bytes], None]:
    """Return a check that raises where metrics.json holds anything but these rows."""

    def check(data: bytes) -> None:
        if json.loads(data) != rows:
            raise ValueError("it does not hold the rows that were measured")

    return check


def among(rows: list[dict[str, Any]]) -> Callable[[bytes], None]:
    """Return a check that raises where metrics.json holds a row that is not one of these."""

    def check(data: bytes) -> None:
        if any(row not in rows for row in json.loads(data)):
            raise ValueError("it holds a row that was not measured")

    return check


def set_aside(inventory: Inventory, problems: list[Problem]) -> list[str]:
    """Move bad and surplus files, and what was made from them, under `_set-aside/`; return the paths moved.

    Nothing is deleted: what was set aside before keeps its name, and the next one of that name gets a number.
    """
    prefix = f"{SET_ASIDE}/"
    paths = sorted(inventory.made_from(problems))
    for path in paths:
        names = (f"{prefix}{path}.{i}" if i else prefix + path for i in itertools.count())
        inventory.storage.move(path, next(name for name in names if name not in inventory.set_aside))
    return paths
