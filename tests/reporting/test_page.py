"""The page without a browser: its numbers are those of metrics.json, nothing is loaded, hostile text stays text."""

import base64
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pages import Page, numbers, output, read
from PIL import Image

from pipeline.reporting import charts
from pipeline.reporting.page import to_html
from pipeline.reporting.part import Part, public
from pipeline.reporting.report import publish
from pipeline.reporting.standings import best_set, frontier


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
    assert len(says) == 3 * len(rows)


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


def test_published_numbers_stand_in_the_chart(published):
    rows = [row | {"fid_paper": 13.36, "fid_published": None} for row in published.metrics().values()]
    page = Page(to_html([Part(published, rows, [], {})], verdict=[]).decode())
    says = [a["data-name"] for a in page.all("g") if "paper FID 13.36" in a.get("data-name", "")]
    assert len(says) == 2 * 9
    assert "published by others" in page.sections["calls"]
    assert "published by others" not in read(published).sections["calls"]


def test_sixty_settings_have_sixty_rows(tmp_path):
    run = output(tmp_path / "out", steps=tuple(range(5, 25)))
    rows = [setting.describe() | numbers(i) for i, setting in enumerate(run.settings)]
    part = Part(run, rows, [], {setting: np.zeros((4, 8, 8, 1), np.uint8) for setting in run.settings})
    text = to_html([part], verdict=[]).decode()
    assert len(rows) == 60
    assert text.count('data-v="20"') >= 3  # S = 20 of three samplers
