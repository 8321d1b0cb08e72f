"""The page without a browser: its numbers are those of metrics.json, nothing is loaded, hostile text stays text."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from figures import unsaved
from pages import Page, numbers, output, read

from pipeline.reporting import charts
from pipeline.reporting.page import to_html
from pipeline.reporting.part import Part
from pipeline.reporting.report import publish
from pipeline.reporting.standings import best_set, frontier


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    run = output(tmp_path_factory.mktemp("page") / "out")
    with pytest.MonkeyPatch.context() as patch:
        unsaved(patch)
        publish(run)
    return run


NAMES = {"ddim": "DDIM η = 0.0", "unipc": "UniPC-2", "heun": "Heun"}


def in_order(rows):
    """The rows in the order of the table, the lowest FID first."""
    return sorted(rows, key=lambda row: row["fid"])


def test_every_number_is_that_of_metrics_json(published):
    page = read(published)
    rows = json.loads(published.storage.read("metrics.json"))
    expected = [
        [
            NAMES[row["sampler"]],
            row["spacing"],
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
        for row in in_order(rows)
        for d, k in [(3 if row["fid"] < 1 else 2, 4 if row["kid_mean"] < 1 else 2)]
    ]
    assert [[cell.split("best ")[-1] for cell in row] for row in page.settings()] == expected
    assert len({*map(tuple, expected)}) == 9
    head = next(row for row in page.rows if row[0] == "sampler")
    assert head == [
        *("sampler", "spacing", "S", "calls", "FID", "FID − bias", "IS", "KID", "precision", "recall", "images/s")
    ]
    assert "9 settings; a button in the head sorts by its column." in page.sections["numbers"]


def test_columns_sort_by_their_numbers_and_good_ones_come_first(published):
    """A button sorts by `data-v`, large ones first where large is good."""
    page = read(published)
    rows = in_order(json.loads(published.storage.read("metrics.json")))
    keys = ["steps", "nfe", "fid", "fid_inf", "is_mean", "kid_mean", "precision", "recall", "images_per_second"]
    sorts = [float(a["data-v"]) for a in page.all("td") if "data-v" in a]
    assert sorts == [row[key] for row in rows for key in keys]
    buttons = [a for tag, a in page.elements if tag == "button" and a.get("type") == "button" and "data-about" not in a]
    falling = [key for key, a in zip(keys, buttons[2:], strict=True) if "data-falling" in a]
    assert falling == ["is_mean", "precision", "recall", "images_per_second"]


def marked(page):
    """(sampler, S) of the settings that are marked, in the cell and in the row."""
    in_cell = [(row[0], int(row[2])) for row in page.settings() if "within noise of the best" in row[4]]
    assert len(page.all("tr", **{"class": "best"})) == len(in_cell)
    return in_cell


def test_the_best_are_marked_by_the_rule_that_the_page_names(published):
    """By hand: the lowest FID is 0.45 ± 0.155, and 0.80 ± 0.122 is below 1.96 · 0.197 = 0.387 above it."""
    page = read(published)
    rows = json.loads(published.storage.read("metrics.json"))
    assert [(row["fid"], row["fid_se"]) for row in in_order(rows)][:3] == [
        *((pytest.approx(0.45), 0.155), (pytest.approx(0.80), 0.122), (pytest.approx(0.85), 0.126))
    ]
    assert marked(page) == [("UniPC-2", 30), ("DDIM η = 0.0", 7)]
    assert "below 1.96 · √(se² + se²)" in page.sections["numbers"]
    assert "by pairs" not in page.sections["numbers"]


def test_the_best_are_marked_by_pairs_where_there_are_any(published):
    """Groups that vary together: 0.80 is then worse than 0.45; groups that vary by themselves hide 1.20."""
    rows = {s: row | {"jackknife": {"fid": groups(row["fid"])}} for s, row in published.metrics().items()}
    fourth = rows[published.settings[3]]
    fourth["jackknife"] = {"fid": groups(fourth["fid"], own=0.2)}
    page = Page(to_html([Part(published, rows, [], {})], verdict=[]).decode())
    assert marked(page) == [("UniPC-2", 30), ("UniPC-2", 7)]
    assert "by pairs of images with the same seed, as the verdict says" in page.sections["numbers"]
    assert "1.96" not in page.sections["numbers"]


def groups(fid, own=0.001):
    """FID without each of 20 groups: what all settings have in common, and a setting's own."""
    common = np.random.default_rng(0).standard_normal(20)
    mine = np.random.default_rng(round(1000 * fid)).standard_normal(20)
    return [*(fid + 0.02 * (common - common.mean()) + own * (mine - mine.mean()))]


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
    assert [*page.sections] == [
        "verdict",
        "time",
        "calls",
        "numbers",
        "pictures",
        "quality",
        "claims",
        "cost",
        "protocol",
        "again",
    ]
    charts_of = [a for a in page.all("svg") if "aria-hidden" not in a]
    assert len(charts_of) == 8
    assert all(a["role"] == "img" and a["aria-label"] for a in charts_of)
    assert all(a.get("alt") or "src" not in a for a in page.all("img"))
    assert "reference" in page.sections["protocol"]
    assert "1,797 images" in page.sections["protocol"]
    assert "FID falls with the number of images" in page.sections["protocol"]
    assert f"python jobs/sweep.py --config {published.config.out}/sweep.json --out" in page.sections["again"]


