"""Measure: the features of a setting become its row of metrics.json, and a manifest marks its images complete."""

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from pipeline.cluster.task import Task
from pipeline.evaluation.measurement import Measurement
from pipeline.evaluation.metrics import compute_metrics, without_false_is
from pipeline.evaluation.reference import Reference
from pipeline.storage.store import DamagedFileError, Storage
from pipeline.sweep.grid import Row, Setting, read_row
from pipeline.sweep.layout import Paths, folder, manifest
from pipeline.sweep.measured import images_per_second, measured_reference, read_setting, reference_files
from pipeline.sweep.run import Run
from pipeline.sweep.shards import plan
from pipeline.work.kind import Claims, File, Place, RunWork, sealed_json

Cell = tuple[str, Setting]
"""The path of a measurement, and a setting."""


@dataclass(frozen=True)
class MeasureArguments:
    """The arguments of a `MeasureWorker`."""

    output: Place
    measurements: dict[str, Measurement]
    """Path → measurement."""
    num_images: int
    shard_size: int
    identity: dict[str, Any]
    """The identity of the run's images."""


class MeasureWorker:
    """Computes metrics on the CPU."""

    def __init__(self, device: str, arguments: MeasureArguments) -> None:
        torch.set_num_threads(1)
        self.arguments = arguments
        self.storage = arguments.output.open()
        self.references: dict[str, Reference] = {}
        """Path of a measurement → the reference as it was extracted."""

    def do(self, cell: Cell) -> Row:
        """Compute a setting's row, write it beside the features, and write the manifest of the setting's images.

        A row that another sweep has written since is taken as it is: its seconds would change in the other's table.

        Raises:
            DamagedFileError: the feature files do not hold exactly the planned seeds of this run.

        """
        path, setting = cell
        num_images, measurement = self.arguments.num_images, self.arguments.measurements[path]
        paths = Paths(measurement.prefix)
        with contextlib.suppress(DamagedFileError):
            return self.storage.read_json(paths.row(setting.slug))
        if path not in self.references:
            self.references[path] = measured_reference(self.storage, measurement)
        reference = self.references[path]
        shards = plan(setting, num_images, self.arguments.shard_size)
        parts, whole = read_setting(self.storage, measurement, shards)
        row = {
            **setting.describe(),
            "num_images": num_images,
            **compute_metrics(whole.features, whole.logits, reference),
            "seconds": sum(part.metadata["seconds"] for part in parts),
            "images_per_second": images_per_second(parts),
            "reference": reference.provenance,
            "device": "/".join(sorted({part.metadata["device"] for part in parts})),
        }
        sizes = self.storage.ls(folder("images", setting.slug))
        files = {
            shard.name: {"rows": shard.rows, "size": sizes[shard.name], "digest": part.metadata["digest"]}
            for shard, part in zip(shards, parts, strict=True)
        }
        fingerprint = setting.fingerprint(self.arguments.identity)
        closed = {"fingerprint": fingerprint, "setting": setting.describe(), "files": files}
        self.storage.write_json(manifest(setting.slug), closed)
        self.storage.write_json(paths.row(setting.slug), row)
        return row


class Measure(RunWork[MeasureArguments, Cell, Row]):
    """Computes the metrics of a run, for its measurement and for those that are done with it."""

    name = "metrics"
    on_gpu = False
    worker = MeasureWorker

    @property
    def arguments(self) -> MeasureArguments:
        """The arguments for the run and its measurements."""
        run, config = self.run, self.run.config
        measurements = {one.measurement.path: one.measurement for one in run.measured_together}
        return MeasureArguments(Place.of(run), measurements, config.num_images, config.shard_size, run.identity)

    def tasks(self) -> list[Task[Cell]]:
        """Return one task per setting without a row, of each measurement."""
        tasks = []
        for one in self.run.measured_together:
            measured = one.metrics()
            tasks += [self.task((one.measurement.path, setting)) for setting in one.settings if setting not in measured]
        return tasks

    def task(self, cell: Cell) -> Task[Cell]:
        """Return the task of a setting. It has no group, since a setting has only one task a measurement."""
        images = self.run.config.num_images
        return Task(cell, "/".join(filter(None, (cell[0], cell[1].slug))), None, images, images)

    def files(self, settings: Sequence[Setting], listed: Mapping[str, int]) -> Iterable[File]:
        """Return the rows, metrics.json and, for the sweep's own measurement, the manifests of the images."""
        run, prefix = self.run, self.run.measurement.prefix
        shape = run.config.num_images, run.config.shard_size
        reference = reference_files(run.measurement, listed)
        for setting in settings:
            shards = plan(setting, *shape)
            images = tuple(shard.path("images") for shard in shards)
            features = tuple(prefix + shard.path("features") for shard in shards)
            closing = manifest(setting.slug)
            if not prefix:
                fingerprint = setting.fingerprint(run.identity)
                yield File(closing, partial(_check_manifest, closing, images, fingerprint), images)
            row = run.paths.row(setting.slug)
            # `MeasureWorker.do` writes row and manifest together
            made_from = (*features, *reference, *([] if prefix else [closing]))
            yield File(row, partial(sealed_json, row), made_from, not prefix or row in listed)
        measured = [setting.slug for setting in settings if run.paths.row(setting.slug) in listed]
        yield File(run.paths.metrics, partial(_check_metrics, run, measured))


def _check_manifest(path: str, images: Sequence[str], fingerprint: str, storage: Storage) -> Claims:
    closed = storage.read_json(path)
    if closed["fingerprint"] != fingerprint:
        raise DamagedFileError(f"{storage.url}/{path}: it has fingerprint {closed['fingerprint']}")
    claims = {f"{path.rpartition('/')[0]}/{name}": entry["digest"] for name, entry in closed["files"].items()}
    if set(claims) != set(images):
        raise DamagedFileError(f"{storage.url}/{path}: it does not list exactly the planned files")
    return claims


def _check_metrics(run: Run, measured: Sequence[str], storage: Storage) -> Claims:
    """Check metrics.json. It has the rows of the grid in order. Until all are measured, it may be of an earlier grid.

    That of another measurement always may.
    """
    grid, extractor = [setting.slug for setting in run.settings], run.measurement.extractor.name

    def parse(data: bytes) -> Claims:
        rows = {read_row(row)[0].slug: row for row in json.loads(data)}
        expected = grid if not run.measurement.path and set(grid) <= set(measured) else [*rows]
        if [*rows] != expected or not rows.keys() <= set(measured):
            raise ValueError("it does not hold the rows that were measured")
        for slug, row in rows.items():
            written = storage.read_json(run.paths.row(slug))
            if without_false_is(written, extractor) != without_false_is(row, extractor):
                raise ValueError(f"it has another row of {slug}")
        return {}

    return storage.read_checked(run.paths.metrics, parse)
