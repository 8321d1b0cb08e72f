"""The report of a reconstruction: its numbers by hand from made-up errors, its cells and its figure beside them."""

import csv
import io
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from figures import bars, ticks
from measured_rows import GRID

from pipeline.reporting import reconstruction
from pipeline.storage.store import Storage
from pipeline.sweep.reconstructed import Reconstructed

SETTINGS = [*GRID[:3], *(replace(s, method=replace(s.method, spacing="quadratic"), nfe=s.nfe - 2) for s in GRID[:3])]
"""DDIM at 8, 10 and 31 calls, and as if it took 6, 8 and 29 on another grid of time."""
LABELS = ["η = 0.0, linear", "η = 0.0, quadratic"]


@pytest.fixture
def study(tmp_path):
    return SimpleNamespace(
        storage=Storage(str(tmp_path)),
        out=str(tmp_path),
        identity={"images": "cifar10-val", "num_images": 10_000},
        model=SimpleNamespace(ema=True, num_train_timesteps=1000, beta_start=1e-4, beta_end=2e-2),
        config=SimpleNamespace(dtype="float32"),
        settings=[SimpleNamespace(spacing="quadratic")],
    )


def the_rows(paper=True):
    """Rows in which each number is another's."""
    numbers = [(0.0143, 0.0021, 0.93), (0.0032, 0.0009, 0.81), (0.0007, 0.0003, 0.88)]
    numbers += [(0.0211, 0.0017, 0.77), (0.0054, 0.0041, 0.95), (0.0019, 0.0006, 0.84)]
    keys = "mse", "mse_se", "x_T_std"
    return {
        setting: setting.describe()
        | {"num_images": 90}
        | dict(zip(keys, of_one, strict=True))
        | ({"mse_paper": [None, 0.014, 0.0051, None, 0.011, 0.0044][i]} if paper else {})
        for i, (setting, of_one) in enumerate(zip(SETTINGS, numbers, strict=True))
    }


def test_numbers_are_those_of_all_files_together(study):
    """By hand: 1, 2, 3 and 6 have mean 3 and variance 14/3; x_T of 1, 1, 1 and 5 has variance 4."""
    parts = [
        Reconstructed(torch.full((1, 1, 2, 1), 1.0), torch.tensor([1.0, 2.0], dtype=torch.float64)),
        Reconstructed(torch.tensor([1.0, 5.0]).reshape(1, 1, 2, 1), torch.tensor([3.0, 6.0], dtype=torch.float64)),
    ]
    row = reconstruction.row(study, GRID[1], parts)
    assert (row["num_images"], row["mse"], row["mse_se"]) == (4, 3.0, pytest.approx((14 / 3 / 4) ** 0.5))
    assert row["x_T_std"] == pytest.approx(2.0)


def test_the_papers_number_is_that_of_s_where_all_agrees_and_else_there_is_none(study):
    """Table 2 has 0.014 at S = 10, which one grid walks in 8 calls; it has none at 7."""
    parts = [Reconstructed(torch.rand(2, 1, 2, 2), torch.rand(2, dtype=torch.float64))]
    found = [reconstruction.row(study, setting, parts)["mse_paper"] for setting in SETTINGS]
    assert found == [None, 0.014, None, None, 0.014, None]
    for name, value in (("images", "digits"), ("num_images", 9_999)):
        study.identity = {"images": "cifar10-val", "num_images": 10_000, name: value}
        assert "mse_paper" not in reconstruction.row(study, GRID[1], parts)


CELLS = [
    ["η = 0.0, linear", "7", "8", "1.43e-02 ± 2e-03", "0.930", ""],
    ["η = 0.0, linear", "10", "10", "3.20e-03 ± 9e-04", "0.810", "0.014"],
    ["η = 0.0, linear", "30", "31", "7.00e-04 ± 3e-04", "0.880", "0.0051"],
    ["η = 0.0, quadratic", "7", "6", "2.11e-02 ± 2e-03", "0.770", ""],
    ["η = 0.0, quadratic", "10", "8", "5.40e-03 ± 4e-03", "0.950", "0.011"],
    ["η = 0.0, quadratic", "30", "29", "1.90e-03 ± 6e-04", "0.840", "0.0044"],
]
HEAD = ["sampler", "S", "calls", "MSE", "std of x_T", "paper"]


@pytest.mark.parametrize("paper", [True, False])
def test_cells_are_the_rows_numbers(study, kept, paper):
    rows = the_rows(paper)
    said = reconstruction.publish(study, rows)
    width = 6 if paper else 5
    table = [line for line in study.storage.read("report/table.md").decode().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert cells == [HEAD[:width], ["--:"] * width, *(line[:width] for line in CELLS)]
    text = said.split("\n\n")[0].splitlines()
    assert [line.split() for line in text if "─" not in line] == [
        " ".join(line[:width]).split() for line in (HEAD, *CELLS)
    ]
    assert json.loads(study.storage.read("metrics.json")) == [*rows.values()]
    written = [*csv.DictReader(io.StringIO(study.storage.read("report/table.csv").decode()))]
    assert [(line["steps"], line["nfe"], line["mse"], line["mse_se"]) for line in written] == [
        (str(row["steps"]), str(row["nfe"]), str(row["mse"]), str(row["mse_se"])) for row in rows.values()
    ]


def test_the_caption_has_the_number_of_images_and_the_spread_of_x_t(study):
    """The study's images are counted, the least spread comes first, and what differs from the paper is named."""
    first, second, last = reconstruction.caption(study, the_rows(), [])
    assert first.startswith("10,000 images, encoded to x_T and decoded with the same S;")
    assert "± one standard error over images" in first
    assert second == "The encoded x_T have a standard deviation of 0.77 to 0.95, not 1 as noise has."
    assert last == "paper: Song, Meng, Ermon, ICLR 2021, table 2."
    assert reconstruction.caption(study, the_rows(), ["a", "b"])[-1].endswith("table 2: a; b.")


@pytest.mark.parametrize("paper", [True, False])
def test_the_figure_is_of_errors_against_s_with_95_percent(kept, paper):
    reconstruction.figure(the_rows(paper))
    rows = [*the_rows(paper).values()]
    axes = kept.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("S, up and down", "mean squared error a value, on [0, 1]")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert ticks(axes.xaxis) == [(7, "7"), (10, "10"), (30, "30")]
    handles, labels = axes.get_legend_handles_labels()
    # a curve of `errorbar` is a container, whose first part is its line; crosses are a line
    shown = {
        label: [*zip(*(one if label == "paper" else one[0]).get_data(), strict=True)]
        for label, one in zip(labels, handles, strict=True)
    }
    expected = {
        name: [(r["steps"], r["mse"]) for r in part] for name, part in zip(LABELS, (rows[:3], rows[3:]), strict=True)
    }
    crosses = {"paper": [(10, 0.014), (30, 0.0051), (10, 0.011), (30, 0.0044)]}
    assert shown == expected | (crosses if paper else {})
    # 1.96 standard errors, and a hundredth of the number at the lowest, which a logarithm needs
    ends = [
        (r["steps"], max(r["mse"] - 1.96 * r["mse_se"], r["mse"] / 100), r["mse"] + 1.96 * r["mse_se"]) for r in rows
    ]
    for one, other in zip(bars(axes), sorted(ends), strict=True):
        assert one == pytest.approx(other, rel=1e-4)