def test_the_frontier_is_what_nothing_beats(published):
    points = [charts.Point(x, y, 0, "") for x, y in [(1, 9), (2, 5), (2, 4), (3, 4), (4, 6), (5, 1)]]
    assert [(p.x, p.y) for p in frontier(points, lambda p: (p.x, p.y))] == [(1, 9), (2, 4), (5, 1)]
    assert "The 3 settings that nothing beats in both" in read(published).sections["time"]
    one = dict([*published.metrics().items()][5:6])
    page = Page(to_html([Part(published, one, [], {})], verdict=[]).decode())
    assert "The 1 settings" not in page.sections["time"]
    assert "The one setting that nothing beats in both" in page.sections["time"]


def test_the_head_counts_settings_and_images(published):
    html = published.storage.read("report/index.html").decode()
    assert "9 of 9 settings measured, 40 images each, preset digits." in html
    assert "<h1>Samplers of digits</h1>" in html
    assert "Seconds an image of one worker on a device." in html


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
    rows = {setting: row | {"device": hostile} for setting, row in published.metrics().items()}
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
    html = to_html([Part(run, published.metrics(), [f"Other than the preset: model {url}."], {})], []).decode()
    assert "https://host/m.ckpt" in html
    assert "secret" not in html


def test_published_numbers_stand_in_the_chart(published):
    more = {"fid_paper": 13.36, "fid_published": None}
    rows = {setting: row | more for setting, row in published.metrics().items()}
    page = Page(to_html([Part(published, rows, [], {})], verdict=[]).decode())
    says = [a["data-name"] for a in page.all("g") if "paper FID 13.36" in a.get("data-name", "")]
    assert len(says) == 2 * 9
    assert "published by others" in page.sections["calls"]
    assert "published by others" not in read(published).sections["calls"]


def test_sixty_settings_have_sixty_rows(tmp_path):
    run = output(tmp_path / "out", steps=tuple(range(5, 25)), measured=0)
    rows = {setting: setting.describe() | numbers(i) for i, setting in enumerate(run.settings)}
    part = Part(run, rows, [], {setting: np.zeros((4, 8, 8, 1), np.uint8) for setting in run.settings})
    text = to_html([part], verdict=[]).decode()
    assert len(rows) == 60
    assert "60 settings; a button in the head sorts by its column." in text
    assert text.count('data-v="20"') >= 3  # S = 20 of three samplers
