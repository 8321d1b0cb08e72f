"""Run: a config with everything that follows from it, opened for work or read from its output."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import zip_longest
from typing import Any

from pipeline import UserError
from pipeline.diffusion.model import ModelInfo
from pipeline.evaluation.measurement import Measurement, open_measurement
from pipeline.evaluation.metrics import without_false_is
from pipeline.storage.sealed import fingerprint
from pipeline.storage.store import DamagedFileError, Storage, StorageError
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import Row, Setting, assert_versions, notes, read_row, settings
from pipeline.sweep.images import read_footer
from pipeline.sweep.layout import SWEEP, TOP, Paths
from pipeline.sweep.measured import read_planned
from pipeline.sweep.model import read_model
from pipeline.sweep.output import Opened
from pipeline.sweep.shards import Shards, pending, plan_all

FORMAT = 2
"""The format of an output. Format 1 had only DDIM, in its version 1."""


@dataclass(frozen=True)
class Run(Opened):
    """A config with everything that follows from it."""

    first_file = SWEEP

    config: SweepConfig
    model: ModelInfo
    identity: dict[str, Any]
    """The identity of the images."""
    measurement: Measurement
    storage_options: dict[str, Any] | None = field(repr=False)
    earlier_samplers: dict[str, int] = field(default_factory=dict)
    """Name → version of the samplers that have drawn into the output before."""
    patience: float | None = None

    @property
    def paths(self) -> Paths:
        """The paths of the measurement's results in the output."""
        return Paths(self.measurement.prefix)

    @cached_property
    def settings(self) -> list[Setting]:
        """The settings of the grid, in the order of the table."""
        return settings(self.config, self.schedule)

    @cached_property
    def notes(self) -> list[str]:
        """Lines for the user, on the model, the grid, and what of the reference is not read."""
        of_grid, of_reference = notes(self.config, self.schedule), self.measurement.reference.note
        return [*self.model.notes, *of_grid, *([of_reference] if of_reference else [])]

    def shards(self) -> Shards:
        """Return all planned shards."""
        return plan_all(self.settings, self.config.num_images, self.config.shard_size)

    def metrics(self) -> dict[Setting, Row]:
        """Return setting → row of metrics.json, for the settings of the grid that are measured.

        An IS that an earlier release wrote for an extractor without logits is None.

        Raises:
            UserError: a row has what this release does not know, or is another setting's.

        """
        rows = {}
        for setting in self.settings:
            path = self.paths.row(setting.slug)
            # a damaged row is measured again
            with contextlib.suppress(DamagedFileError):
                row = self.storage.read_json(path)
                try:
                    if (of := read_row(row)[0]) != setting:
                        raise ValueError(f"it has the row of {of.slug}")
                except ValueError as error:
                    raise UserError(f"{self.storage.url}/{path}: {error}") from error
                rows[setting] = without_false_is(row, self.measurement.extractor.name)
        return rows

    def to_json(self) -> dict[str, Any]:
        """Return the content of sweep.json."""
        samplers = {setting.sampler.name: setting.sampler.version for setting in self.settings}
        return {
            "format": FORMAT,
            "config": self.config.model_dump(),
            "fingerprint": fingerprint(self.identity),
            "identity": self.identity,
            "samplers": self.earlier_samplers | samplers,
            "model": asdict(self.model),
            "evaluation": asdict(self.measurement),
        }

    def saved(self) -> "Run":
        """Return the run that the output has in it now. For its errors see `saved_run`."""
        return _run_in(self.storage, self.out, self.storage_options)

    def beside(self, saved: "Run") -> "Run":
        """Return this with the samplers of `saved`."""
        return replace(self, earlier_samplers=self.earlier_samplers | saved.earlier_samplers)


