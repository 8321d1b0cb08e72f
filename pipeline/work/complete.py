"""The stages of a sweep: claim, draw, evaluate. Each does what is missing and nothing else."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pipeline import UserError
from pipeline.cluster.executor import ActorPool, cluster
from pipeline.cluster.resources import Request, Resources, joins_a_cluster
from pipeline.evaluation.reference import REFERENCE_PATH
from pipeline.storage.store import DamagedFileError, StorageError
from pipeline.sweep.result import Result
from pipeline.sweep.run import Run
from pipeline.sweep.shards import Shard, pending
from pipeline.work.draw import Sampler
from pipeline.work.extract import FeatureWorker
from pipeline.work.perform import stage, write_from_worker


def claim(run: Run, resources: Resources | None = None) -> None:
    """Write sweep.json, the first file of a run; given `resources`, from a worker, as all that follows.

    Raises:
        UserError: the output cannot be written, or what a worker writes there is not seen here.
        PoolBrokenError: no worker came.

    """
    content = {
        "config": run.config.model_dump(),
        "fingerprint": run.fingerprint,
        "identity": run.identity,
        "model": asdict(run.model),
        "evaluation": asdict(run.evaluation),
    }
    try:
        run.storage.remove_stale_temporaries()
        if resources is None:
            run.storage.write_json("sweep.json", content)
        else:
            write_from_worker(run.storage, run.storage_options, resources, "sweep.json", content)
    except (OSError, StorageError, DamagedFileError) as error:
        raise UserError(f"--out {run.config.out} cannot be written: {error}") from error


@contextlib.contextmanager
def claimed(run: Run, request: Request) -> Iterator[Resources]:
    """Start or join a cluster, then claim the output, where workers may be on other machines from one of them.

    Raises:
        UserError, PoolBrokenError: see `cluster` and `claim`.

    """
    with cluster(request) as resources:
        claim(run, resources if joins_a_cluster() else None)
        yield resources


def sampler_arguments(run: Run) -> dict[str, Any]:
    """Return what a `Sampler` of this run takes beside its device."""
    return {
        "out": run.config.out,
        "storage_options": run.storage_options,
        "model": run.config.model,
        "model_digest": run.identity["model"],
        "precision": run.config.dtype,
        "seed": run.config.seed,
        "batch_size": run.config.batch_size,
        "fingerprint": run.fingerprint,
    }


def feature_worker_arguments(run: Run) -> dict[str, Any]:
    """Return what a `FeatureWorker` of this run's evaluation takes beside its device."""
    config = run.config
    return {
        "out": config.out,
        "storage_options": run.storage_options,
        "evaluation": run.evaluation,
        "num_images": config.num_images,
        "shard_size": config.shard_size,
        "batch_size": config.batch_size,
        "fingerprint": run.fingerprint,
    }


def draw(run: Run, resources: Resources, result: Result | None = None) -> None:
    """Draw the missing shards; `result` notes what that does and costs.

    Raises:
        IncompleteError: a shard failed for good; all others are drawn.

    """
    shards = pending(run.storage, "images", run.shards())
    pool = ActorPool(Sampler, sampler_arguments(run), resources)
    try:
        stage("drawing", pool, "draw_shard", shards, lambda shard: shard.cost, result)
    finally:
        pool.close()


def evaluate(run: Run, resources: Resources, result: Result | None = None) -> None:
    """Extract the missing features and measure the settings that have no metrics; see `draw`.

    Raises:
        IncompleteError: an image file is damaged, or a setting could not be measured.

    """
    pool = ActorPool(FeatureWorker, feature_worker_arguments(run), resources)
    try:
        tasks: list[Shard | None] = [*pending(run.results, "features", run.shards())]
        if not run.results.ls("features").get(REFERENCE_PATH.removeprefix("features/")):
            tasks.append(None)
        stage(
            "features",
            pool,
            "extract_shard",
            tasks,
            lambda shard: shard.rows if shard else run.config.num_images,
            result,
        )
        measured = run.metrics()
        unmeasured = [setting for setting in run.settings if setting not in measured]
        stage("metrics", pool, "measure", unmeasured, lambda _: run.config.num_images, result)
    finally:
        pool.close()
