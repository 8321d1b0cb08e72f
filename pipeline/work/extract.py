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
from pipeline.evaluation.reference_images import extract_part, make_reference
from pipeline.images.base import Images
from pipeline.images.registry import open_images
from pipeline.storage.store import Storage
from pipeline.sweep.grid import Setting
from pipeline.sweep.images import read_images
from pipeline.sweep.layout import Paths
from pipeline.sweep.measured import missing_reference, read_planned, reference_files
from pipeline.sweep.shards import Shard, Shards, pending, plan_all
from pipeline.work.kind import Claims, File, Place, RunWork

THE_REFERENCE = "the reference"
Source = Shard | ReferenceShard | str
"""A shard of a setting, one of the reference, or `THE_REFERENCE`, which is all of it in one file."""


@dataclass(frozen=True)
class ExtractArguments:
    """The arguments of an `ExtractWorker`."""

    output: Place
    measurement: Measurement
    batch_size: int
    """Images per call of the extractor."""
    identity: dict[str, Any]
    """The identity of the run's images."""
    form: Form
    """How the extractor runs: as the network that drew the images."""


class ExtractWorker:
    """Extracts the features of image files and of the reference."""

    def __init__(self, device: str, arguments: ExtractArguments) -> None:
        """Load the extractor."""
        if device == "cpu":
            torch.set_num_threads(1)
        self.device = device
        self.arguments = arguments
        self.storage = arguments.output.open()
        self.extractor = make_extractor(arguments.measurement.extractor, device, arguments.form)

    @cached_property
    def real(self) -> Images:
        """The images of the reference, if it has any: a large folder is listed once."""
        return open_images(self.arguments.measurement.reference.spec)

    def do(self, source: Source) -> Rest[int]:
        """Extract the features of one file; the rest commits them and returns their number."""
        set_tf32(False)  # another work of this process has its own
        return Rest(self.of_setting(source) if isinstance(source, Shard) else self.of_reference(source))

    def of_setting(self, shard: Shard) -> Callable[[], int]:
        """Extract the features of an image file, and return what commits them."""
        measurement, size = self.arguments.measurement, self.arguments.batch_size
        pixels, info = read_images(self.storage, shard, shard.setting.fingerprint(self.arguments.identity))
        images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        features, logits = feed(self.extractor, images.split(size), self.device)
        metadata = asdict(info) | {"fingerprint": shard.setting.fingerprint(measurement.identity)}
        path = measurement.prefix + shard.path("features")
        write = partial(write_features, self.storage, path, shard.first, features, logits, metadata)
        return partial(_commit, write, shard.rows)

    def of_reference(self, shard: ReferenceShard | str) -> Callable[[], int]:
        """Extract the features of a shard of the reference, or of all of it, and return what commits them."""
        measurement, paths = self.arguments.measurement, Paths(self.arguments.measurement.prefix)
        info = measurement.reference
        how = self.extractor, measurement.extractor, self.device, self.arguments.batch_size
        if isinstance(shard, str):
            reference = make_reference(info, *how)
            write = partial(write_reference, self.storage, paths.reference, reference)
            return partial(_commit, write, len(reference.mu if reference.features is None else reference.features))
        part = extract_part(info, self.real, shard, *how)
        path = paths.reference_shard(shard.first, shard.end)
        return partial(_commit, partial(write_part, self.storage, path, shard, info.identity, part), len(part.features))


def _commit(write: Callable[[], None], rows: int) -> int:
    write()
    return rows


class Extract(RunWork[ExtractArguments, Source, int]):
    """Extracts the features of a run for one measurement."""

    name = "features"
    on_gpu = True
    worker = ExtractWorker

    @property
    def arguments(self) -> ExtractArguments:
        """The arguments for the run and its measurement."""
        run, config = self.run, self.run.config
        return ExtractArguments(Place.of(run), run.measurement, config.batch_size, run.identity, config.form)

    def missing(self) -> Shards:
        """Return the shards without a feature file."""
        return pending(self.run.storage, "features", self.run.shards(), self.run.measurement.prefix)

    def reference_tasks(self) -> list[Task[Source]]:
        """Return the tasks of what is missing of the reference."""
        missing = missing_reference(self.run.storage, self.run.measurement)
        return [self.task(shard or THE_REFERENCE) for shard in missing]

    def tasks(self) -> Sequence[Task[Source]]:
        """Return one task per shard without a feature file, of the settings and of the reference."""
        return Joined([Tasks(self.missing(), self.task), self.reference_tasks()])

    def task(self, source: Source) -> Task[Source]:
        """Return the task of a shard or of the reference."""
        if isinstance(source, Shard):
            return Task(source, source.full_name, source.setting.slug, source.rows, source.rows)
        if isinstance(source, str):
            return Task(source, source, None, 0, self.run.config.num_images)
        name = f"images {source.first} to {source.end - 1} of {THE_REFERENCE}"
        return Task(source, name, None, 0, source.end - source.first)

    def files(self, settings: Sequence[Setting], listed: Mapping[str, int]) -> Iterable[File]:
        """Return the feature files and the reference.

        A measurement other than the sweep's own may lack settings that were added later, so these are not needed.
        """
        run, prefix = self.run, self.run.measurement.prefix
        for path, part in reference_files(run.measurement, listed).items():
            yield File(path, partial(_check_reference, path, part, run.measurement.reference.identity))
        for shard in plan_all(settings, run.config.num_images, run.config.shard_size):
            path = prefix + shard.path("features")
            fingerprint = shard.setting.fingerprint(run.measurement.identity)
            needed = not prefix or run.paths.row(shard.setting.slug) in listed
            yield File(path, partial(_check_features, path, shard, fingerprint), (shard.path("images"),), needed)


def _check_features(path: str, shard: Shard, fingerprint: str, storage: Storage) -> Claims:
    return {shard.path("images"): read_planned(storage, path, shard, fingerprint).metadata["digest"]}


def _check_reference(path: str, shard: ReferenceShard | None, identity: str, storage: Storage) -> Claims:
    if shard is None:
        read_reference(storage, path)
    else:
        read_part(storage, path, shard, identity)
    return {}
