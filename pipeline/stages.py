"""The stages of a sweep, composed: check, draw, evaluate, report. Each does what is missing and nothing else."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline import RunFailedError, UserError
from pipeline.config import SweepConfig, fingerprint
from pipeline.diffusion import unet
from pipeline.dispatch import Failure
from pipeline.evaluation.extractors import DIGITS, DIGITS_SHAPE
from pipeline.evaluation.features import REFERENCE_PATH
from pipeline.evaluation.worker import FeatureWorker, metrics_path
from pipeline.executor import ActorPool, Resources
from pipeline.generation.sampler import Sampler
from pipeline.generation.shards import Shard, pending, plan
from pipeline.grid import Setting, settings
from pipeline.reporting.progress import Progress
from pipeline.storage import DamagedFileError, Storage, StorageError


class IncompleteError(RunFailedError):
    """Tasks failed for good; the text names each with its last error."""

    def __init__(self, failures: list[Failure], name: Callable[[Any], str]) -> None:
        super().__init__("\n".join(f"{name(failure.task)}: {failure.error}" for failure in failures))


OURS = {"sweep.json", "images", "features", "metrics.json", "report", "_set-aside"}
"""Names at the top of an output."""


@dataclass(frozen=True)
class Run:
    """A config with all that follows from it."""

    config: SweepConfig
    num_train_timesteps: int
    storage: Storage
    storage_options: dict[str, Any] | None
    identity: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Stands for the identity in every file."""
        return fingerprint(self.identity)

    @cached_property
    def settings(self) -> list[Setting]:
        """The grid, in the order of the table."""
        return settings(self.config, self.num_train_timesteps)

    def shards(self) -> list[Shard]:
        """Return the whole plan."""
        config = self.config
        return [shard for s in self.settings for shard in plan(s, config.num_images, config.shard_size)]

    def metrics(self) -> dict[Setting, dict[str, Any]]:
        """Return the rows of the settings that are measured."""
        rows = {}
        for setting in self.settings:
            # a damaged row is measured again
            with contextlib.suppress(DamagedFileError):
                rows[setting] = self.storage.read_json(metrics_path(setting))
        return rows


def open_run(config: SweepConfig, storage_options: dict[str, Any] | None = None) -> Run:
    """Return the run of a config; reads the model's config and the output's sweep.json, writes nothing.

    Raises:
        UserError: the model cannot be used, the grid does not fit it, or the output is another run's.

    """
    model = unet.describe(config.model)
    settings(config, model.num_train_timesteps)
    if config.extractor == DIGITS and model.image_shape != DIGITS_SHAPE:
        shape = "×".join(map(str, model.image_shape))
        raise UserError(f"--model {config.model}: it draws {shape} images, and {DIGITS} knows 1×8×8 alone")
    try:
        storage = Storage(config.out, storage_options)
        run = Run(config, model.num_train_timesteps, storage, storage_options, config.identity(model.digest))
        names = storage.names()
        saved = storage.read_json("sweep.json") if "sweep.json" in names else None
    except DamagedFileError as error:
        raise UserError(f"--out {error}: move sweep.json away, and the same command goes on from the files") from error
    except (OSError, ValueError, ImportError, StorageError) as error:
        raise UserError(f"--out {config.out}: {error}") from error
    if saved is None and (foreign := [name for name in names if name not in OURS]):
        raise UserError(f"--out {config.out} holds {foreign[0]!r} and no sweep.json: give an empty or a new folder")
    if saved is not None and saved["fingerprint"] != run.fingerprint:
        differ = [
            f"{name} {saved['identity'].get(name)} there, {value} here"
            for name, value in run.identity.items()
            if saved["identity"].get(name) != value
        ]
        raise UserError(
            f"--out {config.out} has fingerprint {saved['fingerprint']}, this sweep {run.fingerprint} "
            f"({'; '.join(differ)}): give another --out"
        )
    return run


