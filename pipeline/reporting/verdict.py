"""The verdict of a sweep: which settings are within noise of the best FID, and the cheapest of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from pipeline.evaluation.difference import holm, paired
from pipeline.evaluation.uncertainty import Measured
from pipeline.reporting.standings import frontier
from pipeline.sweep.grid import Row, Rows, Setting
from pipeline.sweep.method import Method

ALPHA = 0.05
"""The chance that a setting as good as the best counts as worse, over all settings together."""
_PERCENT = f"{1 - ALPHA:.0%}".replace("%", " %")


@dataclass(frozen=True)
class Standing:
    """A setting beside the best one."""

    setting: Setting
    seconds: float
    """Measured seconds of one worker an image."""
    fid: float
    fid_se: float
    """Standard error of FID itself, which a difference of two settings of the same seeds has less of."""
    worse: float
    """FID minus the best's, over pairs of the same seed, without the bias of few images."""
    low: float
    high: float
    """The interval of `worse`; those of all settings hold together, by Holm."""

    @property
    def within_noise(self) -> bool:
        """Whether it is not worse than the best beyond noise."""
        return self.low <= 0

    @property
    def nfe(self) -> int:
        """Network calls an image."""
        return self.setting.nfe

    @property
    def at_most(self) -> float:
        """How much worse than the best it is at most, in FID."""
        return max(0.0, self.high)


@dataclass(frozen=True)
class Verdict:
    """What a sweep says of its settings."""

    reason: str
    """Why there is no verdict; empty if there is one."""
    standings: tuple[Standing, ...] = ()
    """All settings, in the order of the rows."""
    one_device: bool = False
    """Whether one kind of device drew all settings, so that their seconds may be compared."""

    @property
    def best(self) -> Standing:
        """The setting with the best FID; the fewest calls of several."""
        return min(self.standings, key=lambda one: (one.fid, one.nfe))

    @property
    def within(self) -> list[Standing]:
        """The settings within noise of the best, and the best itself, from few calls to many."""
        return sorted((one for one in self.standings if one.within_noise), key=lambda one: (one.nfe, one.fid))

    @property
    def cheapest(self) -> Standing:
        """The setting of the fewest calls within noise of the best; the best FID of several."""
        return self.within[0]

    @property
    def fastest(self) -> Standing | None:
        """The setting of the fewest measured seconds within noise of the best; None if devices differ."""
        return min(self.within, key=lambda one: one.seconds) if self.one_device else None

    @property
    def longest(self) -> Standing:
        """The setting of the most calls; the best FID of several."""
        return min(self.standings, key=lambda one: (-one.nfe, one.fid))

    @property
    def fewer_calls(self) -> float:
        """The calls of the best over those of the cheapest within noise of it."""
        return self.best.nfe / self.cheapest.nfe

    @property
    def fewer_than_longest(self) -> float:
        """The calls of the longest setting over those of the cheapest within noise of the best."""
        return self.longest.nfe / self.cheapest.nfe

    @property
    def frontier(self) -> list[Standing]:
        """The settings that no other beats in both calls and FID, from few calls to many."""
        return frontier(self.standings, lambda one: (one.nfe, one.fid))

    @property
    def first_within(self) -> dict[Method, Standing | None]:
        """Method → its setting of the fewest calls that is within noise of the best; None if none is."""
        within = self.within
        methods = dict.fromkeys(one.setting.method for one in self.standings)
        return {method: next((one for one in within if one.setting.method == method), None) for method in methods}


