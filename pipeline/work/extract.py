"""Extract: each image file becomes a feature file, and so does each shard of the reference, once per measurement."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from pipeline.cluster.task import Joined, Rest, Task, Tasks
from pipeline.device import Form, set_tf32
from pipeline.evaluation.extractors import make_extractor
from pipeline.evaluation.features import feed, write_features
from pipeline.evaluation.measurement import Measurement
from pipeline.evaluation.reference import ReferenceShard, read_part, read_reference, write_part, write_reference
from pipeline.evaluation.reference_images import extract_parts, make_references
from pipeline.images.base import Images
from pipeline.images.registry import open_images
from pipeline.storage.store import Storage
from pipeline.sweep.grid import Setting
from pipeline.sweep.images import read_images
from pipeline.sweep.layout import Paths
from pipeline.sweep.measured import missing_reference, read_planned, reference_files
from pipeline.sweep.shards import Shard, Shards, pending, plan_all, united
from pipeline.work.kind import Claims, File, Place, RunWork

THE_REFERENCE = "the reference"
Source = Shard | ReferenceShard | str
"""A shard of a setting, one of the reference, or `THE_REFERENCE`, which is all of it in one file."""
Lacking = tuple[Source, tuple[str, ...]]
"""A source, and the paths of the measurements that lack its features."""


@dataclass(frozen=True)
class ExtractArguments:
    """The arguments of an `ExtractWorker`."""

    output: Place
    measurements: dict[str, Measurement]
    """Path → measurement, of those that lack features. All have one reference, each in its own features."""
    batch_size: int
    """Images per call of an extractor."""
    identity: dict[str, Any]
    """The identity of the run's images."""
    form: Form
    """How the extractors run: as the network that drew the images."""


class ExtractWorker:
    """Extracts the features of image files and of the reference: an image is decoded once, for all extractors."""

    def __init__(self, device: str, arguments: ExtractArguments) -> None:
        """Load the extractors."""
        if device == "cpu":
            torch.set_num_threads(1)
        self.device = device
        self.arguments = arguments
        self.storage = arguments.output.open()
        self.extractors = {
            path: make_extractor(measurement.extractor, device, arguments.form)
            for path, measurement in arguments.measurements.items()
        }

    @cached_property
    def real(self) -> Images:
        """The images of the reference, if it has any: a large folder is listed once."""
        return open_images(next(iter(self.arguments.measurements.values())).reference.spec)

    def do(self, item: Lacking) -> Rest[int]:
        """Extract the features of one source; the rest commits them and returns their number."""
        set_tf32(False)  # another work of this process has its own
        source, paths = item
        return Rest(self.of_setting(source, paths) if isinstance(source, Shard) else self.of_reference(source, paths))

    def of_setting(self, shard: Shard, paths: Sequence[str]) -> Callable[[], int]:
        """Extract the features of an image file, and return what commits them."""
        pixels, info = read_images(self.storage, shard, shard.setting.fingerprint(self.arguments.identity))
        images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        fed = feed([self.extractors[path] for path in paths], images.split(self.arguments.batch_size), self.device)
        writes = []
        for path, (features, logits) in zip(paths, fed, strict=True):
            measurement = self.arguments.measurements[path]
            metadata = asdict(info) | {"fingerprint": shard.setting.fingerprint(measurement.identity)}
            file = measurement.prefix + shard.path("features")
            writes.append(partial(write_features, self.storage, file, shard.first, features, logits, metadata))
        return partial(_commit, writes, shard.rows)

    def of_reference(self, shard: ReferenceShard | str, paths: Sequence[str]) -> Callable[[], int]:
        """Extract the features of a shard of the reference, or of all of it, and return what commits them."""
        measurements = [self.arguments.measurements[path] for path in paths]
        info, places = measurements[0].reference, [Paths(measurement.prefix) for measurement in measurements]
        by = [(self.extractors[path], self.arguments.measurements[path].extractor) for path in paths]
        how = by, self.device, self.arguments.batch_size
        if isinstance(shard, str):
            made = make_references(info, *how)
            writes = [
                partial(write_reference, self.storage, place.reference, reference)
                for place, reference in zip(places, made, strict=True)
            ]
            return partial(_commit, writes, len(made[0].mu if made[0].features is None else made[0].features))
        parts = extract_parts(info, self.real, shard, *how)
        writes = [
            partial(write_part, self.storage, place.reference_shard(shard.first, shard.end), shard, info.identity, part)
            for place, part in zip(places, parts, strict=True)
        ]
        return partial(_commit, writes, shard.end - shard.first)


