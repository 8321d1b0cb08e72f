"""Interpolate: lines and a grid of images between x_T, by slerp, with two controls (figure 6 of the DDIM paper)."""

import math
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import torch
from torch import Tensor

from pipeline.cluster.task import Rest, Task
from pipeline.diffusion.noise import slerp
from pipeline.evaluation.extractors import ExtractorInfo, extractor_info, make_extractor
from pipeline.evaluation.features import extract
from pipeline.evaluation.smoothness import feature_steps, lerp
from pipeline.images.pixels import to_uint8
from pipeline.reporting import interpolation
from pipeline.storage.store import Storage
from pipeline.sweep.drawn import read_drawn, write_drawn
from pipeline.sweep.grid import Row, Setting
from pipeline.sweep.layout import folder
from pipeline.sweep.study import Study
from pipeline.work.between import CORNERS, InterpolateConfig
from pipeline.work.draw import DrawArguments, DrawWorker
from pipeline.work.kind import Claims, File, StudyWork
from pipeline.work.reconstruct import encoded, saved_encodings


@dataclass(frozen=True)
class Lines:
    """Lines that are drawn in one call, or the grid."""

    name: str
    """The file's name without its ending."""
    seeds: tuple[int, ...]
    """The two ends of each line, or the four corners."""
    x_T: Tensor | None
    """The encodings of these, (N, C, H, W); None for the noise of the seeds."""


@dataclass(frozen=True)
class InterpolateArguments:
    """The arguments of an `InterpolateWorker`."""

    drawing: DrawArguments
    setting: Setting
    count: int
    extractor: ExtractorInfo


class InterpolateWorker:
    """Draws lines and grids."""

    def __init__(self, device: str, arguments: InterpolateArguments) -> None:
        """Load the model and the extractor."""
        self.arguments, self.drawer = arguments, DrawWorker(device, arguments.drawing)
        self.extractor = make_extractor(arguments.extractor, device)
        self.at = torch.linspace(0, 1, arguments.count, dtype=torch.float64).tolist()

    def do(self, lines: Lines) -> Rest[int]:
        """Draw lines or the grid; the rest is to commit their file."""
        seeds = torch.tensor(lines.seeds)
        ends = self.drawer.walker.x_T(seeds) if lines.x_T is None else lines.x_T.to(self.drawer.device)
        if lines.name == "grid":
            sides = [[slerp(ends[i : i + 1], ends[i + 1 : i + 2], a) for a in self.at] for i in (0, 2)]
            x_T = torch.cat([slerp(top, low, b) for b in self.at for top, low in zip(*sides, strict=True)])
            values = {"down": self.at, "right": self.at}
            rows = [(b, a) for b in values["down"] for a in values["right"]]
            columns = {name: pa.array(column) for name, column in zip(values, zip(*rows, strict=True), strict=True)}
            return Rest(partial(self.commit, lines, columns, to_uint8(self.draw(seeds[:1], x_T[None])[0])))
        one, other = ends[0::2], ends[1::2]
        paths = {name: torch.stack([way(one, other, a) for a in self.at], 1) for name, way in PATHS.items()}
        drawn = {name: self.draw(seeds[0::2], x_T) for name, x_T in paths.items()}
        norms = {name: x_T.flatten(2).norm(dim=2) for name, x_T in paths.items()}
        first, last = drawn["slerp"][:, 0], drawn["slerp"][:, -1]
        drawn["blend"] = torch.stack([lerp(first, last, a) for a in self.at], 1)
        norms["blend"] = torch.full_like(norms["slerp"], torch.nan)  # it has no x_T
        pixels = to_uint8(torch.cat([*drawn.values()]).flatten(0, 1))
        features, _ = extract(self.extractor, pixels, self.drawer.device, self.arguments.drawing.batch_size)
        steps = feature_steps(features.unflatten(0, (-1, len(self.at))))
        columns = self._columns(lines, [*drawn], steps, torch.cat([*norms.values()]))
        return Rest(partial(self.commit, lines, columns, pixels))

    def draw(self, seeds: Tensor, x_T: Tensor) -> Tensor:
        """Return the images of x_T, (N, pictures, C, H, W), as floats; all of a line have the label of its one seed."""
        walk, count = self.drawer.walk_of(self.arguments.setting), x_T.shape[1]
        images = self.drawer.walker.draw(walk, seeds.repeat_interleave(count), x_T.flatten(0, 1))
        return images.view(-1, count, *images.shape[1:])

    def commit(self, lines: Lines, columns: dict[str, pa.Array], pixels: Tensor) -> int:
        """Commit a file of pictures; return their number."""
        images = pixels.permute(0, 2, 3, 1).cpu().numpy()
        fingerprint = self.arguments.setting.fingerprint(self.arguments.drawing.identity)
        metadata = {
            "fingerprint": fingerprint,
            "seeds": list(lines.seeds),
            "setting": self.arguments.setting.describe(),
        }
        write_drawn(self.drawer.storage, path_of(self.arguments.setting, lines), columns, {"image": images}, metadata)
        return len(images)

    def _columns(self, lines: Lines, names: list[str], steps: Tensor, norms: Tensor) -> dict[str, pa.Array]:
        """Return the columns of a file of lines, row by row: path, then line, then picture."""
        pairs = [*zip(lines.seeds[0::2], lines.seeds[1::2], strict=True)]
        rows = [(name, *pair, a) for name in names for pair in pairs for a in self.at]
        path, start, end, at = zip(*rows, strict=True)
        before = torch.cat([torch.full((len(steps), 1), torch.nan), steps], dim=1).flatten().numpy()
        scale = norms.flatten().double().cpu().numpy() / math.prod(self.drawer.model.info.latent_shape) ** 0.5
        return {
            "path": pa.array(path),
            "seed": pa.array(start, pa.int64()),
            "to_seed": pa.array(end, pa.int64()),
            "position": pa.array(at),
            "step": pa.array(before, from_pandas=True),  # nan becomes null
            "x_T_norm": pa.array(scale, from_pandas=True),
        }


