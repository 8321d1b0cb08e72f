"""Setting: everything that changes pixels for a given model and noise; and the grid of all settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipeline import UserError
from pipeline.diffusion import samplers
from pipeline.diffusion.samplers.base import NoGridError, Sampler, network_calls
from pipeline.diffusion.schedule import Grid, Schedule
from pipeline.diffusion.spacing import REPEATING, TUNED, parse_spacing
from pipeline.diffusion.tuned import tuned_spacing
from pipeline.evaluation.metrics import row_keys
from pipeline.storage.sealed import fingerprint
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.method import Method

Row = dict[str, Any]
"""A setting's row of metrics.json."""
OF_FILES = {"num_images", "seconds", "images_per_second", "reference", "device"}
"""The keys of a row besides its setting's and the metrics': what is said of the files."""


@dataclass(frozen=True)
class Setting:
    """One cell of the table."""

    method: Method
    steps: int
    """S, a budget of network calls. For DDIM it is the paper's S, see `make_tau`."""
    nfe: int = field(compare=False)
    """Network calls per image. The number follows from the other fields and the model's T."""
    tuned: str = field(default="", compare=False)
    """The times of the spacing `tuned` for this model, listed; empty for other spacings and for a row that was read."""

    @property
    def sampler(self) -> Sampler:
        """The method's sampler."""
        return self.method.sampler

    @property
    def spacing(self) -> str:
        """The method's spacing."""
        return self.method.spacing

    @property
    def clip(self) -> bool:
        """Whether the method clips pred_x0."""
        return self.method.clip

    @cached_property
    def slug(self) -> str:
        """The name of the setting in folders and messages."""
        return self.method.slug(self.steps)

    def describe(self) -> dict[str, Any]:
        """Return the setting as plain values, for metadata and metrics."""
        drawn_by = {"sampler": self.sampler.name, "steps": self.steps, **self.sampler.options}
        return {**drawn_by, **self.method.beside_sampler, "nfe": self.nfe}

    def grid(self, schedule: Schedule) -> Grid:
        """Return the nodes that the sampler visits."""
        return self.sampler.grid(schedule, self.tuned or self.spacing, self.steps)

    def fingerprint(self, identity: dict[str, Any]) -> str:
        """Return the fingerprint in the setting's files for the identity of a run or a measurement.

        A sampler whose arithmetic has changed has another version, so its files have another fingerprint. Files of
        version 1 have the fingerprint of the identity itself. On spacings that repeat times the fingerprint has the
        number of calls too: from about S = 29 earlier releases visited fewer times under the same name. For `tuned` it
        has the times, which another release may have searched anew.
        """
        version = self.sampler.version
        more = {} if version == 1 else {"sampler": f"{self.sampler.name} {version}"}
        if self.spacing in REPEATING and self.sampler.name != "ddim":
            more["nfe"] = str(self.nfe)
        if self.spacing == TUNED:
            more["tau"] = self.tuned
        return fingerprint(identity | more)


Rows = Mapping[Setting, Row]
"""Rows by setting, in the order of the table."""


def settings(config: SweepConfig, schedule: Schedule) -> list[Setting]:
    """Return the product of the config's spacings, samplers and steps, in the order of the table.

    A spacing that lists times gives one setting per sampler, whose S is the number of its network calls. Budgets
    that are too small for a sampler, or were not searched, are left out: see `notes`.

    Raises:
        UserError: a step count or time does not fit the model or the sampler, or no budget is large enough for one.

    """
    return _grid(config, schedule)[0]


def notes(config: SweepConfig, schedule: Schedule) -> list[str]:
    """Return what the user should know of the grid: what aliases stand for, and which cells are empty and why."""
    names = [text if text in samplers.ALIASES else text.partition(":")[0] for text in config.sampler]
    lines = [f"{name} is {samplers.ALIASES[name]}" for name in dict.fromkeys(names) if name in samplers.ALIASES]
    return lines + _grid(config, schedule)[1]


