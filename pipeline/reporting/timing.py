"""Time against network calls (figure 4 of the DDIM paper): a line through the origin, and how far points are off."""

import math
from dataclasses import dataclass

from pipeline.reporting.labels import Row, line_labels, sampler_of
from pipeline.reporting.standings import duration


@dataclass(frozen=True)
class Proportion:
    """The line of one sampler and spacing."""

    label: str
    seconds_a_call: float
    """Its slope: seconds of one worker for one network call and image."""
    deviation: float
    """The largest relative distance of a point from it."""
    points: int


def proportions(rows: list[Row]) -> list[Proportion]:
    """Return the line through the origin of each sampler and spacing, by least squares of relative deviations.

    Rows are weighted by 1 / seconds², since a time's error grows with it; the slope is then
    Σ (calls / seconds) / Σ (calls / seconds)². A sampler with one S has no line.
    """
    found = []
    for (sampler, spacing), label in line_labels(rows).items():
        here = [row for row in rows if (sampler_of(row), row["spacing"]) == (sampler, spacing)]
        rates = [row["nfe"] * row["images_per_second"] for row in here]
        if len(rates) > 1 and all(math.isfinite(rate) and rate > 0 for rate in rates):
            slope = sum(rates) / sum(rate * rate for rate in rates)
            off = max(abs(1 / (rate * slope) - 1) for rate in rates)
            found.append(Proportion(label, slope, off, len(rates)))
    return found


def to_line(found: list[Proportion]) -> list[str]:
    """Return a line on how well time follows calls; none if no sampler has several S."""
    if not found:
        return []
    least, most = (duration(pick(one.seconds_a_call for one in found)) for pick in (min, max))
    worst = max(found, key=lambda one: one.deviation)
    calls = least if least == most else f"{least} to {most}"
    return [
        f"Time follows calls: {calls} a network call and image of one worker; measured times are within "
        f"{worst.deviation:.0%} of a line through the origin ({worst.label})."
    ]
