"""The table of the page: every setting with its numbers and their errors, and which are as good as the best."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.reporting.labels import Row

T = TypeVar("T")

TWO_SIDED = 1.96
"""Standard errors to either side of a normal variable's mean that hold 95 % of it."""
NOT_MEASURED = "not measured yet"


@dataclass(frozen=True)
class Column:
    """A column of numbers."""

    key: str
    """Key of a row of metrics.json."""
    title: str
    se: str | None = None
    """Key of its standard error."""
    falling: bool = False
    """Whether large numbers are good, so that sorting begins with them."""


COLUMNS = (
    Column("steps", "S"),
    Column("nfe", "calls"),
    Column("fid", "FID", "fid_se"),
    Column("fid_inf", "FID − bias"),
    Column("is_mean", "IS", "is_se", falling=True),
    Column("kid_mean", "KID", "kid_se"),
    Column("precision", "precision", "precision_se", falling=True),
    Column("recall", "recall", "recall_se", falling=True),
    Column("images_per_second", "images/s", falling=True),
)


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
    """One for each of `COLUMNS`; of a setting that is not measured yet, S and calls alone."""
    best: bool
    fid: float

    @property
    def measured(self) -> bool:
        """Whether it has its numbers."""
        return len(self.cells) == len(COLUMNS)


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
    best, found = rows[lowest], {lowest}
    for i in finite:
        one, other = rows[i].get("fid_se"), best.get("fid_se")
        if None not in (one, other) and rows[i]["fid"] - best["fid"] < TWO_SIDED * math.hypot(one or 0.0, other or 0.0):
            found.add(i)
    return found


def frontier(items: Iterable[T], of: Callable[[T], tuple[float, float]]) -> list[T]:
    """Return the items that no other beats in both numbers of `of`, by the first: less is better in both."""
    found: list[T] = []
    for item in sorted(items, key=of):
        if not found or of(item)[1] < of(found[-1])[1]:
            found.append(item)
    return found


def line(label: str, spacing: str, output: str, row: Row, best: bool) -> Line:
    """Return the line of a setting: `row` is its row of metrics.json, or `Setting.describe()` if it has none yet."""
    columns = COLUMNS if "fid" in row else COLUMNS[:2]
    cells = [_cell(column, row) for column in columns]
    return Line(label, spacing, output, cells, best, row.get("fid", math.inf))


def ordered(lines: Sequence[Line]) -> list[Line]:
    """Return the lines by FID, the lowest first, and what has none last."""
    return sorted(lines, key=lambda one: one.fid if math.isfinite(one.fid) else math.inf)


def shown(key: str, row: Row, se: str | None = None) -> str:
    """Return a number of a row as the page shows it, with "± " and its standard error if `se` names a known one."""
    error = row.get(se) if se else None
    text = _number(key, row.get(key))
    return text if error is None or text == "–" else f"{text} ± {error:.{_decimals(key, row[key])}f}"


def duration(seconds: float) -> str:
    """Return seconds for a reader: "5.3 ms" or "1.32 s"."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _cell(column: Column, row: Row) -> Cell:
    text, _, error = shown(column.key, row, column.se).partition(" ")
    value = row.get(column.key)
    return Cell(text, error, value if value is not None and math.isfinite(value) else None)


def _number(key: str, value: Any) -> str:
    if value is None:
        return "–"
    if key in ("steps", "nfe"):
        return f"{value:,}"
    if key == "images_per_second":
        return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"
    return f"{value:.{_decimals(key, value)}f}"


def _decimals(key: str, value: float) -> int:
    """Return the decimals of a metric, those of the tables in report/; KID of Inception is a few thousandths."""
    if key in ("precision", "recall"):
        return 3
    if key == "consistency":
        return 4 if value < 0.1 else 3
    if key == "is_mean" or abs(value) >= 1:
        return 2
    return 4 if key == "kid_mean" else 3
