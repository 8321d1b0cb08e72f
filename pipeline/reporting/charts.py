"""The charts of the page: scales, ticks and marks as numbers, which the template writes as SVG."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

MARKS = (
    "M0-4.6A4.6 4.6 0 1 1 0 4.6A4.6 4.6 0 1 1 0-4.6Z",
    "M-4.2-4.2H4.2V4.2H-4.2Z",
    "M0-5.4L5.2 4H-5.2Z",
    "M0-5.8L5.8 0L0 5.8L-5.8 0Z",
    "M0 5.4L5.2-4H-5.2Z",
)
"""SVG paths around the origin: circle, square, triangle, diamond, triangle on its tip."""
PUBLISHED = "M-5-5L5 5M-5 5L5-5"
"""SVG path of a number that others published: a cross."""
COLORS = 7
"""Number of colours in the template, those of the plots; it shares no divisor with the marks, so 35 lines differ."""
WIDE, NARROW = (860, 430), (344, 340)
"""Width and height in CSS pixels, for a desktop and a phone, so that letters have the same size on both."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 26, 42
_LETTER = 7.0
"""Width of a digit in a label of a tick, in CSS pixels."""
_MOST_TICKS = 12
_MARGIN = 0.05
"""Room beyond the outermost marks, as a part of the axis."""


@dataclass(frozen=True)
class Point:
    """A mark in data units."""

    x: float
    y: float
    series: int
    """Which line, colour and mark."""
    name: str
    """What it says when it is pointed at."""
    x_se: float | None = None
    y_se: float | None = None
    published: bool = False
    """Whether it is another's number, so on no line of ours."""


@dataclass(frozen=True)
class Axis:
    """What an axis shows."""

    label: str
    log: bool
    wanted: tuple[float, ...] = ()
    """Ticks that are asked for; else round numbers."""


