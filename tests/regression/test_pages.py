"""The pages of a night: the history's rows, the summary, JUnit's structure, and the trend page's pictures."""

import base64
import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from nights import GRID, HERE, THERE, comparison
from PIL import Image

from pipeline.regression import history, summary, trend
from pipeline.regression.gate import Limits, judge
from pipeline.storage.store import Storage

LIMITS = Limits(0.02, 0.3)
CLEAN = [comparison(i) for i in range(4)]
REGRESSED = [
    comparison(0, 0.1, 0.01, [41, 77]),
    comparison(1, -0.2, 0.01, [0]),
    comparison(2, share=0.45),
    comparison(3),
]


def night(comparisons, changed=()):
    return summary.Night("n1", "digits of 2026-03-01", list(changed), judge(comparisons, LIMITS), 100.0)


def rows(comparisons, day=0):
    date = datetime(2026, 3, 1, 2, 30, tzinfo=UTC) + timedelta(days=day)
    return history.rows(judge(comparisons, LIMITS), f"night-{day:03d}", date, "2.9", "m" * 64)


def test_the_summary_answers_first():
    text = summary.to_markdown(night(REGRESSED))
    lines = text.splitlines()
    assert lines[0] == "### REGRESSION: quality worse in 1, speed in 1 of 4 settings; quality better in 1"
    assert "3 of 2,000 images have other pixels, the first is seed 41 of ddim-S10-eta0-linear" in text
    assert "they were expected to be equal" in text
    assert "- ddim-S10-eta0-linear: FID 1.1, the baseline's 1; difference +0.1 in [+0.0" in text
    assert "], +10.0% of the baseline's, tolerance 2.0%" in text
    assert (
        "- ddim-S10-etahat-linear-clip: network calls take 45.0% of the drawing, -50% of the baseline's 90.0%" in text
    )
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 4
    assert {line.count("|") for line in table} == {12}


def test_the_summary_says_what_was_assumed_of_the_model_and_that_is_no_difference():
    noted = replace(night(REGRESSED), notes=["the schedule is assumed"])
    assert "\n- the schedule is assumed\n" in summary.to_markdown(noted)
    assert "they were expected to be equal" in summary.to_markdown(noted)


def test_a_clean_night_says_what_was_compared():
    assert summary.headline(night(CLEAN)) == "clean: no regression in 4 settings"
    assert summary.differences(night(CLEAN)) == ["every image has the baseline's pixels"]
    other = night([comparison(i, devices=(THERE, HERE)) for i in range(4)])
    assert "speed not compared" in summary.headline(other)
    moved = night([comparison(0, 1e-4, 1e-3, [5])], ["torch 2.8 in the baseline, 2.9 tonight"])
    first, second = summary.differences(moved)
    assert first == "torch 2.8 in the baseline, 2.9 tonight"
    assert "expected" not in second


def cells(text, slug):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {slug} |")]
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_what_is_not_measured_is_shown_as_nothing(tmp_path):
    """An extractor without logits, and too few images for an error."""
    one = comparison(0, 0.1, None, [3])
    one = replace(one, metrics={"fid": one.fid}, row=one.row | {"is_mean": None, "kid_mean": None})
    table = cells(summary.to_markdown(night([one])), GRID[0].slug)
    assert table[3:8] == ["+10.0%", "–", "too few images", "–", "–"]
    assert (
        summary.headline(night([one])) == "clean: no regression in 1 settings; quality unknown in 1, of too few images"
    )
    storage = Storage(str(tmp_path))
    history.append(storage, "n", rows([one]))
    (row,) = history.read(storage)
    assert [row[name] for name in ("is_mean", "kid_mean", "low", "high", "quality")] == [*[None] * 4, "unknown"]
    assert "word unknown" in trend.to_html([row], "clean")


