"""A whole output against its plan: every bad, missing or surplus file by name; and bad ones set aside."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.evaluation.features import REFERENCE_PATH, read_features
from pipeline.evaluation.worker import manifest_path, metrics_path, read_planned
from pipeline.generation.images import read_footer
from pipeline.generation.shards import Shard, plan
from pipeline.grid import Setting
from pipeline.result import RESULT_PATH
from pipeline.storage import DamagedFileError, Storage

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
    """What reading a shard's two files showed."""

    digest: str | None
    """Of the pixels; None where they cannot be trusted."""
    problems: list[Problem]


class Verifier:
    """Reads a shard's files and checks every byte of their pages. A plain class, as `Sampler` is."""

    def __init__(self, device: str, out: str, storage_options: dict[str, Any] | None, fingerprint: str) -> None:
        self.storage = Storage(out, storage_options)
        self.fingerprint = fingerprint

    def check_shard(self, shard: Shard) -> Checked:
        """Check the image file and the feature file. That a file is missing is found by the listing instead."""
        problems = []
        digest = None
        try:
            digest = read_footer(self.storage, shard, self.fingerprint).digest
        except DamagedFileError as error:
            problems.append(Problem(shard.path("images"), "bad", str(error)))
        try:
            made_from = read_planned(self.storage, shard, self.fingerprint).metadata["digest"]
            if digest is not None and made_from != digest:
                text = f"{self.storage.url}/{shard.path('features')}: made from other pixels"
                problems.append(Problem(shard.path("features"), "bad", text))
        except DamagedFileError as error:
            problems.append(Problem(shard.path("features"), "bad", str(error)))
        return Checked(digest, problems)


class Inventory:
    """The files of an output as one listing shows them, beside those that its plan asks for."""

    def __init__(self, storage: Storage, settings: list[Setting], num_images: int, shard_size: int, fp: str) -> None:
        """List the output.

        Settings of an earlier, other grid of the same run count as planned: their manifests name them.
        """
        self.storage = storage
        self.fingerprint = fp
        self.found = {path: n for path, n in storage.find().items() if not path.startswith(f"{SET_ASIDE}/")}
        self.settings = list(dict.fromkeys([*settings, *self._closed_settings()]))
        self.shards = [shard for setting in self.settings for shard in plan(setting, num_images, shard_size)]

    def unread_problems(self) -> list[Problem]:
        """Return what the listing alone shows: missing and surplus files."""
        planned = {"sweep.json", "metrics.json", REFERENCE_PATH}
        for setting in self.settings:
            planned |= {manifest_path(setting), metrics_path(setting)}
        planned |= {shard.path(kind) for shard in self.shards for kind in ("images", "features")}
        missing = [
            Problem(path, "missing", f"{self.storage.url}/{path} is {'empty' if path in self.found else 'missing'}")
            for path in sorted(planned)
            if not self.found.get(path)
        ]
        surplus = [
            Problem(path, "surplus", f"{self.storage.url}/{path} is not in the plan")
            for path in sorted(set(self.found) - planned)
            if not path.startswith("report/") and path != RESULT_PATH
        ]
        return missing + surplus

    def readable(self) -> list[Shard]:
        """Return the shards that have a file to read."""
        return [shard for shard in self.shards if any(self.found.get(shard.path(k)) for k in ("images", "features"))]

    def closing_problems(self, digests: dict[Shard, str | None], rows: list[dict[str, Any]]) -> list[Problem]:
        """Check what is there once a setting or the sweep is done: manifests, metrics, reference features.

        Args:
            digests: of the shards' pixels, None where they cannot be trusted.
            rows: of the settings in sweep.json that are measured, which metrics.json holds.

        """
        problems = []
        if self.found.get(RESULT_PATH):
            problems += self._attempt(RESULT_PATH, lambda: self.storage.read_json(RESULT_PATH))
        if self.found.get("metrics.json"):
            problems += self._attempt("metrics.json", lambda: self.storage.read_checked("metrics.json", same(rows)))
        if self.found.get(REFERENCE_PATH):
            problems += self._attempt(REFERENCE_PATH, lambda: read_features(self.storage, REFERENCE_PATH))
        for setting in self.settings:
            manifest, metrics = (
                manifest_path(setting),
                metrics_path(setting),
            )
            if self.found.get(metrics):
                problems += self._attempt(metrics, partial(self.storage.read_json, metrics))
            if self.found.get(manifest):
                drawn = {shard.name: d for shard, d in digests.items() if shard.setting == setting and d}
                problems += self._attempt(manifest, partial(self._check_manifest, manifest, drawn))
        return problems

    def _check_manifest(self, path: str, drawn: dict[str, str]) -> None:
        manifest = self.storage.read_json(path)
        if manifest["fingerprint"] != self.fingerprint:
            raise DamagedFileError(f"{self.storage.url}/{path}: it has fingerprint {manifest['fingerprint']}")
        for name, digest in drawn.items():
            if manifest["files"].get(name, {}).get("digest") != digest:
                raise DamagedFileError(f"{self.storage.url}/{path}: it has another digest of {name}")

    def _attempt(self, path: str, check: Callable[[], object]) -> list[Problem]:
        try:
            check()
        except DamagedFileError as error:
            return [Problem(path, "bad", str(error))]
        return []

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


def set_aside(inventory: Inventory, problems: list[Problem]) -> list[str]:
    """Move bad and surplus files, and what was made from them, under `_set-aside/`; return the paths moved.

    Nothing is deleted. What was made from a bad image is its features, its setting's metrics and its manifest.
    """
    moved = {problem.path for problem in problems if problem.kind != "missing"}
    for shard in inventory.shards:
        images, features = shard.path("images"), shard.path("features")
        if images in moved:
            moved |= {features, manifest_path(shard.setting)}
        if features in moved:
            moved.add(metrics_path(shard.setting))
    if REFERENCE_PATH in moved:
        moved |= {metrics_path(setting) for setting in inventory.settings}
    paths = sorted(path for path in moved if path in inventory.found)
    for path in paths:
        inventory.storage.move(path, f"{SET_ASIDE}/{path}")
    return paths
