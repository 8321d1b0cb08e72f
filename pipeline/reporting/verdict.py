"""The verdict of a sweep: which settings are within noise of the best FID, and the cheapest of them."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from pipeline.evaluation.difference import holm, paired
from pipeline.evaluation.uncertainty import Measured
from pipeline.reporting.labels import Row, sampler_of
from pipeline.reporting.standings import frontier

ALPHA = 0.05
"""The chance that a setting as good as the best counts as worse, over all settings together."""
_PERCENT = f"{1 - ALPHA:.0%}".replace("%", " %")


@dataclass(frozen=True)
class Standing:
    """A setting beside the best one."""

    label: str
    """The sampler's label, with the spacing if the sampler has several."""
    steps: int
    nfe: int
    """Network calls an image."""
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
    def at_most(self) -> float:
        """How much worse than the best it is at most, in FID."""
        return max(0.0, self.high)

    @property
    def name(self) -> str:
        """The label and the network calls, for a sentence."""
        return f"{self.label} at {self.nfe} calls"


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
    def first_within(self) -> dict[str, Standing | None]:
        """Label → the setting of the fewest calls at which it is within noise of the best; None if it never is."""
        within = self.within
        labels = dict.fromkeys(one.label for one in self.standings)
        return {label: next((one for one in within if one.label == label), None) for label in labels}


def verdict(rows: list[Row]) -> Verdict:
    """Return the verdict on the rows of metrics.json: settings of one run, whose images have the same seeds.

    FID with each of K groups of seeds left out gives the error of the paired difference to the best and its bias; the
    interval is Student's, with K - 1 degrees of freedom, and Holm corrects for the number of settings.
    """
    if len(rows) < 2:
        return Verdict("it takes two settings")
    measured = [_measured(row) for row in rows]
    known = [one for one in measured if one is not None]
    if len(known) < len(rows):
        text = f"{len(rows) - len(known)} of {len(rows)} settings have no FID without groups of their images"
        return Verdict(f"{text} (fewer than 10 images, or measured by an earlier release)")
    best = min(range(len(rows)), key=lambda i: (rows[i]["fid"], rows[i]["nfe"]))
    differences = [paired(one, known[best]) for one in known]
    others = [i for i in range(len(rows)) if i != best]
    _, levels = holm([differences[i].p_value for i in others], ALPHA)
    level_of = dict(zip(others, levels, strict=True)) | {best: ALPHA}
    standings = []
    for i, (row, label) in enumerate(zip(rows, _labels(rows), strict=True)):
        low, high = differences[i].interval(level_of[i]) or (-math.inf, math.inf)
        cost = row["steps"], row["nfe"], 1 / row["images_per_second"]
        standings.append(Standing(label, *cost, row["fid"], row["fid_se"], differences[i].value, low, high))
    return Verdict("", tuple(standings), len({row.get("device") for row in rows}) == 1)


def to_lines(found: Verdict) -> list[str]:
    """Return the verdict as sentences, the answer first."""
    if found.reason:
        return [f"No verdict on the best setting: {found.reason}."]
    best, cheapest, fastest = found.best, found.cheapest, found.fastest
    of_best = f"{best.name}: {_fid(best.fid)} ± {best.fid_se:.1g}"
    if cheapest == best:
        fewest = best.nfe == min(one.nfe for one in found.standings)
        rest = "is of the fewest calls too" if fewest else "is beyond noise better than all of fewer calls"
        lines = [f"The best FID ({of_best}) {rest}."]
    else:
        few = f"{found.fewer_calls:.1f}× fewer calls"
        if found.longest.nfe > best.nfe:
            few += f", {found.fewer_than_longest:.1f}× fewer than {found.longest.name}"
        answer = f"{cheapest.name} ({_fid(cheapest.fid)}) is within noise of the best ({of_best})"
        lines = [f"{answer}: {few}, {_at_most(cheapest)}."]
        if cheapest.at_most > best.fid:
            lines.append("That bound is wider than the best FID itself: more images would tell them apart.")
    if fastest is not None and fastest != best:
        bound = "" if fastest == cheapest else f", {_at_most(fastest)}"
        lines.append(
            f"The fastest within noise of the best as measured is {fastest.name}: {1 / fastest.seconds:,.0f} images/s, "
            f"{best.seconds / fastest.seconds:.1f} times the best's{bound}."
        )
    frontier = (f"{one.name} ({_fid(one.fid)})" for one in found.frontier)
    lines.append(f"No setting beats these in both calls and FID: {', '.join(frontier)}.")
    reached = sorted((one.nfe, label) for label, one in found.first_within.items() if one is not None)
    never = [label for label, one in found.first_within.items() if one is None]
    fewest_calls = ", ".join(f"{label} {nfe}" for nfe, label in reached)
    rest = f"; never: {', '.join(never)}" if never else ""
    lines.append(f"Fewest calls within noise of the best: {fewest_calls}{rest}.")
    lines.append(
        f"Differences are over pairs of the same seed; {_PERCENT} is for all {len(found.standings)} settings together."
    )
    return lines


def _measured(row: Row) -> Measured | None:
    """Return FID and what it becomes without groups; None if the row does not have that."""
    left_out: Any = (row.get("jackknife") or {}).get("fid")
    if not left_out:
        return None
    return Measured(row["fid"], None, torch.tensor(left_out, dtype=torch.float64))


def _labels(rows: list[Row]) -> list[str]:
    pairs = [(sampler_of(row).label, row["spacing"]) for row in rows]
    spacings: dict[str, set[str]] = {}
    for label, spacing in pairs:
        spacings.setdefault(label, set()).add(spacing)
    return [f"{label} ({spacing})" if len(spacings[label]) > 1 else label for label, spacing in pairs]


def _at_most(one: Standing) -> str:
    return f"at most {one.at_most:.2g} worse ({_PERCENT})"


def _fid(value: float) -> str:
    return f"{value:.3g}"
