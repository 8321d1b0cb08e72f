"""Pages of outputs that are half done, of earlier releases, poor in numbers, or several; and jobs/report.py."""

import math

import pytest
from here import run_here
from pages import ERRORS, Page, output, read, study

from pipeline.reporting.page import to_html
from pipeline.reporting.part import Part
from pipeline.reporting.report import publish, write_page
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
    publish(one)
    status, said, err = run_here("report", "--out", one.config.out, other.config.out, "--price-per-hour", "3")
    assert (status, said, err) == (0, f"{one.config.out}/report/index.html\n", "")
    page = read(one)
    assert len(page.settings()) == 9 + 2
    assert {row[1] for row in page.rows if row[-1] == "not measured yet"} == {"two"}
    assert len(page.all("table", **{"class": "numbers"})) == 1
    links = [a["href"] for a in page.all("a")]
    assert links[-1] == "../../two/sweep.json"
    assert all((tmp_path / "one" / "report" / link).is_file() for link in links)


def test_outputs_that_are_measured_differently_share_no_table(tmp_path):
    parts = []
    for name, count in (("one", 40), ("two", 41)):
        run = output(tmp_path / name, sampler=("ddim",), shard_size=40, num_images=count)
        parts.append(Part(run, [*run.metrics().values()], [], {}))
    page = Page(to_html(parts, verdict=[]).decode())
    assert len(page.all("table", **{"class": "numbers"})) == 2
    assert "must not be compared" in to_html(parts, verdict=[]).decode()


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
