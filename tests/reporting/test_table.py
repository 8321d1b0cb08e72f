"""The table's shape and text, in each format."""

import csv
import io

import pytest
from measured_rows import by_setting

from pipeline.reporting import table


def row(eta, steps, fid, spacing="linear", nfe=None):
    """A row of metrics.json."""
    return {
        "sampler": "ddim",
        "steps": steps,
        "eta": eta,
        "spacing": spacing,
        "nfe": nfe or steps,
        "num_images": 50,
        "fid": fid,
        "is_mean": 6.123,
        "is_std": 0.1,
        "is_se": 0.05,
        "images_per_second": 1234.5,
        "options": {"isc_splits": 10},
    }


ROWS = by_setting([row(eta, s, fid) for eta, fid in ((0.0, 4.04), (0.25, 0.1234), ("hat", 367.43)) for s in (10, 1000)])


def test_text_has_eta_down_and_steps_across():
    lines = table.to_text(ROWS).splitlines()
    assert lines[0] == "FID ↓, linear τ"
    assert lines[1].split() == ["S", "10", "1000"]
    assert lines[2].split() == ["calls", "an", "image", "10", "1000"]
    assert lines[4].split() == ["η", "=", "0.0", "4.04", "4.04"]
    assert lines[5].split() == ["η", "=", "0.25", "0.123", "0.123"]
    assert lines[6].split() == ["σ̂", "367.43", "367.43"]
    assert len({len(line.replace("\u0302", "")) for line in lines[1:7]}) == 1
    assert "6.12 ± 0.05" in table.to_text(ROWS)


def test_fid_has_its_error_where_it_is_known():
    rows = [row(0.0, 10, 4.04) | {"fid_se": 0.1234}, row(0.0, 20, 0.5) | {"fid_se": 0.0678}, row(0.0, 30, 0.4)]
    assert table.blocks(by_setting(rows))[0].rows == [("η = 0.0", ["4.04 ± 0.12", "0.500 ± 0.068", "0.400"])]


def test_markdown_is_a_table_on_github():
    blocks = table.to_markdown(ROWS, "What was measured.").split("\n\n")
    assert blocks[0] == "What was measured."
    lines = blocks[1].splitlines()
    assert lines[0] == "| FID ↓, linear τ | S = 10 | S = 1000 |"
    assert lines[1] == "|:--|--:|--:|"
    assert {line.count("|") for line in lines} == {4}
    assert lines[-1] == "| network calls an image | 10 | 1000 |"


def test_latex_is_booktabs():
    text = table.to_latex(ROWS, "What was measured.")
    assert text.count(r"\begin{tabular}{lrr}") == text.count(r"\end{tabular}") == 3
    assert r"$\hat{\sigma}$ & 367.43 & 367.43 \\" in text
    for rule in ("toprule", "midrule", "bottomrule"):
        assert rf"\{rule}" in text


def test_csv_has_every_metric_at_full_precision():
    (first, *_) = lines = list(csv.DictReader(io.StringIO(table.to_csv(ROWS))))
    assert len(lines) == 6
    assert first["is_mean"] == "6.123"
    assert "options" not in first


def test_spacings_have_their_own_tables_and_missing_cells_are_empty():
    rows = [row(0.0, 10, 1.0), row(0.0, 30, 2.0, "quadratic", 31), row(1.0, 10, 3.0, "quadratic")]
    fid = [block for block in table.blocks(by_setting(rows)) if block.title.startswith("FID")]
    assert [block.title for block in fid] == ["FID ↓, linear τ", "FID ↓, quadratic τ"]
    assert fid[1].steps == [10, 30]
    assert fid[1].nfe == ["10", "31"]
    assert fid[1].rows == [("η = 0.0", ["", "2.00"]), ("η = 1.0", ["3.00", ""])]


def test_samplers_with_a_spacing_each_share_a_table_whose_cells_name_other_calls():
    heun = row(None, 10, 2.0, "karras", 9) | {"sampler": "heun"}
    unipc = row(None, 10, 3.0, "logsnr", 10) | {"sampler": "unipc", "order": 3}
    one, *_ = table.blocks(by_setting([row(0.0, 10, 1.0), heun, unipc, row(0.0, 15, 4.0, nfe=16)]))
    assert (one.title, one.steps, one.nfe) == ("FID ↓", [10, 15], ["9 to 10", "16"])
    assert one.rows == [
        ("DDIM η = 0.0, linear", ["1.00", "4.00"]),
        ("Heun, karras", ["2.00 (9)", ""]),
        ("UniPC-3, logsnr", ["3.00", ""]),
    ]


def test_a_spacing_that_is_given_for_all_is_in_the_title():
    heun = row(None, 10, 2.0, "karras", 9) | {"sampler": "heun"}
    titles = [block.title for block in table.blocks(by_setting([row(0.0, 10, 1.0, "karras"), heun]))]
    assert titles[0] == "FID ↓, karras τ"


def test_csv_has_the_options_of_all_samplers():
    unipc = row(None, 10, 3.0, "logsnr", 10) | {"sampler": "unipc", "order": 3, "variant": "bh1"}
    lines = list(csv.DictReader(io.StringIO(table.to_csv(by_setting([row(0.5, 10, 1.0), unipc])))))
    assert [(line["order"], line["eta"], line["sampler_options"]) for line in lines] == [
        ("", "0.5", "eta=0.5"),
        ("3", "", "order=3,variant=bh1,corrector=on,lower_order_final=always,end=first"),
    ]


@pytest.mark.parametrize(("value", "text"), [(0.0123, "0.012"), (9.999, "10.00"), (0.9999, "1.000"), (41.07, "41.07")])
def test_fid_has_the_papers_digits(value, text):
    assert table.blocks(by_setting([row(0.0, 10, value)]))[0].rows[0][1] == [text]
