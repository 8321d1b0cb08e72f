"""Trace: x_t and pred_x0 along the walks of a few seeds, at chosen steps."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field

from pipeline import UserError
from pipeline.cluster.task import Rest, Task
from pipeline.images.pixels import Pixels, to_uint8
from pipeline.reporting import trajectory
from pipeline.storage.store import Storage
from pipeline.sweep.drawn import read_drawn, write_drawn
from pipeline.sweep.grid import Setting
from pipeline.sweep.study import GridConfig, Study, inspect, open_study
from pipeline.work.draw import DrawArguments, DrawWorker
from pipeline.work.kind import Claims, File, StudyWork


class TraceConfig(GridConfig):
    """Whose walks are shown, and at how many steps."""

    kind = "trajectory"
    folder = "trajectories"

    out: str = Field(default="runs/trajectory", description="folder or URL of the output (runs/trajectory)")
    sampler: tuple[str, ...] = Field(
        default=("ddim", "ddim:eta=1", "dpmpp_2m"), description="samplers with their options, a strip each"
    )
    steps: tuple[int, ...] = Field(default=(20,), description="values of S (20)")
    seeds: tuple[int, ...] = Field(default=(0, 1, 2, 3), description="of images (0 1 2 3)")
    columns: int = Field(default=8, ge=2, le=100, description="steps that are shown of each walk, at most (8)")


def open_trace(config: TraceConfig, storage_options: dict[str, Any] | None) -> Study:
    """Return the study of a config; writes nothing. Raises UserError, see `open_study`."""
    if not config.seeds or len(set(config.seeds)) < len(config.seeds) or min(config.seeds) < 0:
        raise UserError("--seeds: give different seeds, none below 0")
    if len(config.seeds) > config.batch_size:
        raise UserError(f"--seeds: {len(config.seeds)} do not fit into a batch of {config.batch_size}")
    more = {"seeds": list(config.seeds), "columns": config.columns}
    return open_study(config, inspect(config.model), more, storage_options)


@dataclass(frozen=True)
class TraceArguments:
    """The arguments of a `TraceWorker`."""

    drawing: DrawArguments
    seeds: tuple[int, ...]
    columns: int


class TraceWorker:
    """Walks and takes pictures on the way."""

    def __init__(self, device: str, arguments: TraceArguments) -> None:
        """Load the model."""
        self.arguments, self.drawer = arguments, DrawWorker(device, arguments.drawing)

    def do(self, setting: Setting) -> Rest[int]:
        """Walk from the x_T of all seeds; the rest is to commit the file of pictures."""
        walker, seen = self.drawer.walker, []
        walker.network.calls.clear()
        for latents in walker.steps(self.drawer.walk_of(setting), torch.tensor(self.arguments.seeds)):
            seen.append((len(walker.network.calls), *(latent.cpu() for latent in latents)))
        chosen = sorted({round(i) for i in np.linspace(0, len(seen) - 1, self.arguments.columns)})
        calls, *columns = zip(*(seen[i] for i in chosen), strict=True)
        images = {
            name: to_uint8(walker.decode(torch.stack(of_steps, dim=1).flatten(0, 1))).permute(0, 2, 3, 1).cpu().numpy()
            for name, of_steps in zip(("x_t", "pred_x0"), columns, strict=True)
        }
        return Rest(partial(self.commit, setting, calls, images))

    def commit(self, setting: Setting, calls: tuple[int, ...], images: dict[str, Pixels]) -> int:
        """Commit the pictures, seed by seed in the order of the walk; return their number."""
        seeds = self.arguments.seeds
        values = {
            "seed": pa.array([seed for seed in seeds for _ in calls], pa.int64()),
            "calls": pa.array([*calls] * len(seeds), pa.int64()),
        }
        fingerprint = setting.fingerprint(self.arguments.drawing.identity)
        metadata = {"fingerprint": fingerprint, "setting": setting.describe()}
        write_drawn(self.drawer.storage, path_of(setting), values, images, metadata)
        return len(seeds)


class Trace(StudyWork[TraceArguments, Setting, int]):
    """Traces the walks of every setting."""

    name = "drawing"
    on_gpu = True
    worker = TraceWorker
    config = TraceConfig
    has_numbers = False

    @property
    def arguments(self) -> TraceArguments:
        """The arguments for the study's model and seeds."""
        config = self.study.config
        assert isinstance(config, TraceConfig)
        return TraceArguments(DrawArguments.of_study(self.study), config.seeds, config.columns)

    def planned(self) -> list[Task[Setting]]:
        """Return one task per setting."""
        images = len(self.study.identity["seeds"])
        return [Task(setting, setting.slug, setting.slug, images, setting.nfe) for setting in self.study.settings]

    def file(self, item: Setting) -> File:
        """Return the file of a setting."""
        return File(path_of(item), partial(_check, path_of(item), item.fingerprint(self.study.identity)))

    def publish(self) -> str:
        """Write report/ and return what is in it."""
        study = self.study
        files = {
            setting: read_drawn(study.storage, path_of(setting), setting.fingerprint(study.identity))[0]
            for setting in study.settings
        }
        return trajectory.publish(study, files)


def path_of(setting: Setting) -> str:
    """Return the path of a setting's file."""
    return f"{TraceConfig.folder}/{setting.slug}.parquet"


def _check(path: str, fingerprint: str, storage: Storage) -> Claims:
    read_drawn(storage, path, fingerprint)
    return {}
