"""Run: a config of a sweep with everything that follows from it, and its images measured otherwise, an Evaluation."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from pipeline import UserError
from pipeline.diffusion.model import ModelInfo
from pipeline.evaluation.measurement import Measurement, open_measurement
from pipeline.evaluation.metrics import without_false_is
from pipeline.storage.sealed import fingerprint
from pipeline.storage.store import DamagedFileError
from pipeline.sweep.config import SweepConfig, weights_of
from pipeline.sweep.grid import Row, Setting, notes, read_row, settings
from pipeline.sweep.layout import EVALUATION, EVALUATIONS, SWEEP, Paths
from pipeline.sweep.model import read_model
from pipeline.sweep.output import Output, find_saved, load, open_folder, read_first, resumed
from pipeline.sweep.shards import Shards, pending, plan_all


@dataclass(frozen=True)
class Run(Output):
    """A sweep: its images, and its own measurement of them."""

    first_file = SWEEP
    format = 2
    """Format 1 had only DDIM, in its version 1."""

    config: SweepConfig
    model: ModelInfo
    identity: dict[str, Any]
    measurement: Measurement
    storage_options: dict[str, Any] | None = field(repr=False)
    earlier_samplers: dict[str, int] = field(default_factory=dict)
    """Name → version of the samplers that have drawn into the output before."""
    patience: float | None = None
    others: tuple["Run", ...] = ()
    """The same images by other extractors that were asked for at once."""

    @property
    def measured_together(self) -> list["Run"]:
        """Itself and the others: an image is decoded once for all of them."""
        return [self, *self.others]

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

    @property
    def whole_identity(self) -> dict[str, Any]:
        """The identity of the images, and what they are measured by."""
        return self.measurement.identity

    @property
    def folders(self) -> dict[str, dict[str, str]]:
        """The images and their features. What is auto is in their fingerprints, and not known before it is chosen."""
        known = self.settings if self.config.settled else []
        identities = {"images": self.identity, "features": self.measurement.identity}
        return {name: {s.slug: s.fingerprint(identity) for s in known} for name, identity in identities.items()}

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
            "format": self.format,
            "config": self.config.model_dump(),
            "fingerprint": fingerprint(self.identity),
            "identity": self.identity,
            "samplers": self.earlier_samplers | samplers,
            "model": asdict(self.model),
            "evaluation": asdict(self.measurement),
        }

    def saved(self) -> "Run":
        """Return the run that the output has in it now. For its errors see `read_first`."""
        return read_first(Run, self.home, lambda content: _run_of(content, self.out, self.storage_options))

    def beside(self, saved: "Run") -> "Run":
        """Return this with the samplers of `saved`."""
        return replace(self, earlier_samplers=self.earlier_samplers | saved.earlier_samplers)


class Evaluation(Run):
    """The images of a sweep, measured by another extractor or with another reference, in a folder of their own."""

    first_file = EVALUATION
    format = 1

    @property
    def url(self) -> str:
        """The folder in the sweep's output."""
        return f"{self.out.rstrip('/')}/{self.measurement.path}"

    @property
    def folders(self) -> dict[str, dict[str, str]]:
        """The features."""
        return {"features": super().folders["features"]}

    def to_json(self) -> dict[str, Any]:
        """Return the content of evaluation.json."""
        return {"format": self.format, **asdict(self.measurement)}

    def saved(self) -> "Evaluation":
        """Return the evaluation that the place has in it now. For its errors see `read_first`."""
        return read_first(Evaluation, self.home, self.with_measurement)

    def with_measurement(self, content: dict[str, Any]) -> "Evaluation":
        """Return this with the measurement of an evaluation.json; its place stays, as a folder may be renamed."""
        return replace(self, measurement=load(Measurement, content | {"path": self.measurement.path}))


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
    out = config.out
    names, saved = find_saved(Run, out, storage_options, lambda content: _run_of(content, out, storage_options))
    if saved is not None:
        if saved.measurement.reference.spec == config.reference:
            known_reference = saved.measurement.reference.identity
        config = config.settle(saved.config.batch_size, saved.config.form)
    if cap_batch and not (saved is not None and saved.config.batch_size == config.batch_size):
        capped = min(config.batch_size, config.shard_size, config.num_images)
        config = config.model_copy(update={"batch_size": capped})
    identity = config.identity(model.identity)
    first, *more = config.extractor
    names_of = first, config.extractor_weights.get(first), config.reference
    measurement = open_measurement(*names_of, model.image_shape, identity, known_reference)
    run = resumed(Run(config, model, identity, measurement, storage_options), names, saved)
    others = (_evaluation(run, name, config.extractor_weights.get(name), config.reference) for name in more)
    return replace(run, others=tuple(others))