def saved_run(out: str, storage_options: dict[str, Any] | None = None) -> Run:
    """Return the run that is in an output, without its model.

    Raises:
        UserError: there is none.
        DamagedFileError: its sweep.json is broken.

    """
    try:
        storage = Storage(out, storage_options)
        names = storage.names()
    except (OSError, ValueError, ImportError) as error:
        raise UserError(f"--out {out}: {error}") from error
    if "sweep.json" not in names:
        raise UserError(f"--out {out} holds no sweep.json: it is not the output of a sweep")
    saved = storage.read_json("sweep.json")
    config = SweepConfig.model_validate(saved["config"] | {"out": out})
    return Run(config, saved["num_train_timesteps"], storage, storage_options, saved["identity"])


def claim(run: Run) -> None:
    """Write sweep.json, the first file of a run.

    Raises:
        UserError: the output cannot be written.

    """
    content = {
        "config": run.config.model_dump(),
        "num_train_timesteps": run.num_train_timesteps,
        "fingerprint": run.fingerprint,
        "identity": run.identity,
    }
    try:
        run.storage.remove_stale_temporaries()
        run.storage.write_json("sweep.json", content)
    except (OSError, StorageError) as error:
        raise UserError(f"--out {run.config.out} cannot be written: {error}") from error


def draw(run: Run, resources: Resources, num_workers: int | None) -> None:
    """Draw the missing shards.

    Raises:
        IncompleteError: a shard failed for good; all others are drawn.

    """
    shards = pending(run.storage, "images", run.shards())
    args = {
        "out": run.config.out,
        "storage_options": run.storage_options,
        "model": run.config.model,
        "model_digest": run.identity["model"],
        "seed": run.config.seed,
        "batch_size": run.config.batch_size,
        "fingerprint": run.fingerprint,
    }
    pool = ActorPool(Sampler, args, resources, num_workers)
    try:
        stage("drawing", pool, "draw_shard", shards, lambda shard: shard.cost)
    finally:
        pool.close()


def evaluate(run: Run, resources: Resources, num_workers: int | None) -> None:
    """Extract the missing features and measure the settings that have no metrics.

    Raises:
        IncompleteError: an image file is damaged, or a setting could not be measured.

    """
    config = run.config
    args = {
        "out": config.out,
        "storage_options": run.storage_options,
        "extractor": config.extractor,
        "reference": config.reference,
        "num_images": config.num_images,
        "shard_size": config.shard_size,
        "batch_size": config.batch_size,
        "fingerprint": run.fingerprint,
    }
    pool = ActorPool(FeatureWorker, args, resources, num_workers)
    try:
        tasks: list[Shard | None] = [*pending(run.storage, "features", run.shards())]
        if not run.storage.ls("features").get(REFERENCE_PATH.removeprefix("features/")):
            tasks.append(None)
        stage("features", pool, "extract_shard", tasks, lambda shard: shard.rows if shard else 1)
        measured = run.metrics()
        unmeasured = [setting for setting in run.settings if setting not in measured]
        stage("metrics", pool, "measure", unmeasured, lambda _: config.num_images)
    finally:
        pool.close()


def stage(
    name: str,
    pool: ActorPool,
    method: str,
    tasks: Sequence[Any],
    cost: Callable[[Any], int],
    on_done: Callable[[Any, Any], None] = lambda task, result: None,
) -> None:
    """Call an actor's method once for each task, with progress.

    Raises:
        IncompleteError: a task failed for good; all others are done.

    """
    if not tasks:
        return

    def images(task: Shard | Setting | None) -> int:
        return task.rows if isinstance(task, Shard) else 0 if task is None else cost(task)

    def count(task: Any, result: Any) -> None:
        progress.add(images(task), cost(task))
        on_done(task, result)

    with Progress(name, sum(map(images, tasks)), sum(map(cost, tasks))) as progress:
        failures = pool.run(method, tasks, cost, count, progress.tick)
    if failures:
        raise IncompleteError(failures, _name)


def _name(task: Shard | Setting | None) -> str:
    if isinstance(task, Shard):
        return f"{task.setting.slug}/{task.name}"
    return task.slug if task else "the reference"
