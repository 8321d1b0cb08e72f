"""Every cell of the tables in report/, in each format, beside its row: rows in which no two numbers are equal."""

import csv
import io

import pytest
from measured_rows import GRID, ROWS, by_setting, lines, published
from pylatexenc.latexwalker import LatexEnvironmentNode, LatexWalker

from pipeline.reporting import table

STEPS = (7, 10, 30)
CALLS = ["7 to 8", "9 to 10", "29 to 31"]
LABELS = {
    ("ddim", 0.0, "linear"): "DDIM η = 0.0, linear",
    ("ddim", "hat", "linear"): "DDIM σ̂, linear",
    ("unipc", None, "time-quadratic"): "UniPC-2, time-quadratic",
    ("heun", None, "karras"): "Heun, karras",
}
BESIDE = {setting: row | published(i) for i, (setting, row) in enumerate(zip(GRID, ROWS, strict=True))}


def plus_minus(value, se, decimals):
    return f"{value:.{decimals}f} ± {se:.{decimals}f}"


def metrics(row):
    """The cells of a row, by the title of their table."""
    return {
        "FID ↓": plus_minus(row["fid"], row["fid_se"], 3 if row["fid"] < 1 else 2),
        "IS ↑": plus_minus(row["is_mean"], row["is_se"], 2),
        "images/s per worker": f"{row['images_per_second']:,.0f}",
        "distance from the largest S, 1: another seed's": plus_minus(
            row["consistency"], row["consistency_se"], 4 if row["consistency"] < 0.1 else 3
        ),
    }


def expected(title):
    """[label, cells] of a table."""
    found = []
    for key, line in lines(BESIDE.values()).items():
        # columns have 7 or 8, 9 or 10, and 29, 30 or 31 calls: one that is not S stands behind its number
        cells = [metrics(row)[title] + (f" ({row['nfe']})" if row["nfe"] != row["steps"] else "") for row in line]
        found.append([LABELS[key], *cells])
        if title == "FID ↓":
            for name, label in (("fid_paper", "paper"), ("fid_published", "published, second-hand")):
                found.append([label, *(f"{row[name]:.2f}" if row[name] else "" for row in line)])
    return found


TITLES = [*metrics(ROWS[0])]


def test_every_cell_of_the_markdown():
    caption, *tables = table.to_markdown(BESIDE, "What was measured.").rstrip().split("\n\n")
    assert caption == "What was measured."
    shown = [[[cell.strip() for cell in line[1:-1].split("|")] for line in one.splitlines()] for one in tables]
    for title, (head, rule, *body, calls) in zip(TITLES, shown, strict=True):
        assert head == [title, *(f"S = {s}" for s in STEPS)]
        assert rule == [":--", *["--:"] * 3]
        assert body == expected(title)
        assert calls == ["network calls an image", *CALLS]


def test_every_cell_of_the_text():
    tables = table.to_text(BESIDE).split("\n\n")
    for title, one in zip(TITLES, tables, strict=True):
        head, steps, calls, rule, *body = one.splitlines()
        assert (head, steps.split(), {*rule}) == (title, ["S", *map(str, STEPS)], {"─"})
        assert calls.split() == ["calls", "an", "image", *" ".join(CALLS).split()]
        assert [line.split() for line in body] == [" ".join(line).split() for line in expected(title)]


IN_TEX = {
    "FID ↓": r"FID $\downarrow$",
    "IS ↑": r"IS $\uparrow$",
    "images/s per worker": "images/s per worker",
    "distance from the largest S, 1: another seed's": "distance from the largest $S$",
}


def test_every_cell_of_the_latex():
    nodes, *_ = LatexWalker(table.to_latex(BESIDE, "x"), tolerant_parsing=False).get_latex_nodes()
    tables = [node.latex_verbatim() for node in nodes if isinstance(node, LatexEnvironmentNode)]
    for title, one in zip(TITLES, tables, strict=True):
        shown = [
            [cell.strip() for cell in line.removesuffix(r"\\").split("&")]
            for line in one.splitlines()
            if line.endswith(r"\\")
        ]
        head, steps, *body, calls = shown
        assert head == [IN_TEX[title], r"\multicolumn{3}{c}{$S$}"]
        assert steps == ["", *map(str, STEPS)]
        assert calls == ["network calls", *CALLS]
        plain = [
            [cells[0].replace(r"$\hat{\sigma}$", "σ̂").replace(r"$\eta$", "η").replace(r"\quad ", ""), *cells[1:]]
            for cells in body
        ]
        assert plain == expected(title)


def test_csv_has_all_that_the_rows_have_but_what_is_nested():
    rows = [row | {"clip": i % 2 == 0} for i, row in enumerate(BESIDE.values())]
    written = [*csv.DictReader(io.StringIO(table.to_csv(by_setting(rows))))]
    assert {*written[0]} == {key for row in rows for key in row} - {"reference", "options"} | {"sampler_options"}
    for line, row in zip(written, rows, strict=True):
        flat = {key: value for key, value in row.items() if not isinstance(value, dict)}
        assert {key: line[key] for key in flat} == {key: "" if v is None else str(v) for key, v in flat.items()}
        assert all(line[key] == "" for key in line.keys() - flat.keys() - {"sampler_options"})
    assert {line["clip"] for line in written} == {"True", "False"}


@pytest.mark.parametrize("change", ["fid_paper", "fid_published"])
def test_one_kind_of_published_numbers_has_its_own_label(change):
    rows = [row | {change: 3.25 if row["steps"] == 10 else None} for row in ROWS]
    block = table.blocks(by_setting(rows))[0]
    label = {"fid_paper": "  paper", "fid_published": "  published, second-hand"}[change]
    assert block.rows[1::2] == [(label, ["", "3.25", ""])] * 4
