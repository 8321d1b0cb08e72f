"""A metric from outside: tables, page, CSV, comparisons and nights show it as it says, with its error."""

import csv
import json
import re

import pyarrow.parquet as pq
import pytest
import toy_metric
from here import run_here
from pages import Page

GRID = ["--steps", "5", "--eta", "0", "hat", "--num-images", "60", "--batch-size", "20", "--shard-size", "30"]
SLUGS = ["ddim-S5-eta0-linear", "ddim-S5-etahat-linear-clip"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """(output, what was printed) of a sweep with the metric, which is registered until the last test ends."""
    out = tmp_path_factory.mktemp("swept") / "out"
    with pytest.MonkeyPatch.context() as patch:
        toy_metric.registered(patch)
        status, text, err = run_here("sweep", *GRID, "--out", out)
        assert status == 0, err
        yield out, text


def rows(out):
    return json.loads((out / "metrics.json").read_text())


def cells(out):
    """Value and error, with the metric's own number of decimals."""
    return [f"{row['norm']:.5f} ± {row['norm_se']:.5f}" for row in rows(out)]


def test_tables_have_it(swept):
    out, text = swept
    labels = ["η = 0.0", "σ̂"]
    block = next(block for block in text.split("\n\n") if block.startswith("mean norm ↑, linear τ\n")).splitlines()
    assert [re.split("  +", line) for line in block[4:]] == [[*pair] for pair in zip(labels, cells(out), strict=True)]
    markdown = (out / "report/table.md").read_text().split("| mean norm ↑, linear τ | S = 5 |\n")[1].splitlines()
    assert markdown[1:3] == [f"| {label} | {cell} |" for label, cell in zip(labels, cells(out), strict=True)]
    latex = (out / "report/table.tex").read_text().split(r"mean norm $\uparrow$, linear $\tau$ & ")[1]
    assert all(f"& {cell} " in latex for cell in cells(out))


def test_the_csv_has_it_in_full(swept):
    out, _ = swept
    with (out / "report/table.csv").open() as file:
        found = [(float(row["norm"]), float(row["norm_se"])) for row in csv.DictReader(file)]
    assert found == [(row["norm"], row["norm_se"]) for row in rows(out)]
    assert all(0 < se < norm for norm, se in found)


def test_the_page_has_a_column_of_it(swept):
    out, _ = swept
    page = Page((out / "report/index.html").read_text())
    head = next(row for row in page.rows if "FID − bias" in row)
    assert sorted(row[head.index("mean norm")] for row in page.settings()) == sorted(cells(out))
    assert "FID and KID are better low, the other metrics high" in page.sections["numbers"]
    falling = len(page.all("button", **{"data-falling": None}))
    assert falling == len({"IS", "precision", "recall", "mean norm", "images/s"})


def test_a_comparison_has_its_difference(swept, tmp_path):
    out, _ = swept
    a, b = rows(out)
    to = tmp_path / "all.json"
    status, text, err = run_here("compare", f"{out}#{SLUGS[0]}", f"{out}#{SLUGS[1]}", "--json", to)
    assert status == 0, err
    head = next(line for line in text.splitlines() if line.startswith("setting"))
    line = next(line for line in text.splitlines() if "×)" in line)
    assert re.split("  +", head)[3:6] == ["ΔIS", "ΔKID", "Δmean norm"]
    assert "Better are a lower FID and KID and a higher IS and mean norm." in text
    (found,) = json.loads(to.read_text())["outputs"][0]["settings"]
    norm = found["norm"]
    assert norm["values"] == [a["norm"], b["norm"]]
    assert norm["difference"] == pytest.approx(b["norm"] - a["norm"])
    low, high = norm["interval"]
    assert f"{norm['difference']:+.5f} [{low:+.5f}, {high:+.5f}]" in line


def test_a_night_has_its_difference_and_keeps_its_value_and_error(swept, tmp_path):
    out, _ = swept
    baseline, home = tmp_path / "baseline", tmp_path / "nights"
    assert run_here("nightly", "--update-baseline", "--baseline", baseline, "--out", out)[0] == 0
    speed = ["--speed-tolerance", "0.99"]
    status, text, err = run_here("nightly", "--baseline", baseline, "--out", home, *speed)
    assert status == 0, err
    table = [[cell.strip() for cell in line[1:-1].split("|")] for line in text.splitlines() if line.startswith("|")]
    place = table[0].index("Δmean norm")
    assert [line[place] for line in table[2:]] == ["+0.00000 (+0.00000 … +0.00000)"] * 2
    assert "ΔIS, ΔKID and Δmean norm: 95 %, uncorrected" in text
    (file,) = (home / "history").iterdir()
    night = pq.read_table(file)
    metadata = {key.decode(): value.decode() for key, value in night.schema.field("norm").metadata.items()}
    assert (metadata["title"], metadata["decimals"]) == ("mean norm ↑", "5")
    found = night.select(["norm", "norm_se"]).to_pylist()
    assert found == [{key: row[key] for key in ("norm", "norm_se")} for row in rows(out)]
    page = Page((home / "trend.html").read_text())
    place = page.rows[0].index("mean norm ↑")
    assert [row[place] for row in page.rows[1:]] == cells(out)
    assert [image["alt"] for image in page.all("img") if "norm" in image["alt"]] == [
        f"mean norm of {slug} over the nights" for slug in SLUGS
    ]


def test_where_it_is_not_registered_its_output_is_refused_in_one_line(swept, monkeypatch):
    out, _ = swept
    monkeypatch.delitem(toy_metric.METRICS, "norm")
    status, text, err = run_here("report", "--out", out)
    assert (status, text, len(err.splitlines())) == (2, "", 1)
    assert "it has 'norm', which neither its sampler ddim nor a metric of this release knows" in err
