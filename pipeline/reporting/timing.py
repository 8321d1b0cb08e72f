"""Time against network calls (figure 4 of the DDIM paper): a line through the origin, and how far points are off."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.reporting.columns import duration
from pipeline.sweep.grid import Rows
from pipeline.sweep.method import Method


@dataclass(frozen=True)
class Proportion:
    """The line of a method."""

    method: Method
    seconds_a_call: float
    """Its slope: seconds of one worker for one network call and image."""
    deviation: float
    """The largest relative distance of a point from it."""
    points: int


def proportions(rows: Rows) -> list[Proportion]:
    """Return the line through the origin of each method, by least squares of relative deviations.

    Rows are weighted by 1 / seconds², since a time's error grows with it; the slope is then
    Σ (calls / seconds) / Σ (calls / seconds)². A method with one S has no line.
    """
    proportions = []
    for method in dict.fromkeys(setting.method for setting in rows):
        rates = [s.nfe * row["images_per_second"] for s, row in rows.items() if s.method == method]
        if len(rates) > 1 and all(math.isfinite(rate) and rate > 0 for rate in rates):
            slope = sum(rates) / sum(rate * rate for rate in rates)
            off = max(abs(1 / (rate * slope) - 1) for rate in rates)
            proportions.append(Proportion(method, slope, off, len(rates)))
    return proportions


def to_line(proportions: list[Proportion], names: Mapping[Method, str]) -> list[str]:
    """Return a line on how well time follows calls; none if no method has several S. `names` are labels."""
    if not proportions:
        return []
    least, most = (duration(pick(one.seconds_a_call for one in proportions)) for pick in (min, max))
    worst = max(proportions, key=lambda one: one.deviation)
    calls = least if least == most else f"{least} to {most}"
    return [
        f"Time follows calls: {calls} a network call and image of one worker; measured times are within "
        f"{worst.deviation:.0%} of a line through the origin ({names[worst.method]})."
    ]
