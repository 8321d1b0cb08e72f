"""The stages of a sweep: draw, evaluate. Each does what is missing and nothing else."""

from collections.abc import Callable, Sequence
from typing import Any

from pipeline import RunFailedError, UserError
from pipeline.dispatch import Failure
from pipeline.evaluation.reference import REFERENCE_PATH
from pipeline.evaluation.worker import FeatureWorker
from pipeline.executor import ActorPool, Resources
from pipeline.generation.sampler import Sampler
from pipeline.generation.shards import Shard, pending
from pipeline.grid import Setting
from pipeline.reporting.progress import Progress
from pipeline.run import Run


class IncompleteError(RunFailedError):
    """Tasks failed for good; the text names each with its last error."""

    def __init__(self, failures: list[Failure], name: Callable[[Any], str]) -> None:
        super().__init__("\n".join(f"{name(failure.task)}: {failure.error}" for failure in failures))


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


def draw(run: Run, resources: Resources, num_workers: int | None) -> None:
    """Draw the missing shards.

    Raises:
        IncompleteError: a shard failed for good; all others are drawn.
        UserError: the workers cannot do what is asked for.

    """
    if run.config.dtype == "tf32" and resources.device == "cpu":
        raise UserError("--dtype tf32 is a GPU's, and there is none")
    shards = pending(run.storage, "images", run.shards())
    pool = ActorPool(Sampler, sampler_arguments(run), resources, num_workers)
    try:
        stage("drawing", pool, "draw_shard", shards, lambda shard: shard.cost)
    finally:
        pool.close()


def evaluate(run: Run, resources: Resources, num_workers: int | None) -> None:
    """Extract the missing features and measure the settings that have no metrics.

    Raises:
        IncompleteError: an image file is damaged, or a setting could not be measured.

    """
    pool = ActorPool(FeatureWorker, feature_worker_arguments(run), resources, num_workers)
    try:
        tasks: list[Shard | None] = [*pending(run.results, "features", run.shards())]
        if not run.results.ls("features").get(REFERENCE_PATH.removeprefix("features/")):
            tasks.append(None)
        stage("features", pool, "extract_shard", tasks, lambda shard: shard.rows if shard else 1)
        measured = run.metrics()
        unmeasured = [setting for setting in run.settings if setting not in measured]
        stage("metrics", pool, "measure", unmeasured, lambda _: run.config.num_images)
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
