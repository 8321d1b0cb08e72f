"""The figures of a tuning: what their artists draw, beside the numbers that the answers are made of."""

import numpy as np
import pytest
from figures import Kept, bars, curves, image_of, ticks
from matplotlib.collections import PolyCollection
from schedules import SCHEDULE
from tuned_answers import answer, none_wins, pictures, winner, worse

from pipeline.reporting import plots
from pipeline.tuning.figures import fid_vs_calls, same_seeds, times
from pipeline.tuning.sentences import names_of


@pytest.fixture
def kept(monkeypatch):
    """The figures, which become no files."""
    kept = Kept()
    monkeypatch.setattr(plots, "saved", kept)
    yield kept
    for figure in kept.figures:
        plots.plt.close(figure)


ANSWERS = [worse(), winner(), none_wins()]
NAMES = names_of(ANSWERS)
TEACHER = "teacher: UniPC-2, time-quadratic"


def test_fid_is_without_bias_on_a_line_each_and_what_does_not_win_is_hollow(kept):
    fid_vs_calls(ANSWERS, NAMES)
    axes = kept.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("network calls an image", "FID − bias")
    assert ticks(axes.xaxis) == [(3, "3"), (5, "5"), (6, "6"), (8, "8"), (50, "50")]
    expected = {
        # of 8 calls the ladder has one too, with 0.121
        "best default": [(3, 0.6), (5, 0.245), (6, 0.19), (8, 0.119)],
        "tuned": [(5, 0.131)],
        "closest, no win": [(3, 1.8), (8, 0.108)],
        TEACHER: [(50, 0.102)],
    }
    lines = curves(axes)
    assert lines.keys() == expected.keys()
    for label, points in expected.items():
        assert lines[label] == [pytest.approx(point) for point in points]
    styles = {line.get_label(): (line.get_linestyle(), line.get_markerfacecolor()) for line in axes.lines}
    assert styles["closest, no win"] == ("None", "none")
    assert styles["tuned"][0] == styles["best default"][0] == "-"
    assert styles[TEACHER][0] == "None"
    assert len({line.get_color() for line in axes.lines}) == 3


def test_numbers_of_calls_whose_labels_would_touch_have_one_label(kept):
    ladder = [(12, 0.2), (13, 0.18), (14, 0.15), (15, 0.14), (17, 0.12)]
    one = answer(
        5, [("unipc", "0,40,95,310,450,770", 0.131, 0.009)], [("unipc", "time-quadratic", 0.245, 0.01)], ladder=ladder
    )
    fid_vs_calls([one], names_of([one]))
    assert [label for _, label in ticks(kept.axes.xaxis)] == ["5", "12", "14", "17", "50"]
    assert [x for x, _ in curves(kept.axes)["best default"]] == [5, 12, 13, 14, 15, 17]


def test_bars_and_bands_are_95_percent(kept):
    """FID's error is the hypotenuse of 0.008 and a setting's own."""
    fid_vs_calls([winner()], NAMES)
    (band,) = [one for one in kept.axes.collections if isinstance(one, PolyCollection)]
    band.remove()
    own = {(5, 0.245): 0.012, (5, 0.131): 0.009, (6, 0.19): 0.009, (8, 0.121): 0.009, (50, 0.102): 0.006}
    ends = [(x, y - 1.96 * np.hypot(0.008, se), y + 1.96 * np.hypot(0.008, se)) for (x, y), se in own.items()]
    assert bars(kept.axes) == [pytest.approx(one) for one in sorted(ends)]
    corners = {(round(x, 4), round(y, 4)) for x, y in band.get_paths()[0].vertices}
    default = [one for one in ends if one[0] in (6, 8)] + [ends[0]]
    assert corners == {(x, round(end, 4)) for x, low, high in default for end in (low, high)}


def test_without_a_winner_no_line_is_called_tuned(kept):
    fid_vs_calls([none_wins()], NAMES)
    assert curves(kept.axes).keys() == {"best default", "closest, no win", TEACHER}


def test_times_of_each_grid_lie_where_its_log_snr_is(kept):
    times(ANSWERS, NAMES, SCHEDULE)
    axes = kept.axes
    labels = [text for _, text in ticks(axes.yaxis)]
    assert labels == [
        "3 calls: UniPC-2, time-quadratic",
        "UniPC-2, finalist",
        "5 calls: UniPC-2, time-quadratic",
        "UniPC-2, tuned",
        "UniPC-3, finalist",
        "8 calls: UniPC-2, time-quadratic",
        "UniPC-2, finalist",
        "DDIM η = 0.0, finalist",
        "teacher: UniPC-2, 50 calls",
    ]
    tuned, last = axes.lines[3], axes.lines[7]
    table = np.array(SCHEDULE.alphas_cumprod)
    log_snr = np.log(table / (1 - table)) / 2
    assert [*tuned.get_xdata()] == pytest.approx(log_snr[[774, 452, 313, 95, 39, 0]])
    # DDIM ends at time 0 too, where it is infinite
    assert [*last.get_xdata()] == pytest.approx(log_snr[[800, 500, 400, 300, 200, 99, 50, 1]])
    assert [{*line.get_ydata()} for line in axes.lines] == [{row} for row in range(9)]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first row is at the top"
    assert "log(α / σ)" in axes.get_xlabel()


def test_the_same_seeds_by_default_tuned_and_teacher(kept):
    shown = pictures(*ANSWERS)
    same_seeds(ANSWERS, NAMES, shown)
    axes = kept.axes
    labels = [text for _, text in ticks(axes.yaxis)]
    expected = {
        "3 calls: UniPC-2, time-quadratic": ANSWERS[0].proof.best_default,
        "UniPC-2, closest": ANSWERS[0].lead.setting,
        "5 calls: UniPC-2, time-quadratic": ANSWERS[1].proof.best_default,
        "UniPC-2, tuned": ANSWERS[1].lead.setting,
        "8 calls: UniPC-2, time-quadratic": ANSWERS[2].proof.best_default,
        "closest at 8 calls": ANSWERS[2].lead.setting,
        "teacher: UniPC-2, 50 calls": ANSWERS[0].teacher,
    }
    assert labels == [*[label.replace("closest at 8 calls", "UniPC-2, closest") for label in expected]]
    height = image_of(axes).shape[0] // len(labels)
    assert image_of(axes).shape == (7 * 10, 10 * 10)
    for row, setting in enumerate(expected.values()):
        for seed in (0, 9):
            assert image_of(axes)[row * height + 5, seed * 10 + 5] == shown[setting][seed, 0, 0, 0], (row, seed)
