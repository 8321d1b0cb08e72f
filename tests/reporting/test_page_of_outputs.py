"""Pages of outputs that are half done, of earlier releases, poor in numbers, or several; and jobs/report.py."""

import math
from dataclasses import replace

import pytest
from here import run_here
from measured_rows import numbers
from page_charts import PIXELS, charts
from pages import ERRORS, Page, output, read, study

from pipeline.reporting.page import to_html
from pipeline.reporting.part import Part
from pipeline.reporting.report import write_page
from pipeline.sweep.run import saved_run


@pytest.mark.parametrize("measured", [0, 1, 4])
def test_half_a_run(tmp_path, measured):
    run = output(tmp_path / "out", measured=measured)
    write_page([saved_run(run.config.out)])
    page = read(run)
    assert f"{measured} of 9 settings" in run.storage.read("report/index.html").decode()
    lines = [row for row in page.rows if row[-1] == "not measured yet"]
    assert len(lines) == 9 - measured
    assert len(page.settings()) == measured
    marks = [a for a in page.all("g") if "data-name" in a]
    assert len(marks) == 4 * 2 * measured
    assert [a["href"] for a in page.all("a")] == ["../sweep.json"]  # no sweep has got to its end
    assert ("Nothing is measured yet." in page.sections["time"]) == (measured == 0)


def test_rows_of_earlier_releases_have_no_errors(tmp_path):
    run = output(tmp_path / "out", without=(*ERRORS, "fid_bias", "fid_inf"))
    write_page([run])
    page = read(run)
    assert not any("±" in cell for row in page.settings() for cell in row)
    assert [row[5] for row in page.settings()] == ["–"] * 9
    assert page.all("path", **{"class": "bar"}) == []
    assert "has no standard errors, so the lowest alone is marked" in page.sections["numbers"]
    assert sum("within noise" in row[4] for row in page.settings()) == 1


def test_a_reference_of_statistics_alone(tmp_path):
    nothing = dict.fromkeys(("kid_mean", "kid_se", "precision", "precision_se", "recall", "recall_se"))
    run = output(tmp_path / "out", changes=nothing)
    write_page([run])
    page = read(run)
    assert "the reference has statistics alone" in page.sections["quality"]
    assert [row[7:10] for row in page.settings()] == [["–"] * 3] * 9


@pytest.mark.parametrize("fid", [math.nan, 0.0])
def test_numbers_that_no_axis_has(tmp_path, fid):
    run = output(tmp_path / "out", changes={"fid": fid})
    write_page([run])
    page = read(run)
    assert [row[4].split("best ")[-1] for row in page.settings()][-1].startswith(f"{fid:.3f}")
    assert "No setting has an FID that the axis can show." in page.sections["time"]


def test_several_outputs(tmp_path):
    one, other = output(tmp_path / "one"), output(tmp_path / "two", measured=2, seed=1, sampler=("ddim",))
    for path in ("metrics.json", "report/table.md", "report/table.csv"):
        one.storage.write(path, b"")
    status, said, err = run_here("report", "--out", one.config.out, other.config.out, "--price-per-hour", "3")
    assert (status, said, err) == (0, f"{one.config.out}/report/index.html\n", "")
    page = read(one)
    assert len(page.settings()) == 9 + 2
    assert {row[1] for row in page.rows if row[-1] == "not measured yet"} == {"two"}
    assert len(page.all("table", **{"class": "numbers"})) == 1
    links = [a["href"] for a in page.all("a")]
    assert links[-1] == "../../two/sweep.json"
    assert all((tmp_path / "one" / "report" / link).is_file() for link in links)


PAIRS = [("one", 7), ("one", 20), ("two", 8), ("two", 21), ("three", 9), ("three", 22)]
"""Outputs and their S."""


@pytest.mark.parametrize("change", ["num_images", "extractor", "extractor_weights", "reference"])
def test_outputs_that_are_measured_differently_share_no_table(tmp_path, change):
    """Each has a table and charts of its own, with its own rows and a heading; the header says it."""
    names = ("one", "two", "three")
    runs = [
        output(tmp_path / name, measured=0, sampler=("ddim",), steps=(7 + i, 20 + i)) for i, name in enumerate(names)
    ]
    runs[1] = differing(runs[1], change)
    parts = [
        Part(run, {one: one.describe() | numbers(2 * k + i) for i, one in enumerate(run.settings)}, [], {})
        for k, run in enumerate(runs)
    ]
    html = to_html(parts, verdict=[]).decode()
    page = Page(html)
    assert len(page.all("table", **{"class": "numbers"})) == 2
    assert "must not be compared" in html
    # the table of two outputs has a column with their names
    assert {tuple(row[1:4:2]) for row in page.settings()[:4]} == {(f"{n}", f"{s}") for n, s in PAIRS if n != "two"}
    assert {row[2] for row in page.settings()[4:]} == {"8", "21"}
    drawn = charts(html)["FID against network calls an image"]
    assert [(chart.kind, len(chart.marks)) for chart in drawn] == [(k, n) for n in (4, 2) for k in ("wide", "narrow")]
    title = f"<h3>{runs[0].config.out}, {runs[2].config.out}</h3>"
    assert (
        html.count(title) == html.count(f"<h3>{runs[1].config.out}</h3>") - 4 == 5
    )  # whose pictures, cost, protocol …


def differing(run, change):
    """The run, measured otherwise in one respect."""
    if change == "num_images":
        return replace(run, config=run.config.model_copy(update={"num_images": 41}))
    return replace(run, measurement=replace(run.measurement, identity=run.measurement.identity | {change: "another"}))


