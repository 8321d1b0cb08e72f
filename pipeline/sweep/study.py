"""A study: an output that is no sweep, as a reconstruction; claimed, resumed and refused like one."""

import contextlib
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline import UserError
from pipeline.device import Precision
from pipeline.diffusion.model import ModelInfo
from pipeline.diffusion.noise import NOISE_VERSION
from pipeline.storage.store import DamagedFileError, Storage
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import Setting, assert_versions, described, settings
from pipeline.sweep.layout import METRICS, REPORT, RESULT, SET_ASIDE, STUDY
from pipeline.sweep.model import read_model
from pipeline.sweep.output import Opened
from pipeline.sweep.run import open_folder

FORMAT = 1
"""The format of a study's output."""


def same_as_sweep(name: str) -> str:
    """Return the description of a sweep's option."""
    return str(SweepConfig.model_fields[name].description)


class StudyConfig(BaseModel):
    """What all studies ask for."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str]
    """The name of the study."""
    folder: ClassVar[str]
    """The folder of its files."""

    out: str = Field(description=same_as_sweep("out"))
    model: str = Field(default="digits", description=same_as_sweep("model"))
    sampler: tuple[str, ...] = Field(default=("ddim",), description=same_as_sweep("sampler"))
    steps: tuple[int, ...] = Field(default=(50,), description=same_as_sweep("steps"))
    spacing: tuple[str, ...] | None = Field(default=None, description=same_as_sweep("spacing"))
    dtype: Precision = Field(default="float32", description=same_as_sweep("dtype"))
    seed: int = Field(default=0, ge=0, lt=2**64, description=same_as_sweep("seed"))
    batch_size: int = Field(default=250, ge=1, le=10**9, description=same_as_sweep("batch_size"))

    @property
    def grid(self) -> SweepConfig:
        """The sweep that has the study's settings.

        Raises:
            ValidationError: a sampler, budget or spacing is unknown.

        """
        given = self.model_dump(include={"out", "model", "sampler", "steps", "spacing", "dtype", "seed", "batch_size"})
        return SweepConfig.model_validate(given | {"eta": None})


Config = TypeVar("Config", bound=StudyConfig)


def make_study_config(kind: type[Config], given: dict[str, Any]) -> Config:
    """Return the config of a study from the options that the user gave. Raises UserError."""
    try:
        config = kind.model_validate(given)
        _ = config.grid
    except ValidationError as error:
        raise UserError.of_option(error.errors()[0], "") from None
    return config


@dataclass(frozen=True)
class Study(Opened):
    """A study's config with what follows from it."""

    first_file = STUDY

    config: StudyConfig
    model: ModelInfo
    identity: dict[str, Any]
    """The identity of its files, besides their settings."""
    storage_options: dict[str, Any] | None = field(repr=False)
    settings: list[Setting]
    """The settings of its grid."""
    earlier: list[Setting]
    """Other settings, of earlier grids of the same study."""

    def to_json(self) -> dict[str, Any]:
        """Return the content of study.json."""
        return {
            "format": FORMAT,
            "kind": self.config.kind,
            "config": self.config.model_dump(),
            "identity": self.identity,
            "settings": [setting.describe() for setting in [*self.settings, *self.earlier]],
            "samplers": {setting.sampler.name: setting.sampler.version for setting in [*self.settings, *self.earlier]},
            "model": asdict(self.model),
        }

    def saved(self) -> "Study":
        """Return the study that the output has in it now. For its errors see `saved_study`."""
        return _study_in(self.storage, {self.config.kind: type(self.config)}, self.out, self.storage_options)

    def beside(self, saved: "Study") -> "Study":
        """Return this with the settings of `saved`."""
        others = dict.fromkeys([*self.earlier, *saved.settings, *saved.earlier])
        return replace(self, earlier=[setting for setting in others if setting not in self.settings])


