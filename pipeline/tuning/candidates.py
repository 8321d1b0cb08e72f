"""What is searched: every sampler with its options, and the grids of times on which each can begin."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Le

from pipeline.diffusion import samplers
from pipeline.diffusion.samplers.base import Sampler, TooFewCallsError, network_calls
from pipeline.diffusion.schedule import Grid, Schedule
from pipeline.diffusion.spacing import largest_count
from pipeline.sweep.grid import Setting
from pipeline.sweep.method import Method
from pipeline.tuning.grids import Times

REALS = (0.0, 0.5, 1.0)
"""The values of an option from 0 to 1, as eta, that are searched."""


def variants(text: str) -> list[Sampler]:
    """Return a sampler with all values of the options that its text leaves open, such as "unipc" or "unipc:order=2".

    Of an option with words these are all words; of whole numbers with bounds all numbers; of real numbers `REALS`.

    Raises:
        ValueError: there is no such sampler or option.

    """
    name, given = samplers.parse(text)
    hints = get_type_hints(samplers.SAMPLERS[name], include_extras=True)
    open_options = {
        field.name: _values(hints[field.name], field.default)
        for field in dataclasses.fields(samplers.SAMPLERS[name])
        if field.name not in given
    }
    every = itertools.product(*open_options.values())
    made = (samplers.make(name, given | dict(zip(open_options, values, strict=True))) for values in every)
    return list(dict.fromkeys(made))


def _values(hint: Any, default: Any) -> tuple[Any, ...]:
    """Return the values of an option that are searched, the default first."""
    return tuple(dict.fromkeys([default, *_of_type(hint)]))


def _of_type(hint: Any) -> Sequence[Any]:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return inner
    if origin is Annotated:
        bounds = [m for meta in inner[1:] for m in getattr(meta, "metadata", [meta])]
        low: list[Any] = [m.ge for m in bounds if isinstance(m, Ge)]
        high: list[Any] = [m.le for m in bounds if isinstance(m, Le)]
        return [*range(low[0], high[0] + 1)] if inner[0] is int and low and high else _of_type(inner[0])
    if origin is not None and (origin is Union or hint.__class__.__name__ == "UnionType"):
        return [value for one in inner for value in _of_type(one)]
    return REALS if hint is float else ()


def defaults(names: Sequence[str]) -> list[Sampler]:
    """Return samplers with their default options, those with `lower_order_final` both ways."""
    chosen: list[Sampler] = []
    for name, given in map(samplers.parse, names):
        both = [{"lower_order_final": way} for way in ("always", "never")]
        takes = "lower_order_final" in samplers.option_names(name) and "lower_order_final" not in given
        chosen += [samplers.make(name, given | more) for more in (both if takes else [{}])]
    return list(dict.fromkeys(chosen))


def most_times(sampler: Sampler, schedule: Schedule, calls: int) -> int:
    """Return how many times a sampler may be given within a budget of network calls.

    0 if the budget pays for no walk, or if the sampler cannot be given times, as `dpm_fast`.
    """

    def of(count: int) -> int:
        grid = sampler.nodes(schedule, schedule.tau("time-linear", count))
        return network_calls(sampler, grid) if grid else 0

    try:
        count = largest_count(of, calls, schedule.num_times)
    except ValueError:
        return 0
    return count if count and of(count) else 0


def ends_at_first(sampler: Sampler) -> bool:
    """Return whether a sampler's grids have the schedule's first time in them, whatever times are given."""
    return sampler.end == "first"


def listed(sampler: Sampler, times: Times, schedule: Schedule) -> Setting | None:
    """Return the setting of a sampler on times, rounded to four digits; None if it cannot walk them."""
    spacing = ",".join(f"{time:.4g}" for time in times)
    try:
        grid: Grid = sampler.nodes(schedule, schedule.tau(spacing, 1))
    except ValueError:
        return None
    if not grid:
        return None
    calls = network_calls(sampler, grid)
    return Setting(Method(sampler, spacing, sampler.clips), calls, calls)


def on_default(sampler: Sampler, schedule: Schedule, calls: int) -> Setting | None:
    """Return the setting of a sampler on its default grid; None if the budget is too small for it."""
    try:
        grid = sampler.grid(schedule, sampler.spacing, calls)
    except TooFewCallsError:
        return None
    return Setting(Method(sampler, sampler.spacing, sampler.clips), calls, network_calls(sampler, grid))