def verdict(rows: Rows) -> Verdict:
    """Return the verdict on the rows of metrics.json: settings of one run, whose images have the same seeds.

    FID with each of K groups of seeds left out gives the error of the paired difference to the best and its bias; the
    interval is Student's, with K - 1 degrees of freedom, and Holm corrects for the number of settings.
    """
    if len(rows) < 2:
        return Verdict("it takes two settings")
    known = {setting: measured for setting, row in rows.items() if (measured := _measured(row)) is not None}
    if len(known) < len(rows):
        text = f"{len(rows) - len(known)} of {len(rows)} settings have no FID without groups of their images"
        return Verdict(f"{text} (fewer than 10 images, or measured by an earlier release)")
    best = min(rows, key=lambda setting: (rows[setting]["fid"], setting.nfe))
    differences = {setting: paired(one, known[best]) for setting, one in known.items()}
    others = [setting for setting in rows if setting != best]
    _, levels = holm([differences[setting].p_value for setting in others], ALPHA)
    level_of = dict(zip(others, levels, strict=True)) | {best: ALPHA}
    standings = []
    for setting, row in rows.items():
        low, high = differences[setting].interval(level_of[setting]) or (-math.inf, math.inf)
        numbers = 1 / row["images_per_second"], row["fid"], row["fid_se"], differences[setting].value
        standings.append(Standing(setting, *numbers, low, high))
    return Verdict("", tuple(standings), len({row.get("device") for row in rows.values()}) == 1)


def to_lines(verdict: Verdict, names: Mapping[Method, str]) -> list[str]:
    """Return the verdict as sentences, the answer first; `names` are labels."""

    def name(one: Standing) -> str:
        return f"{names[one.setting.method]} at {one.nfe} calls"

    if verdict.reason:
        return [f"No verdict on the best setting: {verdict.reason}."]
    best, cheapest, fastest = verdict.best, verdict.cheapest, verdict.fastest
    of_best = f"{name(best)}: {_fid(best.fid)} ± {best.fid_se:.1g}"
    if cheapest == best:
        fewest = best.nfe == min(one.nfe for one in verdict.standings)
        rest = "is of the fewest calls too" if fewest else "is beyond noise better than all of fewer calls"
        lines = [f"The best FID ({of_best}) {rest}."]
    else:
        few = f"{verdict.fewer_calls:.1f}× fewer calls"
        if verdict.longest.nfe > best.nfe:
            few += f", {verdict.fewer_than_longest:.1f}× fewer than {name(verdict.longest)}"
        answer = f"{name(cheapest)} ({_fid(cheapest.fid)}) is within noise of the best ({of_best})"
        lines = [f"{answer}: {few}, {_at_most(cheapest)}."]
        if cheapest.at_most > best.fid:
            lines.append("That bound is wider than the best FID itself: more images would tell them apart.")
    if fastest is not None and fastest != best:
        bound = "" if fastest == cheapest else f", {_at_most(fastest)}"
        lines.append(
            f"The fastest within noise of the best as measured is {name(fastest)}: "
            f"{1 / fastest.seconds:,.0f} images/s, {best.seconds / fastest.seconds:.1f} times the best's{bound}."
        )
    between = "; " if any(", " in label for label in names.values()) else ", "
    frontier = between.join(f"{name(one)} ({_fid(one.fid)})" for one in verdict.frontier)
    lines.append(f"No setting beats these in both calls and FID: {frontier}.")
    reached = sorted((one.nfe, names[method]) for method, one in verdict.first_within.items() if one is not None)
    never = [names[method] for method, one in verdict.first_within.items() if one is None]
    fewest_calls = between.join(f"{label} {nfe}" for nfe, label in reached)
    rest = f"; never: {between.join(never)}" if never else ""
    lines.append(f"Fewest calls within noise of the best: {fewest_calls}{rest}.")
    lines.append(
        f"Differences are over pairs of the same seed; {_PERCENT} is for all {len(verdict.standings)} settings "
        "together."
    )
    return lines


def _measured(row: Row) -> Measured | None:
    """Return FID and what it becomes without groups; None if the row does not have that."""
    left_out: Any = (row.get("jackknife") or {}).get("fid")
    if not left_out:
        return None
    return Measured(row["fid"], None, torch.tensor(left_out, dtype=torch.float64))


def _at_most(one: Standing) -> str:
    return f"at most {one.at_most:.2g} worse ({_PERCENT})"


def _fid(value: float) -> str:
    return f"{value:.3g}"
