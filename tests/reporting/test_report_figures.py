"""What the figures of a report draw: matplotlib's artists beside the rows, and pictures in the place of their label."""

import numpy as np
import pytest
from figures import at, bars, curves, image_of, plain, ticks
from measured_rows import ROWS, by_setting, lines

from pipeline.reporting import plots
from pipeline.reporting.report import _ends

LABELS = {
    ("ddim", 0.0, "linear"): "DDIM η = 0.0, linear",
    ("ddim", "hat", "linear"): "DDIM σ̂, linear",
    ("unipc", None, "time-quadratic"): "UniPC-2, time-quadratic",
    ("heun", None, "karras"): "Heun, karras",
}


def seconds(row):
    return 1000 / row["images_per_second"]


FIGURES = [
    # figure, x, y, standard error of y, label of x, label of y, scales
    (plots.fid_vs_calls, "nfe", "fid", "fid_se", "network calls an image", "FID", "log"),
    (plots.fid_vs_seconds, seconds, "fid", "fid_se", "seconds for 1,000 images, one worker", "FID", "log"),
    (
        plots.seconds_vs_calls,
        "nfe",
        seconds,
        None,
        "network calls an image",
        "seconds for 1,000 images, one worker",
        "log",
    ),
    (
        *(plots.consistency, "nfe", "consistency", "consistency_se", "network calls an image"),
        *("distance in features from the image at the largest S", "linear"),
    ),
]


@pytest.mark.parametrize(("figure", "x", "y", "se", "x_label", "y_label", "scale"), FIGURES)
def test_lines_and_bars_are_the_rows_numbers(kept, figure, x, y, se, x_label, y_label, scale):
    figure(by_setting([*reversed(ROWS)]))
    of_x, of_y = (key if callable(key) else (lambda row, key=key: row[key]) for key in (x, y))
    axes = kept.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == (x_label, y_label)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", scale)
    assert curves(axes) == {
        LABELS[key]: sorted((of_x(row), of_y(row)) for row in line) for key, line in lines(ROWS).items()
    }
    if se:
        # 95 % of a normal distribution, in a table of z; a bar ends at a hundredth of its number at the lowest
        ends = [(of_x(r), max(of_y(r) - 1.96 * r[se], of_y(r) / 100), of_y(r) + 1.96 * r[se]) for r in ROWS]
        assert np.array(bars(axes)) == pytest.approx(np.array(sorted(ends)), rel=1e-4)


@pytest.mark.parametrize("figure", [plots.fid_vs_calls, plots.seconds_vs_calls, plots.consistency])
def test_ticks_stand_at_the_budgets(kept, figure):
    figure(by_setting(ROWS))
    assert ticks(kept.axes.xaxis) == [(7, "7"), (10, "10"), (30, "30")]


def test_the_distance_of_another_seeds_image_is_marked_at_1(kept):
    plots.consistency(by_setting(ROWS))
    axes = kept.axes
    (level,) = [line for line in axes.lines if line.get_label().startswith("_")]
    assert ({*level.get_ydata()}, [text.get_text() for text in axes.texts]) == ({1.0}, ["another seed's image"])
    low, high = axes.get_ylim()
    assert low == 0
    assert high > 1


def test_rows_without_a_consistency_are_in_no_figure_of_it(kept):
    without = [{k: v for k, v in row.items() if "consistency" not in k} for row in ROWS[:3]]
    plots.consistency(by_setting(without + ROWS[3:]))
    assert [*curves(kept.axes)] == [LABELS[key] for key in LABELS][1:]


def test_lines_of_proportion_go_through_the_origin_and_the_points(kept):
    """Where every point is on its line, the line is drawn over them, in the unit of the axis."""
    exact = [row | {"images_per_second": 1 / (row["nfe"] * (1 + i // 3) * 1e-4)} for i, row in enumerate(ROWS)]
    plots.seconds_vs_calls(by_setting(exact))
    gray = [line for line in kept.axes.lines if line.get_label().startswith("_")]
    assert [line.get_xydata().ravel().tolist() for line in gray] == [
        pytest.approx([7, 7 * 0.1 * k, 31, 31 * 0.1 * k]) for k in (1, 2, 3, 4)
    ]


def test_a_row_of_samples_has_its_label(kept):
    plots.samples([("a", plain(40, 3)), ("b", plain(90, 3)), ("c", plain(140, 3))])
    axes = kept.axes
    found = {text: image_of(axes)[round(y), 5] for y, text in ticks(axes.yaxis)}
    assert found == {"a": 40, "b": 90, "c": 140}


def test_same_seeds_are_under_their_budget_and_beside_their_sampler(kept):
    plots.same_seeds([("a", {30: plain(130, 2), 7: plain(107, 2)}), ("b", {7: plain(207, 2), 10: plain(210, 2)})])
    axes = kept.axes
    assert [text for _, text in ticks(axes.xaxis)] == ["7", "10", "30"]
    assert [text for _, text in ticks(axes.yaxis)] == ["a", "b"]
    assert [[at(axes, x, y) for x in range(3)] for y in range(2)] == [[107, 255, 130], [207, 210, 255]]


def test_a_strip_has_its_rows_and_columns_where_their_labels_are(kept):
    plots.strip(
        [("a", [plain(11), plain(12), plain(13)]), ("b", [plain(21), plain(22), plain(23)])], ["1", "4", "9"], "t"
    )
    axes = kept.axes
    assert (axes.get_title(), [text for _, text in ticks(axes.xaxis)]) == ("t", ["1", "4", "9"])
    assert [text for _, text in ticks(axes.yaxis)] == ["a", "b"]
    assert [[at(axes, x, y) for x in range(3)] for y in range(2)] == [[11, 12, 13], [21, 22, 23]]


def test_the_least_and_the_most_are_those_of_s():
    assert _ends({10: "b", 30: "c", 7: "a"}) == {7: "a", 30: "c"}
