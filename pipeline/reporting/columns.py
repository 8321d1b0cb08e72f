"""The numbers of reports: which of them the tables and the page show, under which titles, and how each is written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.metrics.base import Metric, with_error
from pipeline.sweep.grid import Row


@dataclass(frozen=True)
class Column:
    """A number of a setting, as a table of its own or as a column of the page."""

    key: str
    """Key of a row of metrics.json."""
    title: str
    text: Callable[[Any, Any], str]
    """(value, that value or its error) → the second as text, in the form of the first."""
    se: str | None = None
    """Key of its standard error."""
    falling: bool = False
    """Whether large numbers are good, so that sorting begins with them."""
    heading: str = ""
    """Title of its table."""
    latex_heading: str = ""
    """The same in LaTeX."""

    @classmethod
    def of(cls, metric: Metric) -> "Column":
        """Return the column of a metric."""
        headings = metric.heading, metric.latex_heading
        return cls(metric.key, metric.title, metric.text, metric.se, metric.higher_is_better, *headings)


def _whole(value: int, number: int) -> str:
    return f"{number:,}"


def _rate(value: float, number: float) -> str:
    return f"{number:,.0f}" if value >= 10 else f"{number:.3g}"


OF_SETTING = (Column("steps", "S", _whole), Column("nfe", "calls", _whole))
"""The page's columns of numbers that a setting has before it is measured."""
SPEED = Column("images_per_second", "images/s", _rate, None, True, *2 * ("images/s per worker",))
CONSISTENCY = Column(
    "consistency",
    "distance",
    lambda value, number: f"{number:.{4 if value < 0.1 else 3}f}",
    "consistency_se",
    heading="distance from the largest S, 1: another seed's",
    latex_heading="distance from the largest $S$",
)
PUBLISHED = {"fid_paper": "  paper", "fid_published": "  published, second-hand"}
"""Key of a row → label of the line below its method."""


def tables() -> list[Column]:
    """Return what has a table each for a terminal, in Markdown and in LaTeX."""
    return [*(Column.of(metric) for metric in METRICS.values() if metric.in_tables), SPEED, CONSISTENCY]


def columns() -> list[Column]:
    """Return the columns of the page's table. CSV has all that rows have."""
    return [*OF_SETTING, *map(Column.of, METRICS.values()), SPEED]


def shown(column: Column, row: Row) -> str:
    """Return a number of a row as reports show it, with "± " and its standard error if that is known."""
    return with_error(column.text, row.get(column.key), row.get(column.se) if column.se else None)


def metric_shown(name: str, row: Row) -> str:
    """Return a metric of a row as reports show it, by its name."""
    return METRICS[name].shown(row)


def duration(seconds: float) -> str:
    """Return seconds for a reader: "5.3 ms" or "1.32 s"."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