def _grid(config: SweepConfig, schedule: Schedule) -> tuple[list[Setting], list[str]]:
    grid: dict[str, Setting] = {}
    empty = []
    chosen = config.samplers()
    given = [(spacing, sampler) for spacing in config.spacing or () for sampler in chosen]
    for spacing, sampler in given or [(config.spacings(sampler)[0], sampler) for sampler in chosen]:
        listed = parse_spacing(spacing)
        clip = config.clip == "always" or (config.clip == "hat" and sampler.clips)
        without: dict[int, NoGridError] = {}
        try:
            budgets = (listed_calls(sampler, spacing, schedule),) if listed else config.steps
            for steps in budgets:
                try:
                    setting = setting_of(Method(sampler, spacing, clip), steps, schedule)
                    grid[setting.slug] = setting
                except NoGridError as error:
                    without[steps] = error
        except ValueError as error:
            of_steps = listed is None and spacing in schedule.spacings
            raise UserError(f"{'--steps' if of_steps else '--spacing'}: {error}") from None
        if len(without) == len(budgets):
            raise UserError(f"--steps: {without[max(without)]}, in spacing {spacing}")
        if without:
            cells = ", ".join(map(str, without))
            empty.append(f"{without[max(without)]}, in spacing {spacing}: no cell at S = {cells}")
    return list(grid.values()), empty


def described(values: Mapping[str, Any], schedule: Schedule) -> Setting:
    """Return the setting that `Setting.describe` of this or an earlier release turned into these values.

    Values that are no part of a setting are passed over: earlier releases wrote τ too.

    Raises:
        ValueError: this release does not know its sampler, an option or its grid.
        KeyError: the values are not those of a setting.

    """
    return setting_of(Method.read(values)[0], values["steps"], schedule)


def read_row(row: Row) -> tuple[Setting, Row]:
    """Return the setting of a saved row of this or an earlier release, and its numbers.

    Raises:
        ValueError: this release does not know the sampler, a value of an option, or a key. An option that it does not
            know is one too: without it the row would be another setting's.

    """
    method, others = Method.read(row)
    setting = Setting(method, others.pop("steps"), others.pop("nfe"))
    known = row_keys() | OF_FILES
    if unknown := [key for key in others if key not in known]:
        name = method.sampler.name
        raise ValueError(f"it has {unknown[0]!r}, which neither its sampler {name} nor a metric of this release knows")
    return setting, others


def assert_versions(out: str, versions: dict[str, int]) -> None:
    """Check that this release has the `versions`, name of a sampler → version, of an output. Raises UserError."""
    for name, version in versions.items():
        known = samplers.SAMPLERS.get(name)
        if known is None or known.version != version:
            which = "does not have it" if known is None else f"has version {known.version}"
            options = known.earlier.get(version) if known else None
            now = f"; what version {version} computed is {name}:{options} now" if options else ""
            text = f"--out {out} has images of version {version} of {name}, and this release {which}"
            raise UserError(f"{text}: use the release that drew them, or give another --out{now}")


def setting_of(method: Method, steps: int, schedule: Schedule) -> Setting:
    """Return the setting of a method with a budget; for its errors see `Sampler.grid` and `tuned_spacing`."""
    sampler, spacing = method.sampler, method.spacing
    tuned = tuned_spacing(schedule.tuned, sampler, steps) if spacing == TUNED else ""
    return Setting(method, steps, network_calls(sampler, sampler.grid(schedule, tuned or spacing, steps)), tuned)


def listed_calls(sampler: Sampler, spacing: str, schedule: Schedule) -> int:
    """Return the network calls for listed times. Raises ValueError if they do not fit the schedule or sampler."""
    tau = schedule.tau(spacing, 1)
    grid = sampler.nodes(schedule, tau)
    if not grid:
        raise ValueError(f"{sampler.name} needs more times than the {len(tau)} of {spacing}")
    return network_calls(sampler, grid)