def test_outputs_that_are_measured_alike_share_charts_and_their_lines_are_told_apart(tmp_path):
    runs = [output(tmp_path / name, measured=0, sampler=("ddim",), seed=i) for i, name in enumerate(("one", "two"))]
    parts = [
        Part(run, {one: one.describe() | numbers(3 * k + i) for i, one in enumerate(run.settings)}, [], {})
        for k, run in enumerate(runs)
    ]
    html = to_html(parts, verdict=[]).decode()
    (chart, _) = charts(html)["FID against network calls an image"]
    assert chart.legend == {"η = 0.0, one": "0", "η = 0.0, two": "1"}
    chart.x.log = chart.y.log = True
    for part, name in zip(parts, ("one", "two"), strict=True):
        for row in part.measured.values():
            (mark,) = [m for says, m in chart.marks.items() if says.startswith(f"η = 0.0, {name}, S = {row['steps']}:")]
            assert (mark.x, mark.y) == pytest.approx(chart.place(row["nfe"], row["fid"]), abs=PIXELS)
            assert mark.series == chart.legend[f"η = 0.0, {name}"]
    # each line of the table names its output
    fids = {
        f"{row['fid']:.{3 if row['fid'] < 1 else 2}f}": name
        for p, name in zip(parts, ("one", "two"), strict=True)
        for row in p.measured.values()
    }
    shown = {row[5].split("best ")[-1].partition(" ")[0]: row[1] for row in Page(html).settings()}
    assert shown == fids


def test_verdicts_of_several_outputs_name_theirs(tmp_path):
    """Without groups there is no verdict, and why is said of each; times are those of its own rows."""
    runs = [output(tmp_path / name, sampler=("ddim",), measured=n) for name, n in (("one", 2), ("two", 1))]
    write_page(runs)
    said = read(runs[0]).sections["verdict"].split("\n")
    lines = [line for line in said if ": No verdict" in line or ": Time follows" in line]
    one, two = (run.config.out for run in runs)
    assert [line.partition(": ")[0] for line in lines] == [one, one, two]
    assert "2 of 2 settings have no FID without groups" in lines[0]
    assert "it takes two settings" in lines[2]


def test_a_distance_stands_beside_its_own_setting(tmp_path):
    """The largest S has none; a distance from another S than the largest is left out."""
    run = output(tmp_path / "out", sampler=("ddim", "unipc"))
    written = {}
    for i, setting in enumerate(run.settings):
        largest = run.settings[i // 3 * 3 + 2]
        if setting != largest:
            against = "another" if i == 4 else largest.slug
            written[setting] = {"score": 0.2 + 0.1 * i, "score_se": 0.01 + 0.003 * i, "against": against}
            run.storage.write_json(run.paths.consistency(setting.slug), written[setting])
    write_page([run])
    (chart, _) = charts(run.storage.read("report/index.html").decode())[
        "Distance from the image at the largest S against network calls"
    ]
    assert {says.partition(", 1 is")[0] for says in chart.marks} == {
        "DDIM η = 0.0, linear, S = 7: distance 0.200 ± 0.010",
        "DDIM η = 0.0, linear, S = 10: distance 0.300 ± 0.013",
        "UniPC-2, time-quadratic, S = 7: distance 0.500 ± 0.019",
    }


def test_what_it_cost(tmp_path):
    run = output(tmp_path / "out", sampler=("ddim",))
    run.storage.write_json("result.json", {"gpu_hours": 1.5, "cpu_hours": 0.25})
    for options, price in (([], ""), (["--price-per-hour", "2.5"], "price3.75, at 2.5 a GPU hour")):
        status, _, err = run_here("report", "--out", run.config.out, *options)
        assert (status, err) == (0, "")
        cost = read(run).sections["cost"]
        assert "GPU hours1.50CPU core hours0.25" in cost
        assert price in cost
        assert ("price" in cost) == bool(price)


@pytest.mark.parametrize("price", ["free", "-1", "nan", "inf"])
def test_a_bad_price_is_one_line(tmp_path, price):
    status, said, err = run_here("report", "--out", tmp_path, f"--price-per-hour={price}")
    assert (status, said, err) == (2, "", f"error: --price-per-hour: give a number from 0 (got {price!r})\n")


def test_no_output_is_one_line(tmp_path):
    status, said, err = run_here("report", "--out", tmp_path / "nothing")
    assert (status, said, err.count("\n")) == (2, "", 1)
    assert "it is not the output of a sweep" in err


def test_a_study_beside_a_sweep(tmp_path):
    run = output(tmp_path / "sweep", measured=1)
    study(tmp_path / "study")
    status, out, err = run_here("report", "--out", tmp_path / "sweep", tmp_path / "study")
    assert (status, out.strip(), err) == (0, f"{tmp_path}/sweep/report/index.html", "")
    page = read(run)
    assert "MSE of s3://bucket/x 0.001" in page.sections["studies"]
    assert "secret" not in page.sections["studies"]
    assert [a["alt"] for a in page.all("img") if a.get("class") == "figure-of-study"] == ["reconstruction, figure.png"]
    write_page([run])
    assert "studies" not in read(run).sections


def test_a_study_alone_or_without_a_report_is_bad_input(tmp_path):
    study(tmp_path / "study")
    run = output(tmp_path / "sweep", measured=1)
    assert run_here("report", "--out", tmp_path / "study")[::2] == (
        2,
        "error: --out: give a sweep's output too, whose report/ gets the page\n",
    )
    (tmp_path / "study" / "report" / "summary.txt").unlink()
    status, _, err = run_here("report", "--out", run.config.out, tmp_path / "study")
    assert (status, "the study has no report yet, run it to its end first" in err) == (2, True)
