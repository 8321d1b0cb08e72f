"""The worker of a tuning: walks the teacher, scores and refines settings, and draws, measures and shows the proof's."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from pipeline.evaluation.features import as_column, as_tensor, extract, write_features
from pipeline.evaluation.measurement import Measurement
from pipeline.evaluation.metrics import measure
from pipeline.evaluation.metrics.fid import fid_value
from pipeline.evaluation.reference import Reference, ReferenceShard
from pipeline.evaluation.uncertainty import Measured
from pipeline.images.pixels import to_uint8
from pipeline.storage.sealed import fingerprint
from pipeline.storage.store import Storage
from pipeline.sweep.drawn import write_drawn
from pipeline.sweep.grid import Setting
from pipeline.sweep.measured import joined, measured_reference, read_planned
from pipeline.sweep.shards import plan
from pipeline.tuning.candidates import ends_at_first, listed
from pipeline.tuning.grids import Times
from pipeline.tuning.paths import late_starts, single_steps
from pipeline.tuning.refine import refine
from pipeline.tuning.tasks import (
    FIRST_SEED,
    FOLDER,
    MOVES,
    SHARD_SIZE,
    Draw,
    MeasureOne,
    Refine,
    Score,
    Scores,
    Show,
    Teach,
    teaching,
)
from pipeline.work.draw import DrawArguments, DrawWorker
from pipeline.work.extract import ExtractArguments, ExtractWorker


@dataclass(frozen=True)
class OfReference:
    """A task: extract a shard of the reference, or all of it; see `ExtractWorker`."""

    source: ReferenceShard | str
    path: str


Item = Teach | OfReference | Score | Refine | Draw | MeasureOne | Show


@dataclass(frozen=True)
class TuneArguments:
    """The arguments of a `TuneWorker`."""

    drawing: DrawArguments
    measurement: Measurement
    teacher: Setting


@dataclass(frozen=True)
class Taught:
    """What the teacher made of the x_T of searched seeds."""

    images: Tensor
    """float32, (N, C, H, W)."""
    features: Tensor
    """float32, (N, D)."""

    @cached_property
    def law(self) -> Reference:
        """The features' mean and covariance."""
        return Reference.of(self.features)


