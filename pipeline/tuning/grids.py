"""Where a search begins: the times of all named spacings, and of families of spacings with a parameter."""

import itertools

from pipeline.diffusion.schedule import Schedule

Times = tuple[float, ...]
"""Ascending times of a schedule, in its unit."""

_FAMILIES = (
    ("karras", "karras ρ", "rho", (3, 5, 7, 10)),
    ("time-quadratic", "time power", "power", (1, 1.5, 2, 2.5, 3)),
    ("logsnr", "logsnr shift", "shift", (-1, -0.5, 0, 0.5, 1)),
)
"""(spacing, what readers call its family, the argument of `Schedule.even_tau` that makes it one, the values tried)."""
_HEIGHTS = (1, 0.9, 0.8, 0.7, 0.6)
"""The highest times that are tried, in parts of the schedule's last: the best grids of few calls begin lower."""


def named(schedule: Schedule, count: int) -> dict[str, Times]:
    """Return grids by what a reader calls them, such as "karras" or "karras ρ = 5 from 799.2".

    They are the schedule's spacings and then the families, from the schedule's last time and from lower ones. What does
    not give `count` ascending times is left out, and so are times that an earlier name has.

    Args:
        schedule: whose times they are.
        count: how many times, from 1 to `schedule.num_times`.

    """
    grids = {spacing: schedule.tau(spacing, count) for spacing in schedule.spacings}
    for height in _HEIGHTS:
        last = height * schedule.last
        start = "" if height == 1 else f" from {last:.6g}"
        for spacing, family, argument, values in _FAMILIES:
            for value in values:
                grids[f"{family} = {value:g}{start}"] = schedule.even_tau(spacing, count, last, **{argument: value})
    by_times: dict[Times, str] = {}
    for name, times in grids.items():
        if len(times) == count and all(a < b for a, b in itertools.pairwise(times)):
            by_times.setdefault((*map(float, times),), name)
    return {name: times for times, name in by_times.items()}