def saved_run(out: str, storage_options: dict[str, Any] | None = None) -> Run:
    """Return the run that an output has in it, without loading its model.

    Raises:
        UserError: there is no run, or this release cannot read it.
        DamagedFileError: its sweep.json is broken.

    """
    storage, names = open_folder("--out", out, storage_options)
    if SWEEP not in names:
        raise UserError(f"--out {out} holds no sweep.json: it is not the output of a sweep")
    return read_first(Run, storage, lambda content: _run_of(content, out, storage_options))


def open_evaluation(
    run: Run, extractors: Sequence[str] | None, weights: Sequence[str] | None, reference: str | None
) -> Run:
    """Return other measurements of a finished sweep, the first with the others; of them the sweep itself if it is one.

    Writes nothing.

    Args:
        run: the sweep.
        extractors: names of extractors; None for the sweep's own.
        weights: FILE or NAME=FILE, see `weights_of`; the sweep's own extractor has the sweep's weights by default.
        reference: the reference; None for the sweep's own.

    Raises:
        UserError: images are missing, an extractor or the reference cannot be used, or a place is another evaluation's.

    """
    if missing := pending(run.storage, "images", run.shards()):
        raise UserError(f"--out {run.out} lacks {len(missing)} image files: finish the sweep first")
    names = list(dict.fromkeys(extractors or [run.measurement.extractor.name]))
    try:
        given = weights_of(weights, names)
    except ValueError as error:
        raise UserError(f"--extractor-weights: {error}") from None
    first, *others = (_evaluation(run, name, given.get(name), reference) for name in names)
    return replace(first, others=tuple(others))


def _evaluation(run: Run, extractor: str, weights: str | None, reference: str | None) -> Run:
    """Return a measurement of a sweep's images; the sweep itself if it is its own. For its errors see above."""
    own = run.measurement
    # weights belong to their extractor
    weights = weights or (own.extractor.weights if extractor == own.extractor.name else None)
    spec = reference or own.reference.spec
    known = own.reference.identity if spec == own.reference.spec else None
    chosen = open_measurement(extractor, weights, spec, run.model.image_shape, run.identity, known)
    if chosen.identity == own.identity:
        return run
    evaluation = _at(run, f"{EVALUATIONS}/{extractor}-{fingerprint(chosen.identity)[:8]}", chosen)
    return resumed(
        evaluation,
        *find_saved(Evaluation, evaluation.url, run.storage_options, evaluation.with_measurement),
    )


def evaluations(run: Run, paths: Iterable[str]) -> dict[str, Evaluation]:
    """Return place in the output → evaluation, of those whose first file is among the paths and is whole.

    Raises:
        UserError: this release cannot read one.

    """
    listed = [path.removesuffix(f"/{EVALUATION}") for path in paths if path.endswith(f"/{EVALUATION}")]
    whole = {}
    for path in (path for path in listed if path.startswith(f"{EVALUATIONS}/")):
        with contextlib.suppress(DamagedFileError):
            whole[path] = _at(run, path, run.measurement).saved()
    return whole


def _at(run: Run, path: str, measurement: Measurement) -> Evaluation:
    measurement = replace(measurement, path=path)
    return Evaluation(
        run.config, run.model, run.identity, measurement, run.storage_options, run.earlier_samplers, run.patience
    )


def _run_of(content: dict[str, Any], out: str, storage_options: dict[str, Any] | None) -> Run:
    """Return the run of a sweep.json."""
    return Run(
        load(SweepConfig, content["config"] | {"out": out}),
        ModelInfo.load(content["model"]),
        content["identity"],
        load(Measurement, content["evaluation"]),
        storage_options,
        content.get("samplers", {"ddim": 1}),
    )
