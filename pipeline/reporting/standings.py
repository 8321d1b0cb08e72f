"""The table of the page: every setting with its numbers and their errors, and which are as good as the best."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipeline.reporting.columns import OF_SETTING, Column, columns, shown
from pipeline.sweep.grid import Row, Setting

T = TypeVar("T")

TWO_SIDED = 1.96
"""Standard errors to either side of a normal variable's mean that hold 95 % of it."""
NOT_MEASURED = "not measured yet"


@dataclass(frozen=True)
class Cell:
    """A number as it is shown."""

    text: str
    error: str
    """"± " and the standard error; empty if it is unknown."""
    value: float | None
    """What the column is sorted by; None comes last."""


@dataclass(frozen=True)
class Line:
    """A setting's line in the table."""

    label: str
    spacing: str
    output: str
    """The output it is from, if there are several."""
    cells: list[Cell]
    """One for each of `columns`; of a setting that is not measured yet, S and calls alone."""
    best: bool
    fid: float
    measured: bool
    """Whether it has its numbers."""


def best_set(rows: Sequence[Row]) -> set[int]:
    """Return the positions of the rows whose FID is within noise of the lowest, and that of the lowest itself.

    A difference is noise below 1.96 times the standard error of a difference of independent numbers. Rows without an
    error are in only if they are the lowest. Empty if no row has a finite FID.

    Args:
        rows: rows of metrics.json that may be compared.

    """
    finite = [i for i, row in enumerate(rows) if math.isfinite(row["fid"])]
    if not finite:
        return set()
    lowest = min(finite, key=lambda i: rows[i]["fid"])
    best, chosen = rows[lowest], {lowest}
    for i in finite:
        one, other = rows[i].get("fid_se"), best.get("fid_se")
        if None not in (one, other) and rows[i]["fid"] - best["fid"] < TWO_SIDED * math.hypot(one or 0.0, other or 0.0):
            chosen.add(i)
    return chosen


def frontier(items: Iterable[T], of: Callable[[T], tuple[float, float]]) -> list[T]:
    """Return the items that no other beats in both numbers of `of`, by the first: less is better in both."""
    chosen: list[T] = []
    for item in sorted(items, key=of):
        if not chosen or of(item)[1] < of(chosen[-1])[1]:
            chosen.append(item)
    return chosen


def line(setting: Setting, label: str, output: str, row: Row | None, best: bool) -> Line:
    """Return the line of a setting: `row` is its row of metrics.json, or None if it has none yet."""
    values = setting.describe() | (row or {})
    cells = [_cell(column, values) for column in (OF_SETTING if row is None else columns())]
    return Line(label, setting.spacing, output, cells, best, values.get("fid", math.inf), row is not None)


def ordered(lines: Sequence[Line]) -> list[Line]:
    """Return the lines by FID, the lowest first, and what has none last."""
    return sorted(lines, key=lambda one: one.fid if math.isfinite(one.fid) else math.inf)


def _cell(column: Column, row: Row) -> Cell:
    text, _, error = shown(column, row).partition(" ")
    value = row.get(column.key)
    return Cell(text, error, value if value is not None and math.isfinite(value) else None)