PATHS = {"slerp": slerp, "lerp": lerp}
"""The ways from one x_T to another. The third path, "blend", mixes the pixels of the ends."""


class Interpolate(StudyWork[InterpolateArguments, Lines, int]):
    """Draws the lines and the grid."""

    name = "drawing"
    on_gpu = True
    worker = InterpolateWorker
    config = InterpolateConfig

    def __init__(self, study: Study, animated: bool = False) -> None:
        super().__init__(study)
        self.animated = animated
        """Whether the report has an animation."""

    @property
    def of(self) -> InterpolateConfig:
        """The config."""
        assert isinstance(self.study.config, InterpolateConfig)
        return self.study.config

    @property
    def arguments(self) -> InterpolateArguments:
        """The arguments for the study's model, setting and extractor."""
        config, (setting,) = self.of, self.study.settings
        extractor = extractor_info(config.extractor, config.extractor_weights)
        return InterpolateArguments(DrawArguments.of_study(self.study), setting, config.count, extractor)

    def planned(self) -> list[Task[Lines]]:
        """Return one task for each batch of lines, and one for the grid."""
        config, (setting,) = self.of, self.study.settings
        at_once = 2 * max(1, config.batch_size // config.count)  # seeds of the lines whose pictures fill a batch
        groups = [config.seeds[i : i + at_once] for i in range(0, len(config.seeds), at_once)]
        named = [("grid", config.seeds[:CORNERS]), *((f"lines-{i:06d}", group) for i, group in enumerate(groups))]
        encodings, options = config.encodings, self.study.storage_options
        source = None if encodings is None else saved_encodings(encodings, options)
        tasks = []
        for name, seeds in named:
            images = config.count**2 if name == "grid" else len(seeds) // 2 * config.count * 3
            x_T = None if source is None else encoded(source, setting, seeds)
            tasks.append(Task(Lines(name, seeds, x_T), name, setting.slug, images, images))
        return tasks

    def file(self, item: Lines) -> File:
        """Return the file of a task."""
        (setting,) = self.study.settings
        path = path_of(setting, item)
        return File(path, partial(_check, path, setting.fingerprint(self.study.identity)))

    def rows(self) -> list[Row]:
        """Return the numbers of the paths."""
        (setting,) = self.study.settings
        return interpolation.numbers(setting, self._read(self.planned()[1:]))

    def publish(self) -> str:
        """Write metrics.json and report/, and return the table."""
        (setting,) = self.study.settings
        first, *others = self.planned()
        return interpolation.publish(self.study, setting, self._read([first]), self._read(others), self.animated)

    def _read(self, tasks: list[Task[Lines]]) -> list[Row]:
        (setting,) = self.study.settings
        storage, fingerprint = self.study.storage, setting.fingerprint(self.study.identity)
        return [row for task in tasks for row in read_drawn(storage, path_of(setting, task.item), fingerprint)[0]]


def path_of(setting: Setting, lines: Lines) -> str:
    """Return the path of a file of pictures."""
    return f"{folder(InterpolateConfig.folder, setting.slug)}/{lines.name}.parquet"


def _check(path: str, fingerprint: str, storage: Storage) -> Claims:
    read_drawn(storage, path, fingerprint)
    return {}