@dataclass(frozen=True)
class Tick:
    """A tick's distance in CSS pixels, and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Mark:
    """A mark in CSS pixels."""

    x: float
    y: float
    path: str
    color: int
    series: int
    name: str
    bars: str
    """SVG path of its error bars; empty if it has no errors."""
    published: bool


@dataclass(frozen=True)
class Drawing:
    """A chart of one size, in CSS pixels."""

    kind: str
    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    x_label: str
    y_label: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[tuple[int, int, str]]
    """(series, colour, SVG path)."""
    frontier: str
    """SVG path of the steps that no setting is below and left of; empty if it is not asked for."""
    marks: list[Mark]
    """From left to right, as the arrow keys walk them."""


class _Scale:
    """From data units to CSS pixels."""

    def __init__(self, axis: Axis, spans: Iterable[float], start: float, end: float) -> None:
        self.log, self.start, self.end = axis.log, start, end
        values = [self._of(value) for value in spans if not axis.log or value > 0]
        low, high = min(values), max(values)
        room = _MARGIN * (high - low) or (0.3 if axis.log else 0.05)
        self.low, self.high = low - room, high + room

    def _of(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def at(self, value: float) -> float:
        """Return the distance of a value; one that a logarithm does not have lies at the axis' low end."""
        inner = self.low if self.log and value <= 0 else self._of(value)
        part = (min(max(inner, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + part * (self.end - self.start), 1)

    def ticks(self, wanted: tuple[float, ...], across: bool) -> list[Tick]:
        """Return ticks whose labels do not touch: the finest round numbers for which that holds, or some of them."""
        for values in [wanted] if wanted else self._round():
            inside = [value for value in values if self.low <= self._of(value) <= self.high]
            ticks = [Tick(self.at(value), f"{value:g}") for value in inside]
            if 1 < len(ticks) <= _MOST_TICKS and all(_apart(one, other, across) for one, other in pairwise(ticks)):
                return ticks
        kept = ticks[:1]
        for tick in ticks[1:]:
            kept += [tick] if _apart(kept[-1], tick, across) else []
        return kept

    def _round(self) -> Iterable[list[float]]:
        low, high = self.low, self.high
        if self.log:
            decades = range(math.floor(low), math.ceil(high) + 1)
            for digits in ((1, 2, 3, 4, 5, 6, 8), (1, 2, 5), (1, 3), (1,)):
                yield [digit * 10.0**decade for decade in decades for digit in digits]
            if high - low > 1:
                return
            low, high = 10.0**low, 10.0**high  # a part of a decade may have no such digit in it
        power = 10.0 ** math.floor(math.log10(high - low))
        for step in (0.1 * power, 0.2 * power, 0.5 * power, power):
            first, last = math.ceil(low / step), math.floor(high / step)
            yield [round(step * i, 12) for i in range(first, last + 1)]


def draw(
    points: Sequence[Point], x: Axis, y: Axis, *, lines: bool = False, best: Sequence[Point] = ()
) -> list[Drawing]:
    """Return a chart for wide screens and one for narrow ones; none if there is nothing to show.

    Args:
        points: the marks; those that a logarithmic axis cannot have are left out.
        x: the horizontal axis.
        y: the vertical axis.
        lines: join the points of each series in the order of x.
        best: the frontier to draw.

    """
    shown = [p for p in points if (p.x > 0 or not x.log) and (p.y > 0 or not y.log)]
    shown = [p for p in shown if math.isfinite(p.x) and math.isfinite(p.y)]
    sizes = {"wide": WIDE, "narrow": NARROW}
    return [_draw(kind, size, shown, x, y, lines, best) for kind, size in sizes.items()] if shown else []


def _draw(
    kind: str, size: tuple[int, int], points: list[Point], x: Axis, y: Axis, lines: bool, best: Sequence[Point]
) -> Drawing:
    width, height = size
    right, bottom = width - _RIGHT, height - _BOTTOM
    across = _Scale(x, [v for p in points for v in _span(p.x, p.x_se, x)], _LEFT, right)
    up = _Scale(y, [v for p in points for v in _span(p.y, p.y_se, y)], bottom, _TOP)
    marks = [
        Mark(
            across.at(p.x),
            up.at(p.y),
            PUBLISHED if p.published else MARKS[p.series % len(MARKS)],
            p.series % COLORS,
            p.series,
            p.name,
            _bars(p, across, up),
            p.published,
        )
        for p in sorted(points, key=lambda p: (p.x, p.y))
    ]
    paths = []
    for series in dict.fromkeys(p.series for p in points) if lines else ():
        own = [mark for mark in marks if mark.series == series and not mark.published]
        paths.append((series, series % COLORS, _path([(mark.x, mark.y) for mark in own])))
    steps = _path(_steps([(across.at(p.x), up.at(p.y)) for p in best], _TOP, right)) if best else ""
    return Drawing(
        *(kind, width, height, _LEFT, right, _TOP, bottom, x.label, y.label),
        across.ticks(x.wanted, across=True),
        up.ticks(y.wanted, across=False),
        *(paths, steps, marks),
    )


def _span(value: float, se: float | None, axis: Axis) -> list[float]:
    """Return what the axis must have room for; on a logarithmic one a bar may run out of it towards 0."""
    low = value - (se or 0.0)
    return [value, max(low, value / 2) if axis.log else low, value + (se or 0.0)]


def _bars(point: Point, across: _Scale, up: _Scale) -> str:
    x, y, path = across.at(point.x), up.at(point.y), ""
    if point.x_se is not None:
        path += f"M{across.at(point.x - point.x_se)} {y}H{across.at(point.x + point.x_se)}"
    if point.y_se is not None:
        path += f"M{x} {up.at(point.y - point.y_se)}V{up.at(point.y + point.y_se)}"
    return path


def _steps(corners: list[tuple[float, float]], top: float, right: float) -> list[tuple[float, float]]:
    """Return the border of what the corners beat: from the top above the first to the right of the last."""
    border = [(corners[0][0], top), corners[0]]
    for (_, y), corner in pairwise(corners):
        border += [(corner[0], y), corner]
    return [*border, (right, corners[-1][1])]


def _path(corners: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in corners) if len(corners) > 1 else ""


def _apart(one: Tick, other: Tick, across: bool) -> bool:
    needed = _LETTER * (len(one.label) + len(other.label)) / 2 + 8 if across else 20.0
    return abs(other.at - one.at) >= needed
