"""What the charts of the page show: their marks, bars, lines and frontiers through their axes are the rows' numbers."""

from itertools import pairwise

import pytest
from measured_rows import by_setting, consistency, lines, numbers, published, unbeaten
from page_charts import PIXELS, charts
from pages import output

from pipeline.reporting.page import to_html
from pipeline.reporting.part import Part

TIME, CALLS = "FID against seconds an image", "FID against network calls an image"
QUALITY, PACE = "Precision against recall", "Seconds an image against network calls"
DISTANCE = "Distance from the image at the largest S against network calls"
NAMES = {"ddim": "DDIM η = 0.0, linear", "unipc": "UniPC-2, time-quadratic", "heun": "Heun, karras"}


def page(run, rows):
    return to_html([Part(run, by_setting(rows), [], {})], verdict=[]).decode()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return output(tmp_path_factory.mktemp("charts") / "out", measured=0)


@pytest.fixture(scope="module")
def rows(run):
    return [setting.describe() | numbers(i) | consistency(i) | published(i) for i, setting in enumerate(run.settings)]


@pytest.fixture(scope="module")
def drawn(run, rows):
    """Name → the chart for wide screens and the one for narrow ones."""
    return charts(page(run, rows))


def named(row):
    return f"{NAMES[row['sampler']]}, S = {row['steps']}"


def the_mark(chart, row):
    """The one mark that is a setting's own."""
    (found,) = [mark for says, mark in chart.marks.items() if says.startswith(f"{named(row)}:") and not mark.cross]
    return found


def near(found, expected):
    assert found == pytest.approx(expected, abs=PIXELS)


AXES = {
    TIME: ("seconds an image, one worker", "FID", (True, True)),
    CALLS: ("network calls an image", "FID", (True, True)),
    QUALITY: ("recall", "precision", (False, False)),
    DISTANCE: ("network calls an image", "distance, 1: another seed's", (True, False)),
    PACE: ("network calls an image", "seconds an image", (True, True)),
}
VALUES = {
    TIME: (lambda row: 1 / row["images_per_second"], lambda row: row["fid"], None, "fid_se"),
    CALLS: (lambda row: row["nfe"], lambda row: row["fid"], None, "fid_se"),
    QUALITY: (lambda row: row["recall"], lambda row: row["precision"], "recall_se", "precision_se"),
    DISTANCE: (lambda row: row["nfe"], lambda row: row["consistency"], None, "consistency_se"),
    PACE: (lambda row: row["nfe"], lambda row: 1 / row["images_per_second"], None, None),
}


@pytest.mark.parametrize("name", AXES)
def test_marks_and_bars_are_the_rows_numbers_on_the_axes_that_are_named(drawn, rows, name):
    x_label, y_label, logs = AXES[name]
    of_x, of_y, x_se, y_se = VALUES[name]
    assert [chart.kind for chart in drawn[name]] == ["wide", "narrow"]
    for chart in drawn[name]:
        assert (chart.x.label, chart.y.label) == (x_label, y_label)
        chart.x.log, chart.y.log = logs
        assert chart.x.at(2) > chart.x.at(1)
        assert chart.y.at(2) < chart.y.at(1)  # pixels are counted from the top
        for row in rows:
            x, y, mark = of_x(row), of_y(row), the_mark(chart, row)
            near((mark.x, mark.y), chart.place(x, y))
            if y_se is None:
                assert mark.up is None
            else:
                near(mark.up, (chart.y.at(y - row[y_se]), chart.y.at(y + row[y_se])))
            if x_se is None:
                assert mark.across is None
            else:
                near(mark.across, (chart.x.at(x - row[x_se]), chart.x.at(x + row[x_se])))


@pytest.mark.parametrize("name", [CALLS, DISTANCE, PACE])
def test_a_line_joins_the_marks_of_its_sampler_from_few_calls_to_many_and_no_other(drawn, rows, name):
    for chart in drawn[name]:
        assert len(chart.lines) == 3
        for line in lines(rows).values():
            marks = [the_mark(chart, row) for row in line]
            (series,) = {mark.series for mark in marks}
            assert chart.lines[series] == [(mark.x, mark.y) for mark in marks]
            assert chart.legend[NAMES[line[0]["sampler"]]] == series


@pytest.mark.parametrize("name", [TIME, QUALITY])
def test_what_is_no_function_of_s_has_no_lines(drawn, name):
    assert [chart.lines for chart in drawn[name]] == [{}, {}]