def test_junit_has_a_case_a_setting():
    root = ElementTree.fromstring(summary.to_junit(night(REGRESSED)))
    assert root.tag == "testsuites"
    (suite,) = root
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        **{"tests": "4", "failures": "2", "errors": "0", "skipped": "0"},
    }
    assert [child.tag for child in suite] == ["properties", *["testcase"] * 4, "system-out"]  # the schema's order
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == [setting.slug for setting in GRID]
    assert all(case.get("classname") and float(case.get("time")) >= 0 for case in cases)
    failures = {case.get("name"): case.find("failure") for case in cases if case.find("failure") is not None}
    assert {name: failure.get("type") for name, failure in failures.items()} == {
        "ddim-S10-eta0-linear": "quality",
        "ddim-S10-etahat-linear-clip": "speed",
    }
    assert all(failure.get("message") and failure.text for failure in failures.values())


def test_a_night_without_an_answer_is_no_success():
    (suite,) = ElementTree.fromstring(summary.incomplete_junit(["a", "b"], "a/seeds: <gone>"))
    assert (suite.get("tests"), suite.get("errors")) == ("2", "2")
    assert [case.find("error").text for case in suite] == ["a/seeds: <gone>"] * 2
    assert summary.incomplete_markdown("n1", "gone").startswith("### INCOMPLETE")


def test_history_grows_by_a_file_a_night(tmp_path, capsys):
    storage = Storage(str(tmp_path))
    for day, comparisons in enumerate([CLEAN, REGRESSED, [comparison(0, devices=(THERE, HERE))]]):
        history.append(storage, f"night-{day:03d}", rows(comparisons, day))
    assert sorted(storage.ls("history")) == [f"night-{day:03d}.parquet" for day in range(3)]
    read = history.read(storage)
    assert [(row["night"], row["quality"], row["speed"]) for row in read] == [
        *[("night-000", "same", "ok")] * 4,
        *[("night-001", q, s) for q, s in (("worse", "ok"), ("better", "ok"), ("same", "slower"), ("same", "ok"))],
        ("night-002", "same", "not compared"),
    ]
    assert read[4]["date"] == datetime(2026, 3, 2, 2, 30, tzinfo=UTC)
    assert read[4]["low"] < read[4]["delta_fid"] == 0.1 < read[4]["high"]
    assert (read[4]["fid_limit"], read[4]["share_limit"], read[8]["share_limit"]) == (1.02, 0.7 * 0.9, None)
    storage.write("history/night-001.parquet", b"PAR1")
    storage.write_table("history/other.parquet", pa.table({"a": [1]}), {}, 1)
    assert history.read(storage) == read[:4] + read[8:]
    said = capsys.readouterr().err.splitlines()
    assert ["history/night-001.parquet" in said[0], "history/other.parquet" in said[1], len(said)] == [True, True, 2]


class Links(HTMLParser):
    """Collects what a page loads and where tags are left open."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.loads += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("days", [1, 30])
def test_the_trend_page_is_one_file_with_pictures_of_each_setting(days):
    nights = [row for day in range(days - 1) for row in rows(CLEAN, day)] + rows(REGRESSED, days)
    page = trend.to_html(nights, "REGRESSION: <1>")
    links = Links(page)
    assert links.open == []
    assert len(links.loads) == 4 * 3  # FID with speed, IS, KID
    for i, link in enumerate(links.loads):
        data = re.fullmatch(r"data:image/png;base64,(.+)", link).group(1)
        picture = Image.open(io.BytesIO(base64.b64decode(data)))
        assert picture.width > (400 if i % 3 else 800)
        assert np.asarray(picture.convert("L")).std() > 5  # not blank
    assert "REGRESSION: &lt;1&gt;" in page
    assert f"{days} night{'' if days == 1 else 's'}, the last on" in page
    assert page.count('class="word worse">worse') == page.count('class="word slower">slower') == 1


def test_a_regression_is_red_in_the_picture():
    def red(nights):
        pixels = np.asarray(Image.open(io.BytesIO(trend.plot(nights))).convert("RGB")).astype(int)
        return int(((pixels[:, :, 0] > 150) & (pixels[:, :, 1] < 40)).sum())

    good = rows([comparison(0)]) + rows([comparison(0)], 1)
    bad = rows([comparison(0)]) + rows([comparison(0, 0.1, 0.01, [0])], 1)
    assert red(good) == 0
    assert red(bad) > 10
