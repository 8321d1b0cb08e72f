"""The charts of a page read back from its SVG: where their ticks put a number, and what is drawn in which place."""

import math
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

PIXELS = 0.3
"""Coordinates are rounded to 0.1; an axis that is read back from two of them is off by up to 0.2 beyond its ticks."""


@dataclass
class Axis:
    """What the ticks and the label of an axis say."""

    label: str = ""
    ticks: list = field(default_factory=list)
    """(pixel, text)."""
    log: bool = False

    def at(self, value):
        """The pixel of a value, from the first and the last tick; every other tick has to agree."""
        of = math.log10 if self.log else float
        known = sorted((of(float(text)), pixel) for pixel, text in self.ticks)
        (low, first), (high, last) = known[0], known[-1]
        scale = (last - first) / (high - low)
        assert [first + scale * (v - low) for v, _ in known] == pytest.approx([p for _, p in known], abs=PIXELS)
        return first + scale * (of(value) - low)


@dataclass
class Mark:
    """A mark of a setting, in pixels."""

    x: float
    y: float
    series: str
    cross: bool = False
    across: tuple | None = None
    """The ends of its horizontal bar, from left to right."""
    up: tuple | None = None
    """The ends of its vertical bar, from bottom to top."""


@dataclass
class Chart:
    """One SVG."""

    name: str
    kind: str
    x: Axis = field(default_factory=Axis)
    y: Axis = field(default_factory=Axis)
    marks: dict = field(default_factory=dict)
    """What a mark says → the mark."""
    lines: dict = field(default_factory=dict)
    """Series → its corners, in pixels."""
    frontier: list = field(default_factory=list)
    legend: dict = field(default_factory=dict)
    """Label → series; that of the crosses has none."""
    walk: str = ""
    """What it says of its marks to whom walks by the arrow keys."""

    def place(self, x, y):
        """The pixels of a pair of values."""
        return self.x.at(x), self.y.at(y)


class _Reader(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.charts, self.svg, self.text, self.group, self.entry = [], None, None, None, None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        kind = a.get("class", "")
        if tag == "div" and kind == "chart":
            self.figure, self.walk = [], a["aria-label"]
        elif tag == "svg" and kind in ("wide", "narrow"):
            self.svg = Chart(a["aria-label"], kind, walk=self.walk)
            self.figure.append(self.svg)
            self.charts.append(self.svg)
        elif tag == "li" and self.svg is None and getattr(self, "figure", None):
            self.entry = [a.get("data-series"), ""]
        elif self.svg is not None:
            self.in_svg(tag, a, kind)

    def in_svg(self, tag, a, kind):
        if tag == "text":
            self.text = [kind, a, ""]
        elif tag == "g":
            self.group = Mark(float(a["data-x"]), float(a["data-y"]), a["data-series"]) if "data-name" in a else None
            if self.group:
                assert a["data-name"] not in self.svg.marks
                self.svg.marks[a["data-name"]] = self.group
        elif kind == "frontier":
            self.svg.frontier = corners(a["d"])
        elif kind.startswith("line"):
            assert a["data-series"] not in self.svg.lines
            self.svg.lines[a["data-series"]] = corners(a["d"])
        elif self.group and kind == "bar":
            if found := re.search(r"M([\d.]+) ([\d.]+)H([\d.]+)", a["d"]):
                assert float(found[2]) == self.group.y
                self.group.across = float(found[1]), float(found[3])
            if found := re.search(r"M([\d.]+) ([\d.]+)V([\d.]+)", a["d"]):
                assert float(found[1]) == self.group.x
                self.group.up = float(found[2]), float(found[3])
        elif self.group and kind in ("mark", "cross"):
            self.group.cross = kind == "cross"
            assert a["transform"] == f"translate({self.group.x} {self.group.y})"

    def handle_data(self, data):
        if self.text is not None:
            self.text[2] += data
        if self.entry is not None:
            self.entry[1] += data

    def handle_endtag(self, tag):
        if tag == "text":
            kind, a, text = self.text
            axis = self.svg.x if a.get("text-anchor") == ("end" if kind == "axis" else "middle") else self.svg.y
            if kind == "axis":
                axis.label = text
            else:
                axis.ticks.append((float(a["x"]) if axis is self.svg.x else float(a["y"]) - 4, text))
            self.text = None
        elif tag == "svg" and self.entry is None:
            self.svg = None
        elif tag == "li" and self.entry is not None:
            for chart in self.figure:
                chart.legend[self.entry[1].strip()] = self.entry[0]
            self.entry = None
        elif tag == "ul":
            self.figure = None


def corners(path):
    """The corners of a path of straight lines."""
    return [tuple(map(float, corner.split())) for corner in path.removeprefix("M").split("L")]


def charts(html):
    """First words of a chart's name → its wide and its narrow drawing."""
    found = {}
    for chart in _Reader(html).charts:
        found.setdefault(chart.name.partition(",")[0].partition(";")[0], []).append(chart)
    return found