def open_study(
    config: StudyConfig, model: ModelInfo, more: dict[str, Any], storage_options: dict[str, Any] | None
) -> Study:
    """Return the study of a config; writes nothing.

    Args:
        config: what the user asks for.
        model: the model's description.
        more: what its files depend on besides model, noise, seed, batch, dtype and their settings.
        storage_options: fsspec's options for the output.

    Raises:
        UserError: the grid does not fit the model, or the output is a sweep's, another study's, or holds other files.

    """
    grid = settings(config.grid, model.schedule())
    identity = {
        "kind": config.kind,
        "noise": NOISE_VERSION,
        **model.identity,
        **config.model_dump(include={"seed", "batch_size", "dtype"}),
        **more,
    }
    storage, names = open_folder("--out", config.out, storage_options)
    earlier = []
    if STUDY in names:
        try:
            saved = _read(storage)
        except DamagedFileError as error:
            text = f"--out {error}: move {STUDY} away, and the same command goes on from the files"
            raise UserError(text) from error
        there, earlier = saved["identity"], _others(saved, model, grid)
        if differ := [name for name in {**identity, **there} if there.get(name) != identity.get(name)]:
            texts = "; ".join(f"{name} {there.get(name)} there, {identity.get(name)} here" for name in differ)
            raise UserError(f"--out {config.out} is another study's ({texts}): give another --out")
    elif foreign := [name for name in names if name not in {RESULT, METRICS, REPORT, SET_ASIDE, config.folder}]:
        raise UserError(f"--out {config.out} holds {foreign[0]!r} and no {STUDY}: give an empty or a new folder")
    return Study(config, model, identity, storage_options, grid, earlier)


def saved_study(kinds: dict[str, type[StudyConfig]], out: str, storage_options: dict[str, Any] | None) -> Study:
    """Return the study in an output, without loading its model.

    Raises:
        UserError: this release cannot read it.
        DamagedFileError: its study.json is broken.

    """
    storage, _ = open_folder("--out", out, storage_options)
    return _study_in(storage, kinds, out, storage_options)


def _study_in(
    storage: Storage, kinds: dict[str, type[StudyConfig]], out: str, storage_options: dict[str, Any] | None
) -> Study:
    saved = _read(storage)
    try:
        config = kinds[saved["kind"]].model_validate(saved["config"] | {"out": out})
        model = ModelInfo.load(saved["model"])
        grid = settings(config.grid, model.schedule())
        return Study(config, model, saved["identity"], storage_options, grid, _others(saved, model, grid))
    except (LookupError, TypeError, ValueError) as error:  # ValidationError is a ValueError
        raise UserError.because(f"--out {out}: its {STUDY} is not one of this release", error) from error


def saved_identity(config: StudyConfig, name: str, storage_options: dict[str, Any] | None) -> str | None:
    """Return the value of an option in the identity of an output, if the output has the same option; else None."""
    storage, names = open_folder("--out", config.out, storage_options)
    if STUDY not in names:
        return None
    with contextlib.suppress(DamagedFileError, UserError, LookupError):  # `open_study` tells of them
        saved = _read(storage)
        if saved["config"][name] == getattr(config, name):
            return str(saved["identity"][name])
    return None


def inspect(model: str) -> ModelInfo:
    """Return the description of a model. Raises UserError if there is no such model."""
    return read_model(model).info


def _read(storage: Storage) -> dict[str, Any]:
    """Return the content of study.json.

    Raises:
        UserError: it has another format, or a version of a sampler that this release does not have.
        DamagedFileError: it is broken.

    """
    saved = storage.read_json(STUDY)
    if saved.get("format") != FORMAT:
        raise UserError(f"--out {storage.url}: its {STUDY} has format {saved.get('format')}, not {FORMAT}")
    assert_versions(storage.url, saved["samplers"])
    return saved


def _others(saved: dict[str, Any], model: ModelInfo, grid: list[Setting]) -> list[Setting]:
    """Return the settings in a study.json that are not in a grid."""
    known = [described(values, model.schedule()) for values in saved["settings"]]
    return [setting for setting in known if setting not in grid]