def open_run(
    config: SweepConfig,
    storage_options: dict[str, Any] | None = None,
    cap_batch: bool = True,
    known_reference: str | None = None,
) -> Run:
    """Return the run of a config. Reads model, extractor, reference and sweep.json; writes nothing to the output.

    Args:
        config: what the user asks for.
        storage_options: fsspec's options for the output.
        cap_batch: limit the batch to the images of a shard. An output that was drawn in larger batches keeps them:
            kernels choose their order of summation by batch size.
        known_reference: the identity of `config.reference` in a baseline; that of the output itself goes before it.

    Raises:
        UserError: the model or measurement cannot be used, the grid does not fit, or the output is another run's.

    """
    model = read_model(config.model).info
    settings(config, model.schedule())
    storage, names = open_folder("--out", config.out, storage_options)
    saved: dict[str, Any] = {}
    if SWEEP in names:
        try:
            with _of_this_release(config.out):
                saved = _read_saved(storage)
                there = saved["evaluation"]["identity"]
                if saved["evaluation"]["reference"]["spec"] == config.reference:
                    known_reference = there["reference"]
                config = config.settle(there["batch_size"], saved["config"].get("speed", "plain"))
        except DamagedFileError as error:
            text = f"--out {error}: move sweep.json away, and the same command goes on from the files"
            raise UserError(text) from error
    if cap_batch and not (saved and there.get("batch_size") == config.batch_size):
        capped = min(config.batch_size, config.shard_size, config.num_images)
        config = config.model_copy(update={"batch_size": capped})
    identity = config.identity(model.identity)
    names_of = config.extractor, config.extractor_weights, config.reference
    measurement = open_measurement(*names_of, model.image_shape, identity, known_reference)
    run = Run(config, model, identity, measurement, storage_options, saved.get("samplers", {}))
    if saved:
        _assert_same(run, there)
    elif foreign := [name for name in names if name not in TOP]:
        raise UserError(f"--out {config.out} holds {foreign[0]!r} and no sweep.json: give an empty or a new folder")
    elif config.settled:
        _assert_files_are_of(run)
    return run


def saved_run(out: str, storage_options: dict[str, Any] | None = None) -> Run:
    """Return the run that an output has in it, without loading its model.

    Raises:
        UserError: there is no run, or this release cannot read it.
        DamagedFileError: its sweep.json is broken.

    """
    storage, names = open_folder("--out", out, storage_options)
    if SWEEP not in names:
        raise UserError(f"--out {out} holds no sweep.json: it is not the output of a sweep")
    return _run_in(storage, out, storage_options)


def _run_in(storage: Storage, out: str, storage_options: dict[str, Any] | None) -> Run:
    with _of_this_release(out):
        saved = _read_saved(storage)
        config = SweepConfig.model_validate(saved["config"] | {"out": out})
        model = ModelInfo.load(saved["model"])
        measurement = Measurement.load(saved["evaluation"])
        return Run(config, model, saved["identity"], measurement, storage_options, saved["samplers"])


def open_folder(option: str, url: str, storage_options: dict[str, Any] | None) -> tuple[Storage, list[str]]:
    """Return the folder that a job's option names, and the names at its top; no names if it does not exist yet.

    Raises:
        UserError: the folder cannot be opened or listed.

    """
    try:
        storage = Storage(url, storage_options)
        return storage, storage.names()
    except (OSError, ValueError, TypeError, ImportError, StorageError) as error:  # bucket, protocol, package, option
        raise UserError(f"{option} {url}: {error}") from error


def _read_saved(storage: Storage) -> dict[str, Any]:
    """Return the content of sweep.json, with the samplers, which format 1 left out.

    Raises:
        UserError: it has a later format, or a version of a sampler that this release does not have.

    """
    saved = storage.read_json(SWEEP)
    if (there := saved.get("format", 1)) > FORMAT:
        raise UserError(
            f"--out {storage.url} has format {there}, and this release reads up to {FORMAT}: use a later one"
        )
    saved.setdefault("samplers", {"ddim": 1})
    assert_versions(storage.url, saved["samplers"])
    return saved


def _assert_files_are_of(run: Run) -> None:
    """Check by the first file of each kind that an output without sweep.json is this run's. Raises UserError."""
    for kind in ("images", "features"):
        shards = run.shards()
        missing = pending(run.storage, kind, shards)
        if len(missing) == len(shards):
            continue
        shard = next(planned for planned, lacking in zip_longest(shards, missing) if planned != lacking)
        try:
            if kind == "images":
                read_footer(run.storage, shard, shard.setting.fingerprint(run.identity))
            else:
                read_planned(run.storage, shard.path(kind), shard, shard.setting.fingerprint(run.measurement.identity))
        except DamagedFileError as error:
            raise UserError(f"--out {error}: without sweep.json nothing says more, give another --out") from error


@contextlib.contextmanager
def _of_this_release(out: str) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:  # ValidationError is a ValueError
        raise UserError.because(f"--out {out}: its sweep.json is not one of this release", error) from error


def _assert_same(run: Run, there: dict[str, Any]) -> None:
    here = run.measurement.identity
    differ = [name for name in here if there.get(name) != here[name]]
    if not differ:
        return
    names, advice = list(run.identity), "give another --out"
    if not set(differ) & set(names):
        names, advice = list(here), "measure it by jobs/evaluate.py, or give another --out"
    of_there, of_here = (fingerprint({name: identity.get(name) for name in names}) for identity in (there, here))
    texts = "; ".join(f"{name} {there.get(name)} there, {here[name]} here" for name in differ)
    raise UserError(f"--out {run.config.out} has fingerprint {of_there}, this sweep {of_here} ({texts}): {advice}")
