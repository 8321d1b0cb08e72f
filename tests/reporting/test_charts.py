"""The numbers of a chart at its edges: what an axis cannot show, bars that run out of it, ticks that must not touch."""

import math
import re
from itertools import pairwise

import pytest

from pipeline.reporting.charts import COLORS, MARKS, Axis, Point, draw

LOG, LINEAR = Axis("x", log=True), Axis("y", log=False)


def place(ticks, value, log):
    """The pixel of a value between the first and the last of (pixel, number)."""
    of = math.log10 if log else float
    (first, low), (last, high) = ticks[0], ticks[-1]
    return first + (last - first) * (of(value) - of(low)) / (of(high) - of(low))


def numbers(ticks):
    return [(tick.at, float(tick.label)) for tick in ticks]


def test_a_bar_that_runs_out_of_a_logarithmic_axis_ends_at_its_low_end():
    points = [Point(1, 3.0, 0, "a", y_se=4.0), Point(2, 5.0, 0, "b", y_se=1.0)]
    for drawing in draw(points, LOG, Axis("y", log=True)):
        first, second = ([*map(float, re.findall(r"[\d.]+", mark.bars))] for mark in drawing.marks)
        assert first[1] == drawing.bottom
        assert first[2] == pytest.approx(place(numbers(drawing.y_ticks), 7.0, log=True), abs=0.5)
        assert second[1:] == pytest.approx([place(numbers(drawing.y_ticks), v, log=True) for v in (4.0, 6.0)], abs=0.5)


def test_what_has_no_place_on_an_axis_is_left_out_and_nothing_is_no_chart():
    points = [Point(x, y, 0, f"{x} {y}") for x, y in [(1, 2), (0, 2), (3, 0), (3, math.nan), (math.inf, 2), (4, 5)]]
    for drawing in draw(points, LOG, Axis("y", log=True)):
        assert [mark.name for mark in drawing.marks] == ["1 2", "4 5"]
    assert [mark.name for mark in draw(points, LINEAR, LINEAR)[0].marks] == ["0 2", "1 2", "3 0", "4 5"]
    assert draw(points[1:3], LOG, Axis("y", log=True)) == []
    assert draw([], LINEAR, LINEAR) == []


@pytest.mark.parametrize(
    "points", [[(5, 5)], [(1, 1), (1000, 0.001)], [(0.02, 1.9), (0.021, 1.91)], [(3, 7), (40, 11)]]
)
@pytest.mark.parametrize("log", [True, False])
def test_ticks_are_apart_and_inside_and_marks_lie_between_them(points, log):
    axis = Axis("a", log=log)
    for drawing in draw([Point(x, y, 0, f"{x}") for x, y in points], axis, axis):
        x_ticks, y_ticks = numbers(drawing.x_ticks), numbers(drawing.y_ticks)
        assert 2 <= min(len(x_ticks), len(y_ticks)) <= max(len(x_ticks), len(y_ticks)) <= 12
        assert all(drawing.left <= at <= drawing.right for at, _ in x_ticks)
        assert all(drawing.top <= at <= drawing.bottom for at, _ in y_ticks)
        # labels of digits 7 pixels wide and at least 8 pixels between two of them
        wide = [7 * len(tick.label) / 2 for tick in drawing.x_ticks]
        gaps = zip(x_ticks, x_ticks[1:], wide, wide[1:], strict=False)
        assert all(other[0] - one[0] >= half + next_half + 8 for one, other, half, next_half in gaps)
        assert all(one[0] - other[0] >= 20 for one, other in pairwise(y_ticks))
        for mark, (x, y) in zip(drawing.marks, sorted(points), strict=True):
            assert (mark.x, mark.y) == pytest.approx((place(x_ticks, x, log), place(y_ticks, y, log)), abs=0.6)


def test_thirty_five_lines_look_different():
    (drawing, _) = draw([Point(1 + i, 1, i, f"{i}") for i in range(COLORS * len(MARKS))], LINEAR, LINEAR, lines=True)
    assert len({(mark.color, mark.path) for mark in drawing.marks}) == 35
    assert drawing.lines == [(i, i % COLORS, "") for i in range(35)]  # one point is no line


def test_lines_go_from_left_to_right_in_whatever_order_points_come():
    points = [Point(x, y, series, f"{x}") for x, y, series in [(9, 1, 0), (2, 5, 1), (1, 3, 0), (4, 2, 0), (6, 4, 1)]]
    for drawing in draw(points, LINEAR, LINEAR, lines=True):
        at = {mark.name: f"{mark.x} {mark.y}" for mark in drawing.marks}
        assert [*at] == ["1", "2", "4", "6", "9"]  # the arrow keys walk so
        assert drawing.lines == [(0, 0, f"M{at['1']}L{at['4']}L{at['9']}"), (1, 1, f"M{at['2']}L{at['6']}")]
