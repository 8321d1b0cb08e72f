"""Match: how far each setting's images are from those of the same seeds at its method's largest S."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import torch

from pipeline.cluster.task import Task
from pipeline.evaluation.consistency import consistency
from pipeline.evaluation.measurement import Measurement
from pipeline.sweep.grid import Setting
from pipeline.sweep.layout import Paths
from pipeline.sweep.measured import largest_of, read_consistency, read_setting
from pipeline.sweep.shards import plan
from pipeline.work.kind import File, Place, RunWork, sealed_json

Pair = tuple[Setting, Setting]
"""A setting, and that of the same method with the largest S."""


@dataclass(frozen=True)
class ConsistencyArguments:
    """The arguments of a `ConsistencyWorker`."""

    output: Place
    measurement: Measurement
    num_images: int
    shard_size: int


class ConsistencyWorker:
    """Compares the features of settings."""

    def __init__(self, device: str, arguments: ConsistencyArguments) -> None:
        torch.set_num_threads(1)
        self.arguments = arguments
        self.storage = arguments.output.open()

    def do(self, pair: Pair) -> None:
        """Write the consistency of the first setting with the second. Raises DamagedFileError, see `read_setting`."""
        of = self.arguments
        setting, largest = pair
        own, largest_own = (
            read_setting(self.storage, of.measurement, plan(one, of.num_images, of.shard_size))[1].features
            for one in pair
        )
        content = {"against": largest.slug, "num_images": of.num_images, **asdict(consistency(own, largest_own))}
        self.storage.write_json(Paths(of.measurement.prefix).consistency(setting.slug), content)


class Consistency(RunWork[ConsistencyArguments, Pair, None]):
    """Compares every setting of a run with its method's largest S, where there are several."""

    name = "consistency"
    on_gpu = False
    worker = ConsistencyWorker

    @property
    def arguments(self) -> ConsistencyArguments:
        """The arguments for the run and its measurement."""
        config = self.run.config
        return ConsistencyArguments(Place.of(self.run), self.run.measurement, config.num_images, config.shard_size)

    def tasks(self) -> list[Task[Pair]]:
        """Return one task per setting that was not yet compared with what is now its method's largest S."""
        run, images = self.run, self.run.config.num_images
        compared = read_consistency(run.storage, run.paths, run.settings)
        return [
            Task(pair, pair[0].slug, None, images, images)
            for pair in largest_of(run.settings).items()
            if pair[0] not in compared
        ]

    def files(self, settings: Sequence[Setting], listed: Mapping[str, int]) -> Iterable[File]:
        """Return the files of the settings that have one: earlier releases wrote none."""
        run, config = self.run, self.run.config
        for setting in settings:
            path = run.paths.consistency(setting.slug)
            if path in listed:
                shards = plan(setting, config.num_images, config.shard_size)
                features = tuple(run.measurement.prefix + shard.path("features") for shard in shards)
                yield File(path, partial(sealed_json, path), features, needed=False)
