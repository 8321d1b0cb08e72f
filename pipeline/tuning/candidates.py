"""What is searched: every sampler with its options, and the grids of times on which each can begin."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.diffusion import samplers
from pipeline.diffusion.samplers.base import Sampler, TooFewCallsError, network_calls
from pipeline.diffusion.schedule import Schedule
from pipeline.diffusion.spacing import largest_count
from pipeline.sweep.grid import Setting, listed_calls, setting_of
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
    options = samplers.options_schema(name)
    left_open = {option: _values(schema) for option, schema in options.items() if option not in given}
    every = itertools.product(*left_open.values())
    made = (samplers.make(name, given | dict(zip(left_open, values, strict=True))) for values in every)
    return list(dict.fromkeys(made))


def _values(schema: Mapping[str, Any]) -> list[Any]:
    """Return the values of an option that are searched, the default first."""
    return list(dict.fromkeys([schema["default"], *_of_type(schema)]))


def _of_type(schema: Mapping[str, Any]) -> Sequence[Any]:
    if "anyOf" in schema:
        return [value for one in schema["anyOf"] for value in _of_type(one)]
    if schema.get("type") == "integer" and "maximum" in schema:
        return range(schema["minimum"], schema["maximum"] + 1)
    words = [schema["const"]] if "const" in schema else schema.get("enum", ())
    return REALS if schema.get("type") == "number" else words


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
        calls = listed_calls(sampler, spacing, schedule)
    except ValueError:
        return None
    return Setting(Method(sampler, spacing, sampler.clips), calls, calls)


def on_default(sampler: Sampler, schedule: Schedule, calls: int) -> Setting | None:
    """Return the setting of a sampler on its default grid; None if the budget is too small for it."""
    try:
        return setting_of(Method(sampler, sampler.spacing, sampler.clips), calls, schedule)
    except TooFewCallsError:
        return None
