"""Extract: each image file becomes a feature file; the reference is extracted once per measurement."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.cluster.task import Joined, Rest, Task, Tasks
from pipeline.device import Form, set_tf32
from pipeline.evaluation.extractors import make_extractor
from pipeline.evaluation.features import extract, write_features
from pipeline.evaluation.measurement import Measurement
from pipeline.evaluation.reference import Reference, make_reference, read_reference, write_reference
from pipeline.storage.store import Storage
from pipeline.sweep.grid import Setting
from pipeline.sweep.images import read_images
from pipeline.sweep.layout import Paths
from pipeline.sweep.measured import read_planned
from pipeline.sweep.shards import Shard, Shards, pending, plan_all
from pipeline.work.kind import Claims, File, Output, RunWork

THE_REFERENCE = "the reference"
Source = Shard | str
"""A shard, or `THE_REFERENCE`."""


@dataclass(frozen=True)
class ExtractArguments:
    """The arguments of an `ExtractWorker`."""

    output: Output
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

    def do(self, source: Source) -> Rest[int]:
        """Extract the features of an image file or of the reference; the rest commits them and returns their number."""
        set_tf32(False)  # another work of this process has its own
        measurement, size = self.arguments.measurement, self.arguments.batch_size
        if isinstance(source, str):
            described, extractor = measurement.reference, measurement.extractor
            reference = make_reference(described, self.extractor, extractor, self.device, size)
            return Rest(partial(self.commit_reference, reference))
        pixels, info = read_images(self.storage, source, source.setting.fingerprint(self.arguments.identity))
        images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        features, logits = extract(self.extractor, images, self.device, size)
        metadata = asdict(info) | {"fingerprint": source.setting.fingerprint(measurement.identity)}
        path = measurement.prefix + source.path("features")
        return Rest(partial(self.commit, path, source, features, logits, metadata))

    def commit(self, path: str, shard: Shard, features: Tensor, logits: Tensor | None, metadata: dict[str, Any]) -> int:
        """Commit the features of an image file."""
        write_features(self.storage, path, shard.first, features, logits, metadata)
        return shard.rows

    def commit_reference(self, reference: Reference) -> int:
        """Commit the reference."""
        write_reference(self.storage, Paths(self.arguments.measurement.prefix).reference, reference)
        return len(reference.mu) if reference.features is None else len(reference.features)


class Extract(RunWork[ExtractArguments, Source, int]):
    """Extracts the features of a run for one measurement."""

    name = "features"
    on_gpu = True
    worker = ExtractWorker

    @property
    def arguments(self) -> ExtractArguments:
        """The arguments for the run and its measurement."""
        run, config = self.run, self.run.config
        return ExtractArguments(Output.of(run), run.measurement, config.batch_size, run.identity, config.form)

    def missing(self) -> Shards:
        """Return the shards without a feature file."""
        return pending(self.run.storage, "features", self.run.shards(), self.run.measurement.prefix)

    def lacks_reference(self) -> bool:
        """Return whether the reference is missing."""
        folder, _, name = self.run.paths.reference.rpartition("/")
        return not self.run.storage.ls(folder).get(name)

    def tasks(self) -> Sequence[Task[Source]]:
        """Return one task per shard without a feature file, and one for the reference if it is missing."""
        reference = [self.task(THE_REFERENCE)] if self.lacks_reference() else []
        return Joined([Tasks(self.missing(), self.task), reference])

    def task(self, source: Source) -> Task[Source]:
        """Return the task of a shard or of the reference."""
        if isinstance(source, str):
            return Task(source, source, None, 0, self.run.config.num_images)
        return Task(source, source.full_name, source.setting.slug, source.rows, source.rows)

    def files(self, settings: Sequence[Setting], found: Mapping[str, int]) -> Iterable[File]:
        """Return the feature files and the reference.

        A measurement other than the sweep's own may lack settings that were added later, so these are not needed.
        """
        run, prefix = self.run, self.run.measurement.prefix
        yield File(run.paths.reference, partial(_check_reference, run.paths.reference))
        for shard in plan_all(settings, run.config.num_images, run.config.shard_size):
            path = prefix + shard.path("features")
            fingerprint = shard.setting.fingerprint(run.measurement.identity)
            needed = not prefix or run.paths.row(shard.setting.slug) in found
            yield File(path, partial(_check_features, path, shard, fingerprint), (shard.path("images"),), needed)


def _check_features(path: str, shard: Shard, fingerprint: str, storage: Storage) -> Claims:
    return {shard.path("images"): read_planned(storage, path, shard, fingerprint).metadata["digest"]}


def _check_reference(path: str, storage: Storage) -> Claims:
    read_reference(storage, path)
    return {}
