"""Run: a config with all that follows from it, opened for work or read back from its output."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any

from pydantic import ValidationError

from pipeline import UserError
from pipeline.diffusion import checkpoint as unet
from pipeline.evaluation import measurement as evaluations
from pipeline.evaluation.measurement import Evaluation, open_evaluation
from pipeline.storage.local import model_folder
from pipeline.storage.store import DamagedFileError, Storage, StorageError
from pipeline.sweep.config import SweepConfig, fingerprint
from pipeline.sweep.grid import Setting, settings
from pipeline.sweep.images import read_footer
from pipeline.sweep.result import RESULT_PATH, Result
from pipeline.sweep.shards import Shards, pending, plan_all
from pipeline.work.extract import metrics_path, read_planned

OURS = {"sweep.json", RESULT_PATH, "images", "features", "metrics.json", "report", "_set-aside", evaluations.FOLDER}
"""Names at the top of an output."""


@dataclass(frozen=True)
class Run:
    """A config with all that follows from it."""

    config: SweepConfig
    model: unet.ModelInfo
    identity: dict[str, Any]
    """Of the images."""
    evaluation: Evaluation
    storage_options: dict[str, Any] | None

    @property
    def fingerprint(self) -> str:
        """Stands for the identity in every image file."""
        return fingerprint(self.identity)

    @cached_property
    def storage(self) -> Storage:
        """The output."""
        return Storage(self.config.out, self.storage_options)

    @cached_property
    def results(self) -> Storage:
        """Where the evaluation's features, metrics and report lie: the output, or a folder in it."""
        return Storage(self.evaluation.url(self.config.out), self.storage_options)

    @cached_property
    def settings(self) -> list[Setting]:
        """The grid, in the order of the table."""
        return settings(self.config, self.model.num_train_timesteps)

    @cached_property
    def result(self) -> Result:
        """What the output says of this run."""
        return Result(self.storage, Storage(self.config.out, self.storage_options, patience=0))

    def shards(self) -> Shards:
        """Return the whole plan."""
        return plan_all(self.settings, self.config.num_images, self.config.shard_size)

    def metrics(self) -> dict[Setting, dict[str, Any]]:
        """Return the rows of the grid's settings that are measured."""
        rows = {}
        for setting in self.settings:
            # a damaged row is measured again
            with contextlib.suppress(DamagedFileError):
                rows[setting] = self.results.read_json(metrics_path(setting))
        return rows


def open_run(config: SweepConfig, storage_options: dict[str, Any] | None = None) -> Run:
    """Return the run of a config; reads the model's config and the output's sweep.json, writes nothing.

    Raises:
        UserError: the model cannot be used, the grid does not fit it, or the output is another run's.

    """
    model = unet.describe(model_folder(config.model))
    settings(config, model.num_train_timesteps)
    identity = config.identity(model.digest)
    names_of = config.extractor, config.extractor_weights, config.reference
    evaluation = open_evaluation(*names_of, model.image_shape, identity)
    run = Run(config, model, identity, evaluation, storage_options)
    _, names = open_folder("--out", config.out, storage_options)
    if "sweep.json" in names:
        try:
            with _of_this_release(config.out):
                there = run.storage.read_json("sweep.json")["evaluation"]["identity"]
        except DamagedFileError as error:
            text = f"--out {error}: move sweep.json away, and the same command goes on from the files"
            raise UserError(text) from error
        _assert_same(run, there)
    elif foreign := [name for name in names if name not in OURS]:
        raise UserError(f"--out {config.out} holds {foreign[0]!r} and no sweep.json: give an empty or a new folder")
    else:
        _assert_files_are_of(run)
    return run


def saved_run(out: str, storage_options: dict[str, Any] | None = None) -> Run:
    """Return the run that is in an output, without loading its model.

    Raises:
        UserError: there is none.
        DamagedFileError: its sweep.json is broken.

    """
    storage, names = open_folder("--out", out, storage_options)
    if "sweep.json" not in names:
        raise UserError(f"--out {out} holds no sweep.json: it is not the output of a sweep")
    with _of_this_release(out):
        saved = storage.read_json("sweep.json")
        config = SweepConfig.model_validate(saved["config"] | {"out": out})
        model = unet.ModelInfo(**saved["model"] | {"image_shape": tuple(saved["model"]["image_shape"])})
        return Run(config, model, saved["identity"], Evaluation.load(saved["evaluation"]), storage_options)


def open_folder(option: str, url: str, storage_options: dict[str, Any] | None) -> tuple[Storage, list[str]]:
    """Return the folder that a job's option names, and the names at its top; none where it is yet to be made.

    Raises:
        UserError: it cannot be opened or listed.

    """
    try:
        storage = Storage(url, storage_options)
        return storage, storage.names()
    except (OSError, ValueError, TypeError, ImportError, StorageError) as error:  # bucket, protocol, package, option
        raise UserError(f"{option} {url}: {error}") from error


def _assert_files_are_of(run: Run) -> None:
    """Have the files of an output that lost its sweep.json say whose they are: the first of each kind is read."""
    for kind in ("images", "features"):
        shards = run.shards()
        missing = pending(run.storage, kind, shards)
        if len(missing) == len(shards):
            continue
        shard = next(planned for planned, lacking in zip_longest(shards, missing) if planned != lacking)
        try:
            if kind == "images":
                read_footer(run.storage, shard, run.fingerprint)
            else:
                read_planned(run.storage, shard.path(kind), shard, run.evaluation.fingerprint)
        except DamagedFileError as error:
            raise UserError(f"--out {error}: without sweep.json nothing says more, give another --out") from error


@contextlib.contextmanager
def _of_this_release(out: str) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError, TypeError, ValidationError) as error:
        raise UserError.because(f"--out {out}: its sweep.json is not one of this release", error) from error


def _assert_same(run: Run, there: dict[str, Any]) -> None:
    here = run.evaluation.identity
    differ = [name for name in here if there.get(name) != here[name]]
    if not differ:
        return
    names, advice = list(run.identity), "give another --out"
    if not set(differ) & set(names):
        names, advice = list(here), "measure it by jobs/evaluate.py, or give another --out"
    of_there, of_here = (fingerprint({name: identity.get(name) for name in names}) for identity in (there, here))
    texts = "; ".join(f"{name} {there.get(name)} there, {here[name]} here" for name in differ)
    raise UserError(f"--out {run.config.out} has fingerprint {of_there}, this sweep {of_here} ({texts}): {advice}")
