"""A study: an output that is no sweep, as a reconstruction."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline import UserError
from pipeline.device import Precision
from pipeline.diffusion.model import ModelInfo
from pipeline.diffusion.noise import NOISE_VERSION
from pipeline.storage.store import DamagedFileError
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import Setting, described, settings
from pipeline.sweep.layout import STUDY
from pipeline.sweep.model import read_model
from pipeline.sweep.output import Output, find_saved, load, open_folder, read_first, resumed


def same_as_sweep(name: str) -> str:
    """Return the description of a sweep's option."""
    return str(SweepConfig.model_fields[name].description)


class StudyConfig(BaseModel, ABC):
    """What all studies ask for."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str]
    """The name of the study."""
    folder: ClassVar[str]
    """The folder of its files."""

    out: str = Field(description=same_as_sweep("out"))
    model: str = Field(default="digits", description=same_as_sweep("model"))
    dtype: Precision = Field(default="float32", description=same_as_sweep("dtype"))
    seed: int = Field(default=0, ge=0, lt=2**64, description=same_as_sweep("seed"))
    batch_size: int = Field(default=250, ge=1, le=10**9, description=same_as_sweep("batch_size"))

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The options of a sweep that has the study's settings: `sampler`, `steps` and any `spacing`."""

    @property
    def grid(self) -> SweepConfig:
        """The sweep that has the study's settings.

        Raises:
            ValidationError: a sampler, budget or spacing is unknown.

        """
        given = self.model_dump(include={"out", "model", "dtype", "seed", "batch_size"})
        return SweepConfig.model_validate(given | {"eta": None} | self.settings)


class GridConfig(StudyConfig):
    """What those studies ask for that take a sweep's settings."""

    sampler: tuple[str, ...] = Field(default=("ddim",), description=same_as_sweep("sampler"))
    steps: tuple[int, ...] = Field(default=(50,), description=same_as_sweep("steps"))
    spacing: tuple[str, ...] | None = Field(default=None, description=same_as_sweep("spacing"))

    @property
    def settings(self) -> dict[str, Any]:
        """The three options that it has."""
        return self.model_dump(include={"sampler", "steps", "spacing"})


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
class Study(Output):
    """A study's config with what follows from it."""

    first_file = STUDY
    format = 1

    config: StudyConfig
    model: ModelInfo
    identity: dict[str, Any]
    storage_options: dict[str, Any] | None = field(repr=False)
    settings: list[Setting]
    """The settings of its grid."""
    earlier: list[Setting]
    """Other settings, of earlier grids of the same study."""

    @property
    def folders(self) -> dict[str, dict[str, str]]:
        """The one folder of its files."""
        return {self.config.folder: {setting.slug: setting.fingerprint(self.identity) for setting in self.settings}}

    def to_json(self) -> dict[str, Any]:
        """Return the content of study.json."""
        every = [*self.settings, *self.earlier]
        return {
            "format": self.format,
            "kind": self.config.kind,
            "config": self.config.model_dump(),
            "identity": self.identity,
            "settings": [setting.describe() for setting in every],
            "samplers": {setting.sampler.name: setting.sampler.version for setting in every},
            "model": asdict(self.model),
        }

    def saved(self) -> "Study":
        """Return the study that the output has in it now. For its errors see `read_first`."""
        kinds = {self.config.kind: type(self.config)}
        return read_first(Study, self.home, lambda content: _study_of(content, kinds, self.out, self.storage_options))

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
    identity = {
        "kind": config.kind,
        "noise": NOISE_VERSION,
        **model.identity,
        **config.model_dump(include={"seed", "batch_size", "dtype"}),
        **more,
    }
    study = Study(config, model, identity, storage_options, settings(config.grid, model.schedule()), [])
    kinds = {config.kind: type(config)}
    parse = lambda content: _study_of(content, kinds, config.out, storage_options)  # noqa: E731
    return resumed(study, *find_saved(Study, config.out, storage_options, parse))


def saved_study(kinds: Mapping[str, type[StudyConfig]], out: str, storage_options: dict[str, Any] | None) -> Study:
    """Return the study in an output, without loading its model.

    Raises:
        UserError: there is none of these kinds, or this release cannot read it.
        DamagedFileError: its study.json is broken.

    """
    storage, names = open_folder("--out", out, storage_options)
    if STUDY not in names:
        raise UserError(f"--out {out} holds no {STUDY}: it is not the output of a study")
    return read_first(Study, storage, lambda content: _study_of(content, kinds, out, storage_options))


def saved_identity(config: StudyConfig, name: str, storage_options: dict[str, Any] | None) -> str | None:
    """Return the value of an option in the identity of an output, if the output has the same option; else None."""
    with contextlib.suppress(DamagedFileError, UserError, LookupError):  # `open_study` tells of them
        saved = saved_study({config.kind: type(config)}, config.out, storage_options)
        if getattr(saved.config, name) == getattr(config, name):
            return str(saved.identity[name])
    return None


def inspect(model: str) -> ModelInfo:
    """Return the description of a model. Raises UserError if there is no such model."""
    return read_model(model).info


def _study_of(
    content: dict[str, Any], kinds: Mapping[str, type[StudyConfig]], out: str, storage_options: dict[str, Any] | None
) -> Study:
    """Return the study of a study.json. Raises UserError if it is none of the kinds."""
    if (kind := content["kind"]) not in kinds:
        raise UserError(f"--out {out} is the output of another study ({kind}, not {' or '.join(kinds)})")
    config = load(kinds[kind], content["config"] | {"out": out})
    model = ModelInfo.load(content["model"])
    grid = settings(config.grid, model.schedule())
    every = [described(values, model.schedule()) for values in content["settings"]]
    others = [setting for setting in every if setting not in grid]
    return Study(config, model, content["identity"], storage_options, grid, others)
