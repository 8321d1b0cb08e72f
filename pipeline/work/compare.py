"""Compare: each setting of a run with the same setting of a baseline."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from pipeline.cluster.task import Task, Work
from pipeline.evaluation.measurement import Measurement
from pipeline.evaluation.metrics import measure
from pipeline.evaluation.reference import Reference
from pipeline.regression.baseline import Baseline, image_digests, open_baseline, read_entry, speed
from pipeline.regression.compared import compared, equal_features
from pipeline.regression.comparison import Comparison
from pipeline.sweep.grid import Setting
from pipeline.sweep.images import read_images
from pipeline.sweep.layout import Paths
from pipeline.sweep.measured import measured_reference, read_setting
from pipeline.sweep.run import Run
from pipeline.sweep.shards import plan
from pipeline.work.kind import Place


@dataclass(frozen=True)
class CompareArguments:
    """The arguments of a `CompareWorker`."""

    output: Place
    measurement: Measurement
    baseline: str
    """URL of the baseline."""
    num_images: int
    shard_size: int
    identity: dict[str, Any]
    """The identity of the run's images."""


class CompareWorker:
    """Compares settings of a run with those of a baseline."""

    def __init__(self, device: str, arguments: CompareArguments) -> None:
        torch.set_num_threads(1)
        self.arguments = arguments
        self.paths = Paths(arguments.measurement.prefix)
        self.storage = arguments.output.open()
        self.baseline = open_baseline(arguments.baseline, arguments.output.storage_options)

    @cached_property
    def reference(self) -> Reference:
        """The reference as tonight's run extracted it; `write_baseline` refuses those without features."""
        return measured_reference(self.storage, self.arguments.measurement)

    def do(self, setting: Setting) -> Comparison:
        """Compare one setting. Raises DamagedFileError."""
        arguments = self.arguments
        entry = self.baseline.entries[setting.slug]
        theirs, images = read_entry(self.baseline.storage, entry)
        shards = plan(setting, arguments.num_images, arguments.shard_size)
        parts, ours = read_setting(self.storage, arguments.measurement, shards)
        differing = []
        for shard, part, digest in zip(shards, parts, entry.digests, strict=True):
            if part.metadata["digest"] != digest:
                pixels, _ = read_images(self.storage, shard, setting.fingerprint(arguments.identity))
                pairs = zip(image_digests(pixels), images[shard.first : shard.end], strict=True)
                differing += [seed for seed, (own, its) in enumerate(pairs, shard.first) if own != its]
        equal = equal_features(ours, theirs)
        of_baseline = measure(theirs.features, theirs.logits, self.reference)
        of_run = of_baseline if equal else measure(ours.features, ours.logits, self.reference)
        return Comparison(
            compared(of_run, of_baseline, in_pairs=True),
            setting,
            self.storage.read_json(self.paths.row(setting.slug)),
            entry.row,
            differing,
            equal,
            (entry.speed, speed(parts)),
        )


class Compare(Work[CompareArguments, Setting, Comparison]):
    """Compares all settings of a run. The results go to the driver, which writes a night's pages."""

    name = "comparing"
    on_gpu = False
    worker = CompareWorker

    def __init__(self, run: Run, baseline: Baseline) -> None:
        self.run, self.baseline = run, baseline

    @property
    def arguments(self) -> CompareArguments:
        """The arguments for the run and the baseline."""
        run, config = self.run, self.run.config
        shape = config.num_images, config.shard_size
        return CompareArguments(Place.of(run), run.measurement, self.baseline.storage.url, *shape, run.identity)

    def tasks(self) -> list[Task[Setting]]:
        """Return one task per setting."""
        images = self.run.config.num_images
        return [Task(setting, setting.slug, None, images, images) for setting in self.run.settings]