class TuneWorker:
    """Does the tasks of a tuning."""

    def __init__(self, device: str, arguments: TuneArguments) -> None:
        """Load the model and the extractor."""
        drawing, one = arguments.drawing, {arguments.measurement.path: arguments.measurement}
        self.arguments, self.drawer = arguments, DrawWorker(device, drawing)
        self.extraction = ExtractWorker(
            device, ExtractArguments(drawing.output, one, drawing.batch_size, drawing.identity, drawing.form)
        )
        (self.extractor,) = self.extraction.extractors.values()
        self.storage: Storage = self.drawer.storage
        self.fingerprint = fingerprint(arguments.drawing.identity)
        self.taught: dict[int, Taught] = {}
        """Number of searched seeds → what the teacher made of the first of them."""

    def do(self, item: Item) -> None:
        """Do a task and commit its file."""
        tasks: dict[type, Callable[[Any], None]] = {
            **{Teach: self.teach, OfReference: self.extract, Score: self.score, Refine: self.refine},
            **{Draw: self.draw, MeasureOne: self.measure, Show: self.show},
        }
        tasks[type(item)](item)

    def teach(self, item: Teach) -> None:
        """Walk the teacher, and keep its images, their features, and the costs of single steps between its nodes."""
        walker, walk = self.drawer.walker, self.drawer.walk_of(self.arguments.teacher)
        images, costs, starts = [], [], []
        for seeds in _searched(item.first, item.end).split(walker.batch_size):
            x_T = walker.x_T(seeds)
            steps = [*walker.steps(walk, seeds)]
            x_t = torch.stack([x_T, *(x for x, _ in steps)])
            costs.append(single_steps(walk.grid, x_t, torch.stack([pred_x0 for _, pred_x0 in steps])))
            starts.append(late_starts(x_t))
            images.append(walker.decode(steps[-1][0]).float().cpu())
        image = torch.cat(images)
        columns = {
            "seed": pa.array(range(item.first, item.end), pa.int64()),
            "image": as_column(image.flatten(1)),
            "features": as_column(self.features_of(image)),
        }
        # JSON has no infinity, which the diagonal and all below it are
        sums = {"costs": torch.stack(costs).sum(0).triu(1).tolist(), "starts": torch.stack(starts).sum(0).tolist()}
        metadata = {"fingerprint": self.fingerprint} | sums
        self.storage.write_table(f"{FOLDER}/{item.path}", pa.table(columns), metadata, row_group_size=1000)

    def extract(self, item: OfReference) -> None:
        """Extract features of the reference."""
        self.extraction.do((item.source, (self.arguments.measurement.path,))).end()

    def score(self, item: Score) -> None:
        """Score settings."""
        scores = [self.scores(setting, item.number) for setting in item.settings]
        self.write(item.path, {"settings": [setting.slug for setting in item.settings], "scores": scores})

    def refine(self, item: Refine) -> None:
        """Refine the times of a setting, of which every proposal is scored by one criterion."""
        sampler, schedule = item.setting.sampler, self.drawer.model.schedule

        def score(proposals: Sequence[Times]) -> list[float]:
            settings = [listed(sampler, times, schedule) for times in proposals]
            by = [None if one is None else self.scores(one, item.number, item.criterion) for one in settings]
            values = [None if scores is None else scores.get(item.criterion) for scores in by]
            return [float("inf") if value is None else value for value in values]

        start = tuple(float(time) for time in schedule.tau(item.setting.spacing, 1))
        at_first = ends_at_first(sampler)
        refined = refine(score, start, schedule.first, schedule.last, int(at_first), MOVES)
        self.write(item.path, {"times": list(refined.times), "score": refined.score, "tried": refined.tried})

    def scores(self, setting: Setting, number: int, criterion: str | None = None) -> Scores:
        """Return the scores of a setting on the first searched seeds, or only one of them."""
        try:
            images = self.drawer.walker.draw(self.drawer.walk_of(setting), _searched(0, number)).cpu()
        except ValueError:  # a grid of few steps may diverge: it is out
            return {}
        taught, scores = self.taught_first(number), {}
        teachable = not setting.sampler.injects_noise
        if teachable and criterion in (None, "pixels"):
            scores["pixels"] = float((images - taught.images).square().mean())
        if criterion == "pixels":
            return scores
        features = self.features_of(images)
        if teachable and criterion in (None, "features"):
            scores["features"] = float((features - taught.features).double().square().sum(1).mean())
        if teachable and criterion in (None, "law"):
            scores["law"] = fid_value(features, taught.law)
        if criterion in (None, "fid"):
            scores["fid"] = fid_value(features, self.reference)
        return scores

    def draw(self, item: Draw) -> None:
        """Draw fresh images and keep their features."""
        shard, setting = item.shard, item.shard.setting
        images = self.drawer.walker.draw(self.drawer.walk_of(setting), torch.arange(shard.first, shard.end))
        features, logits = self.layers_of(images)
        metadata = {"fingerprint": setting.fingerprint(self.arguments.drawing.identity)}
        write_features(self.storage, f"{FOLDER}/{item.path}", shard.first, features, logits, metadata)

    def measure(self, item: MeasureOne) -> None:
        """Measure a setting's fresh images by all metrics that are compared."""
        own = item.setting.fingerprint(self.arguments.drawing.identity)
        shards = plan(item.setting, item.number, SHARD_SIZE)
        parts = [read_planned(self.storage, f"{FOLDER}/{Draw(shard).path}", shard, own) for shard in shards]
        whole = joined(parts)
        measured = measure(whole.features, whole.logits, self.reference)
        self.write(item.path, {"metrics": {name: _plain(one) for name, one in measured.items()}})

    def show(self, item: Show) -> None:
        """Draw pictures."""
        pixels = self.drawer.draw_batch(item.setting, torch.arange(item.number))
        metadata = {"fingerprint": item.setting.fingerprint(self.arguments.drawing.identity)}
        seeds = {"seed": pa.array(range(item.number), pa.int64())}
        write_drawn(self.storage, f"{FOLDER}/{item.path}", seeds, {"image": pixels}, metadata)

    def write(self, path: str, content: dict[str, Any]) -> None:
        """Commit a file of plain values."""
        self.storage.write_json(f"{FOLDER}/{path}", {"fingerprint": self.fingerprint} | content)

    def features_of(self, images: Tensor) -> Tensor:
        """Return the features of images, floats, (N, C, H, W): float32, (N, D)."""
        return self.layers_of(images)[0]

    def layers_of(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return features and any logits of images, floats, (N, C, H, W)."""
        return extract(self.extractor, to_uint8(images), self.drawer.device, self.arguments.drawing.batch_size)

    @cached_property
    def reference(self) -> Reference:
        """The reference."""
        return measured_reference(self.storage, self.arguments.measurement)

    def taught_first(self, number: int) -> Taught:
        """Return what the teacher made of the first searched seeds. Raises DamagedFileError."""
        if number not in self.taught:
            parts = [read_taught(self.storage, item, self.fingerprint) for item in teaching()]
            images, features = (torch.cat([part[name] for part in parts])[:number] for name in ("image", "features"))
            self.taught[number] = Taught(images.view(-1, *self.drawer.model.info.image_shape), features)
        return self.taught[number]


def read_taught(storage: Storage, item: Teach, own: str) -> dict[str, Tensor]:
    """Return what a teacher's file holds.

    "image" and "features" are float32, a row a seed; "costs" and "starts" are sums of `single_steps` and `late_starts`,
    where the former are finite. Raises DamagedFileError.
    """

    def check(table: pa.Table, metadata: dict[str, Any]) -> dict[str, Tensor]:
        if metadata["fingerprint"] != own:
            raise ValueError(f"it has fingerprint {metadata['fingerprint']}, this study has {own}")
        sums = {name: torch.tensor(metadata[name], dtype=torch.float64) for name in ("costs", "starts")}
        return {name: as_tensor(table[name]) for name in ("image", "features")} | sums

    return storage.read_table(f"{FOLDER}/{item.path}", check)


def _searched(first: int, end: int) -> Tensor:
    return torch.arange(FIRST_SEED + first, FIRST_SEED + end)


def _plain(measured: Measured) -> dict[str, Any]:
    return {name: v.tolist() if isinstance(v, Tensor) else v for name, v in asdict(measured).items()}
