"""The metrics of reports: which of them the tables and the page show, under which titles, and how a number is shown."""

from dataclasses import dataclass
from typing import Any

from pipeline.sweep.grid import Row


@dataclass(frozen=True)
class Column:
    """A metric, as a table of its own or as a column of the page."""

    key: str
    """Key of a row of metrics.json."""
    title: str
    se: str | None = None
    """Key of its standard error."""
    falling: bool = False
    """Whether large numbers are good, so that sorting begins with them."""


TABLES = (
    Column("fid", "FID ↓", "fid_se"),
    Column("is_mean", "IS ↑", "is_se"),
    Column("images_per_second", "images/s per worker"),
    Column("consistency", "distance from the largest S, 1: another seed's", "consistency_se"),
)
"""A table each for a terminal, in Markdown and in LaTeX."""

IN_LATEX = {
    "fid": r"FID $\downarrow$",
    "is_mean": r"IS $\uparrow$",
    "consistency": "distance from the largest $S$",
}
"""Key of a table → its title in LaTeX, where that is another."""

PUBLISHED = {"fid_paper": "  paper", "fid_published": "  published, second-hand"}
"""Key of a row → label of the line below its method."""

OF_SETTING = (Column("steps", "S"), Column("nfe", "calls"))
"""The page's columns of numbers that a setting has before it is measured."""

COLUMNS = (
    *OF_SETTING,
    Column("fid", "FID", "fid_se"),
    Column("fid_inf", "FID − bias"),
    Column("is_mean", "IS", "is_se", falling=True),
    Column("kid_mean", "KID", "kid_se"),
    Column("precision", "precision", "precision_se", falling=True),
    Column("recall", "recall", "recall_se", falling=True),
    Column("images_per_second", "images/s", falling=True),
)
"""The columns of the page's table. CSV has all that rows have."""


def shown(key: str, row: Row, se: str | None = None) -> str:
    """Return a number of a row as reports show it, with "± " and its standard error if `se` names a known one."""
    error = row.get(se) if se else None
    text = _number(key, row.get(key))
    return text if error is None or text == "–" else f"{text} ± {error:.{_decimals(key, row[key])}f}"


def duration(seconds: float) -> str:
    """Return seconds for a reader: "5.3 ms" or "1.32 s"."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


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