def test_crosses_are_others_numbers_at_our_calls(drawn, rows):
    for chart in drawn[CALLS]:
        chart.x.log = chart.y.log = True
        crosses = {says: mark for says, mark in chart.marks.items() if mark.cross}
        expected = {
            f"{named(row)}: {whose} FID {row[key]:.2f}, {row['nfe']} calls": chart.place(row["nfe"], row[key])
            for row in rows
            for key, whose in (("fid_paper", "paper"), ("fid_published", "published, second-hand"))
            if row[key]
        }
        assert len(expected) == 9 + 8
        assert crosses.keys() == expected.keys()
        for says, place in expected.items():
            near((crosses[says].x, crosses[says].y), place)
            assert (crosses[says].up, crosses[says].across) == (None, None)
        assert chart.legend["published by others"] is None
    assert not [
        mark for name in (TIME, QUALITY, DISTANCE, PACE) for mark in drawn[name][0].marks.values() if mark.cross
    ]


def test_the_frontier_is_of_fid_and_time(run, drawn, rows):
    """A flight of steps: down to each setting that nothing beats, and to the right until the next."""
    seconds = [(1 / row["images_per_second"], row["fid"]) for row in rows]
    found = unbeaten(seconds)
    assert len(found) == 3
    assert found != unbeaten([(row["nfe"], row["fid"]) for row in rows])
    for chart in drawn[TIME]:
        best = sorted((the_mark(chart, rows[i]) for i in found), key=lambda mark: mark.x)
        steps = [(best[0].x, 26.0), (best[0].x, best[0].y)]
        for one, other in pairwise(best):
            steps += [(other.x, one.y), (other.x, other.y)]
        assert chart.frontier == [*steps, (848.0 if chart.kind == "wide" else 332.0, best[-1].y)]
    assert [chart.frontier for name in AXES if name != TIME for chart in drawn[name]] == [[]] * 8
    listed = page(run, rows).partition('frontier-list">')[2].partition("</ol>")[0]
    by_time = sorted(found, key=lambda i: seconds[i])
    assert [line.removeprefix("<li>").partition(": ")[0] for line in listed.split("\n") if line.startswith("<li>")] == [
        named(rows[i]) for i in by_time
    ]


def test_a_mark_says_what_it_shows(drawn, rows):
    for row in rows:
        ms = 1000 / row["images_per_second"]
        fid = f"{row['fid']:.{3 if row['fid'] < 1 else 2}f} ± {row['fid_se']:.{3 if row['fid'] < 1 else 2}f}"
        cost = f"{row['nfe']} calls, {ms:.3g} ms an image"
        assert f"{named(row)}: FID {fid}, {cost}" in drawn[TIME][0].marks
        assert f"{named(row)}: FID {fid}, {cost}" in drawn[CALLS][0].marks
        assert f"{named(row)}: {cost}" in drawn[PACE][0].marks
        decimals = 4 if row["consistency"] < 0.1 else 3
        far = f"{row['consistency']:.{decimals}f} ± {row['consistency_se']:.{decimals}f}"
        assert f"{named(row)}: distance {far}, 1 is another seed's" in drawn[DISTANCE][0].marks
        both = f"precision {row['precision']:.3f} ± {row['precision_se']:.3f}"
        both += f", recall {row['recall']:.3f} ± {row['recall_se']:.3f}"
        assert f"{named(row)}: {both}" in drawn[QUALITY][0].marks


def test_the_arrow_keys_walk_through_as_many_marks_as_are_drawn(drawn):
    for both in drawn.values():
        for chart in both:
            assert chart.walk.endswith(f"walk through its {len(chart.marks)} marks.")
    assert {name: len(both[0].marks) for name, both in drawn.items()} == dict.fromkeys(AXES, 9) | {CALLS: 9 + 17}


def test_calls_have_ticks_at_the_budgets(drawn):
    for name in (CALLS, DISTANCE, PACE):
        assert [text for _, text in drawn[name][0].x.ticks] == ["7", "10", "30"]


def test_lines_of_one_sampler_are_told_apart_by_their_spacing(tmp_path):
    run = output(tmp_path / "out", measured=0, sampler=("ddim",), spacing=("linear", "quadratic"))
    rows = [setting.describe() | numbers(i) for i, setting in enumerate(run.settings)]
    (chart, _) = charts(page(run, rows))[CALLS]
    chart.x.log = chart.y.log = True
    for row in rows:
        line = f"η = 0.0, {row['spacing']}"
        (mark,) = [mark for says, mark in chart.marks.items() if says.startswith(f"{line}, S = {row['steps']}:")]
        near((mark.x, mark.y), chart.place(row["nfe"], row["fid"]))
        assert chart.legend[line] == mark.series
