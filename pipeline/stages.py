"""The stages of a sweep, composed: check, draw, evaluate, report. Each does what is missing and nothing else."""

import contextlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline import UserError
from pipeline.config import SweepConfig, fingerprint
from pipeline.diffusion import unet
from pipeline.evaluation.extractors import DIGITS, DIGITS_SHAPE
from pipeline.evaluation.features import REFERENCE_PATH
from pipeline.evaluation.worker import FeatureWorker, metrics_path
from pipeline.executor import ActorPool
from pipeline.generation.sampler import Sampler
from pipeline.generation.shards import Shard, Shards, pending, plan_all
from pipeline.grid import Setting, settings
from pipeline.resources import Resources
from pipeline.result import RESULT_PATH, Result
from pipeline.storage import DamagedFileError, Storage, StorageError
from pipeline.work import stage, write_from_worker

OURS = {"sweep.json", RESULT_PATH, "images", "features", "metrics.json", "report", "_set-aside"}
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

    @cached_property
    def result(self) -> Result:
        """What the output says of this run."""
        return Result(self.storage)

    def shards(self) -> Shards:
        """Return the whole plan."""
        return plan_all(self.settings, self.config.num_images, self.config.shard_size)

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


def claim(run: Run, resources: Resources | None = None) -> None:
    """Write sweep.json, the first file of a run; given `resources`, from a worker, as all that follows.

    Raises:
        UserError: the output cannot be written, or what a worker writes there is not seen here.
        PoolBrokenError: no worker came.

    """
    content = {
        "config": run.config.model_dump(),
        "num_train_timesteps": run.num_train_timesteps,
        "fingerprint": run.fingerprint,
        "identity": run.identity,
    }
    try:
        run.storage.remove_stale_temporaries()
        if resources is None:
            run.storage.write_json("sweep.json", content)
        else:
            write_from_worker(run.storage, run.storage_options, resources, "sweep.json", content)
    except (OSError, StorageError, DamagedFileError) as error:
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
        stage("drawing", pool, "draw_shard", shards, lambda shard: shard.cost, run.result)
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
        stage("features", pool, "extract_shard", tasks, lambda shard: shard.rows if shard else 1, run.result)
        measured = run.metrics()
        unmeasured = [setting for setting in run.settings if setting not in measured]
        stage("metrics", pool, "measure", unmeasured, lambda _: config.num_images, run.result)
    finally:
        pool.close()
