"""The page without a browser: its numbers are those of metrics.json, nothing is loaded, hostile text stays text."""

import base64
import io
import json
import math
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from here import run_here
from pages import ERRORS, numbers, output
from PIL import Image

from pipeline.reporting import charts
from pipeline.reporting.page import to_html
from pipeline.reporting.part import Part, public
from pipeline.reporting.report import publish, write_page
from pipeline.reporting.standings import best_set
from pipeline.sweep.run import saved_run

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """What is in a page: (tag, attributes) of every element, the text of every section, and tables as rows of text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.sections, self.rows, self.open = [], {}, [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        names = [attributes.get("aria-labelledby") for tag, attributes in self.open if tag == "section"]
        for name in names:
            self.sections[name] = self.sections.get(name, "") + data
        if any(tag in ("td", "th") for tag, _ in self.open):
            self.rows[-1][-1] += data

    def all(self, tag, **wanted):
        return [a for name, a in self.elements if name == tag and wanted.items() <= a.items()]

    def settings(self):
        """The rows of the tables of numbers, without the heads."""
        return [row for row in self.rows if len(row) >= 11 and row[0] != "sampler"]


def read(run):
    return Page(run.storage.read(run.paths.report("index.html")).decode())


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    run = output(tmp_path_factory.mktemp("page") / "out")
    publish(run)
    return run


def test_every_number_is_that_of_metrics_json(published):
    page = read(published)
    rows = json.loads(published.storage.read("metrics.json"))
    expected = [
        [
            f"{row['steps']}",
            f"{row['nfe']}",
            f"{row['fid']:.{d}f} ± {row['fid_se']:.{d}f}",
            f"{row['fid_inf']:.{3 if row['fid_inf'] < 1 else 2}f}",
            f"{row['is_mean']:.2f} ± {row['is_se']:.2f}",
            f"{row['kid_mean']:.{k}f} ± {row['kid_se']:.{k}f}",
            f"{row['precision']:.3f} ± {row['precision_se']:.3f}",
            f"{row['recall']:.3f} ± {row['recall_se']:.3f}",
            f"{row['images_per_second']:,.0f}",
        ]
        for row in sorted(rows, key=lambda row: row["fid"])
        for d, k in [(3 if row["fid"] < 1 else 2, 4 if row["kid_mean"] < 1 else 2)]
    ]
    shown = [[cell.split("best ")[-1] for cell in row[2:]] for row in page.settings()]
    assert shown == expected
    assert {row[0] for row in page.settings()} == {"DDIM η = 0.0", "UniPC-2", "Heun"}
    assert {row[1] for row in page.settings()} == {"linear", "time-quadratic", "karras"}
    says = {a["data-name"] for a in page.all("g") if "data-name" in a}
    first = rows[0]
    assert f"DDIM η = 0.0, S = 5: FID {first['fid']:.3f} ± 0.310, 5 calls, 0.81 ms an image" in says
    assert "DDIM η = 0.0, S = 5: precision 0.900 ± 0.007, recall 0.400 ± 0.011" in says
    assert len(says) == 2 * len(rows)


def test_the_best_are_marked_by_the_rule_that_the_page_names(published):
    page = read(published)
    marked = [row[0] for row in page.settings() if "within noise of the best" in row[4]]
    rows = json.loads(published.storage.read("metrics.json"))
    limit = [math.hypot(rows[0]["fid_se"], row["fid_se"]) * 1.96 for row in rows]
    expected = [i for i, row in enumerate(rows) if row["fid"] - rows[0]["fid"] < limit[i]]
    assert (len(marked), best_set(rows)) == (len(expected), set(expected))
    assert len(marked) == 1
    assert "below 1.96 · √(se² + se²)" in page.sections["numbers"]


@pytest.mark.parametrize(
    ("fids", "errors", "best"),
    [
        ([1.0, 1.2, 1.3], [0.1, 0.1, 0.1], {0, 1}),  # the limit is 0.277
        ([1.3, 1.0, 1.2], [None, None, None], {1}),
        ([1.0, 1.1, 1.1], [0.1, None, 0.1], {0, 2}),
        ([1.0, 1.0], [0.0, 0.0], {0}),  # no noise: the first of equals
        ([math.nan, 2.0], [0.1, 0.1], {1}),
        ([math.nan], [0.1], set()),
        ([], [], set()),
    ],
)
def test_the_best_set(fids, errors, best):
    assert best_set([{"fid": fid, "fid_se": error} for fid, error in zip(fids, errors, strict=True)]) == best
    assert best_set([{"fid": fid} for fid in fids]) <= best  # rows of earlier releases have no errors


def test_it_has_its_sections_in_order_and_names_for_its_charts(published):
    page = read(published)
    assert [*page.sections] == ["time", "calls", "numbers", "pictures", "quality", "cost", "protocol", "again"]
    charts_of = [a for a in page.all("svg") if "aria-hidden" not in a]
    assert len(charts_of) == 6
    assert all(a["role"] == "img" and a["aria-label"] for a in charts_of)
    assert all(a.get("alt") or "src" not in a for a in page.all("img"))
    assert "reference" in page.sections["protocol"]
    assert "1,797 images" in page.sections["protocol"]
    assert "FID falls with the number of images" in page.sections["protocol"]
    assert f"python jobs/sweep.py --config {published.config.out}/sweep.json --out" in page.sections["again"]


def test_the_frontier_is_what_nothing_beats(published):
    points = [charts.Point(x, y, 0, "") for x, y in [(1, 9), (2, 5), (2, 4), (3, 4), (4, 6), (5, 1)]]
    assert [(p.x, p.y) for p in charts.frontier(points)] == [(1, 9), (2, 4), (5, 1)]
    # the first setting is the fastest and the best
    text = read(published).sections["time"]
    assert "The 1 settings" not in text
    assert "The one setting that nothing beats in both" in text


def test_pictures_are_those_of_the_seeds(published):
    page = read(published)
    pictures = [a for a in page.all("img") if a.get("src", "").startswith("data:image/png;base64,")]
    assert len(pictures) == len(published.settings) == 9
    first = next(a for a in pictures if a["alt"] == "DDIM η = 0.0, S = 5: images of seeds 0 to 3")
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(first["src"].partition(",")[2]))))
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    assert picture.shape == (17, 17, 4)
    for i, (y, x) in enumerate([(0, 0), (0, 9), (9, 0), (9, 9)]):
        assert (picture[y : y + 8, x : x + 8, :3] == pixels[i]).all()


def test_nothing_is_loaded(published):
    page = read(published)
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            if name in attributes:
                assert attributes[name].startswith(("data:", "../", "table.")), attributes
    html = published.storage.read("report/index.html").decode()
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(|fetch\(|XMLHttpRequest|import\(", html)
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_links_lead_to_files(published):
    folder = Path(published.config.out) / "report"
    links = [a["href"] for a in read(published).all("a")]
    assert links == ["../metrics.json", "table.md", "table.csv", "../sweep.json"]
    assert all((folder / link).is_file() for link in links)


def test_hostile_text_stays_text(published):
    hostile = "<script>alert(1)</script>\" onload='x' <b>bold</b>"
    run = replace(published, config=published.config.model_copy(update={"model": hostile}))
    rows = [row | {"device": hostile} for row in published.metrics().values()]
    page = Page(to_html([Part(run, rows, [hostile], {})], verdict=[hostile]).decode())
    assert (len(page.all("script")), page.all("b")) == (1, [])
    assert not any("onload" in attributes for _, attributes in page.elements)
    for section in ("verdict", "time", "cost", "protocol"):
        assert hostile in page.sections[section], section
    assert next(iter(page.sections)) == "verdict"


def test_secrets_stay_out(published):
    url = "https://user:secret@host/m.ckpt?token=secret"
    config = published.config.model_copy(update={"model": url, "out": published.config.out, "reference": url})
    run = replace(published, config=config, storage_options={"key": "secret"})
    html = to_html(
        [Part(run, [*published.metrics().values()], [f"Other than the preset: model {url}."], {})], []
    ).decode()
    assert "https://host/m.ckpt" in html
    assert "secret" not in html


def test_urls_lose_what_may_be_secret():
    assert public("s3://bucket/a b") == "s3://bucket/a b"
    assert public("ftp://me:pa@ss@host/x?signature=abc, and a@b") == "ftp://host/x, and a@b"
    assert public("/home/me/run?1") == "/home/me/run?1"


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
    assert len(marks) == 3 * 2 * measured
    assert [a["href"] for a in page.all("a")] == ["../sweep.json"]  # no sweep has got to its end
    assert ("Nothing is measured yet." in page.sections["time"]) == (measured == 0)


def test_rows_of_earlier_releases_have_no_errors(tmp_path):
    run = output(tmp_path / "out", without=(*ERRORS, "fid_bias", "fid_inf"))
    publish(run)
    page = read(run)
    assert not any("±" in cell for row in page.settings() for cell in row)
    assert [row[5] for row in page.settings()] == ["–"] * 9
    assert page.all("path", **{"class": "bar"}) == []
    assert "has no standard errors, so the lowest alone is marked" in page.sections["numbers"]
    assert sum("within noise" in row[4] for row in page.settings()) == 1


def test_a_reference_of_statistics_alone(tmp_path):
    nothing = dict.fromkeys(("kid_mean", "kid_se", "precision", "precision_se", "recall", "recall_se"))
    run = output(tmp_path / "out", changes=nothing)
    publish(run)
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


def test_published_numbers_stand_in_the_chart(published):
    rows = [row | {"fid_paper": 13.36, "fid_published": None} for row in published.metrics().values()]
    page = Page(to_html([Part(published, rows, [], {})], verdict=[]).decode())
    says = [a["data-name"] for a in page.all("g") if "paper FID 13.36" in a.get("data-name", "")]
    assert len(says) == 2 * 9
    assert "published by others" in page.sections["calls"]
    assert "published by others" not in read(published).sections["calls"]


def test_several_outputs(tmp_path):
    one, other = output(tmp_path / "one"), output(tmp_path / "two", measured=2, seed=1, sampler=("ddim",))
    publish(one)
    status, said, err = run_here("report", "--out", one.config.out, other.config.out, "--price-per-hour", "3")
    assert (status, said, err) == (0, f"{one.config.out}/report/index.html\n", "")
    page = read(one)
    assert len(page.settings()) == 9 + 2
    assert {row[1] for row in page.rows if row[-1] == "not measured yet"} == {other.config.out}
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


def test_sixty_settings_take_seconds(tmp_path):
    run = output(tmp_path / "out", steps=tuple(range(5, 25)))
    rows = [setting.describe() | numbers(i) for i, setting in enumerate(run.settings)]
    part = Part(run, rows, [], {setting: np.zeros((4, 8, 8, 1), np.uint8) for setting in run.settings})
    started = time.monotonic()
    to_html([part], verdict=[])
    assert len(rows) == 60
    assert time.monotonic() - started < 5
