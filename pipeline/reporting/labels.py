"""The labels of samplers in tables, plots and pictures."""

from typing import Any

from pipeline.diffusion import samplers
from pipeline.diffusion.samplers.base import Sampler

Row = dict[str, Any]
"""A setting's row of metrics.json."""


def sampler_of(row: Row) -> Sampler:
    """Return the sampler of a row, with its options."""
    return samplers.make(row["sampler"], row)


def labels(rows: list[Row]) -> dict[Sampler, str]:
    """Return a label for each sampler of the rows. If they differ only in options, the label has only these."""
    found = dict.fromkeys(map(sampler_of, rows))
    alone = len({sampler.name for sampler in found}) == 1 and all(sampler.options_label for sampler in found)
    return {sampler: sampler.options_label if alone else sampler.label for sampler in found}


def line_labels(rows: list[Row]) -> dict[tuple[Sampler, str], str]:
    """Return a label for each sampler and spacing of the rows, with the spacing in it if there are several."""
    lines = dict.fromkeys((sampler_of(row), row["spacing"]) for row in rows)
    several = len({spacing for _, spacing in lines}) > 1
    names = labels(rows)
    return {line: names[line[0]] + (f", {line[1]}" if several else "") for line in lines}


def one_spacing_each(rows: list[Row]) -> bool:
    """Return whether there are several spacings and every sampler has one of its own."""
    pairs = {(sampler_of(row), row["spacing"]) for row in rows}
    return len({spacing for _, spacing in pairs}) > 1 and len({sampler for sampler, _ in pairs}) == len(pairs)