def _commit(writes: Sequence[Callable[[], None]], rows: int) -> int:
    for write in writes:
        write()
    return rows


class Extract(RunWork[ExtractArguments, Lacking, int]):
    """Extracts the features of a run, for its measurement and for those that are done with it."""

    name = "features"
    on_gpu = True
    worker = ExtractWorker

    @cached_property
    def lacking(self) -> dict[str, Shards]:
        """Path of a measurement → the shards without its features, as they were listed."""
        return {
            one.measurement.path: pending(one.storage, "features", one.shards(), one.measurement.prefix)
            for one in self.run.measured_together
        }

    @cached_property
    def lacking_reference(self) -> dict[str, list[ReferenceShard | str]]:
        """Path of a measurement → what is missing of the reference in its features, as it was listed."""
        return {
            one.measurement.path: [shard or THE_REFERENCE for shard in missing_reference(one.storage, one.measurement)]
            for one in self.run.measured_together
        }

    @property
    def arguments(self) -> ExtractArguments:
        """The arguments for the run and its measurements."""
        run, config = self.run, self.run.config
        measurements = {
            one.measurement.path: one.measurement
            for one in run.measured_together
            if self.lacking[one.measurement.path] or self.lacking_reference[one.measurement.path]
        }
        return ExtractArguments(Place.of(run), measurements, config.batch_size, run.identity, config.form)

    def missing(self) -> Shards:
        """Return the shards without a feature file of one of the measurements."""
        return united([*self.lacking.values()])

    def reference_tasks(self) -> list[Task[Lacking]]:
        """Return the tasks of what is missing of the reference."""
        sources = dict.fromkeys(source for missing in self.lacking_reference.values() for source in missing)
        return [self.task(source) for source in sources]

    def tasks(self) -> Sequence[Task[Lacking]]:
        """Return one task per shard without a feature file, of the settings and of the reference."""
        return Joined([Tasks(self.missing(), self.task), self.reference_tasks()])

    def task(self, source: Source) -> Task[Lacking]:
        """Return the task of a shard or of the reference, for the measurements that lack its features."""
        missing: Mapping[str, Sequence[Source]] = self.lacking if isinstance(source, Shard) else self.lacking_reference
        item = source, tuple(path for path, sources in missing.items() if source in sources)
        if isinstance(source, Shard):
            return Task(item, source.full_name, source.setting.slug, source.rows, source.rows)
        if isinstance(source, str):
            return Task(item, source, None, 0, self.run.config.num_images)
        name = f"images {source.first} to {source.end - 1} of {THE_REFERENCE}"
        return Task(item, name, None, 0, source.end - source.first)

    def files(self, settings: Sequence[Setting], listed: Mapping[str, int]) -> Iterable[File]:
        """Return the feature files and the reference.

        A measurement other than the sweep's own may lack settings that were added later, so these are not needed.
        """
        run, prefix = self.run, self.run.measurement.prefix
        for path, part in reference_files(run.measurement, listed).items():
            yield File(path, partial(check_reference, path, part, run.measurement.reference.identity))
        for shard in plan_all(settings, run.config.num_images, run.config.shard_size):
            path = prefix + shard.path("features")
            fingerprint = shard.setting.fingerprint(run.measurement.identity)
            needed = not prefix or run.paths.row(shard.setting.slug) in listed
            yield File(path, partial(_check_features, path, shard, fingerprint), (shard.path("images"),), needed)


def _check_features(path: str, shard: Shard, fingerprint: str, storage: Storage) -> Claims:
    return {shard.path("images"): read_planned(storage, path, shard, fingerprint).metadata["digest"]}


def check_reference(path: str, shard: ReferenceShard | None, identity: str, storage: Storage) -> Claims:
    """Check a file of a reference, which makes no claims. Raises DamagedFileError."""
    if shard is None:
        read_reference(storage, path)
    else:
        read_part(storage, path, shard, identity)
    return {}
