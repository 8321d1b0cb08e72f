"""The report of a reconstruction: table 2 of the DDIM paper with its errors, and a figure."""

import json
import math
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch

from pipeline.reporting.paper import ANOTHER_SCHEDULE, RECONSTRUCTION, has_another_schedule
from pipeline.reporting.plots import Figures, saved
from pipeline.reporting.standings import TWO_SIDED
from pipeline.sweep.grid import Row, Rows, Setting
from pipeline.sweep.layout import METRICS, REPORT
from pipeline.sweep.method import labels
from pipeline.sweep.reconstructed import Reconstructed
from pipeline.sweep.study import Study
from pipeline.text_table import csv_table, text_table

_SOURCE = "Song, Meng, Ermon, ICLR 2021, table 2"


def row(study: Study, setting: Setting, parts: Sequence[Reconstructed]) -> Row:
    """Return a setting's numbers: mean and standard error of the images' errors, and the spread of x_T's values.

    The paper's number is among them if it can be set beside them.
    """
    mse, x_T = (torch.cat([getattr(part, name) for part in parts]).double() for name in ("mse", "x_T"))
    return {
        **setting.describe(),
        "num_images": len(mse),
        "mse": float(mse.mean()),
        "mse_se": float(mse.std()) / math.sqrt(len(mse)),
        "x_T_std": float(x_T.std()),
        **({} if differences(study) else {"mse_paper": RECONSTRUCTION.get(setting.steps)}),
    }


def publish(study: Study, rows: Rows) -> str:
    """Write metrics.json and report/ of a finished reconstruction, and return the text for the terminal."""
    lines = caption(study, rows, differences(study))
    write = study.storage.write
    write(METRICS, (json.dumps([*rows.values()], indent=2) + "\n").encode())
    write(f"{REPORT}/table.md", to_markdown(rows, lines).encode())
    write(f"{REPORT}/table.csv", csv_table([*rows.values()]).encode())
    for kind, data in figure(rows).items():
        write(f"{REPORT}/reconstruction.{kind}", data)
    files = f"Files: {study.out.rstrip('/')}/{METRICS}, {study.out.rstrip('/')}/{REPORT}/"
    return "\n\n".join([to_text(rows), "\n".join([*lines, files])])


def differences(study: Study) -> list[str]:
    """Return why the errors cannot be set beside the paper's; empty if they can. What is unknown differs."""
    identity, model = study.identity, study.model
    spacings = {setting.spacing for setting in study.settings}
    differences = {
        f"images of {identity['images']}, not CIFAR10's test set": identity["images"] != "cifar10-val",
        f"{identity['num_images']:,} images, not 10,000": identity["num_images"] != 10_000,
        "weights that are not EMA, or of which it is unknown": model.ema is not True,
        ANOTHER_SCHEDULE: has_another_schedule(model),
        f"τ {', '.join(sorted(spacings))}, not quadratic": spacings != {"quadratic"},
        f"a network in {study.config.dtype}": study.config.dtype != "float32",
    }
    return [text for text, differs in differences.items() if differs]


def caption(study: Study, rows: Rows, reasons: list[str]) -> list[str]:
    """Return lines on what was measured, and why it is not set beside the paper's."""
    spread = [one["x_T_std"] for one in rows.values()]
    lines = [
        f"{study.identity['num_images']:,} images, encoded to x_T and decoded with the same S; mean squared error a "
        "value on [0, 1], of floats, ± one standard error over images; network calls are for each way.",
        f"The encoded x_T have a standard deviation of {min(spread):.2f} to {max(spread):.2f}, not 1 as noise has.",
    ]
    compared = f"Not set beside {_SOURCE}: {'; '.join(reasons)}." if reasons else f"paper: {_SOURCE}."
    return [*lines, compared]


def to_text(rows: Rows) -> str:
    """Return the table for a terminal."""
    return text_table([_head(rows), *_cells(rows)], head=1)


def to_markdown(rows: Rows, lines: list[str]) -> str:
    """Return the table as GitHub's Markdown."""
    head = _head(rows)
    table = [head, ["--:"] * len(head), *_cells(rows)]
    return "\n\n".join(lines) + "\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in table) + "\n"


def figure(rows: Rows) -> Figures:
    """Return the figure: error against S, both logarithmic, with 95 % intervals, and the paper's where comparable."""
    drawing, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    for method, name in labels((setting.method for setting in rows), short=True).items():
        of_line = {setting.steps: row for setting, row in rows.items() if setting.method == method}
        mse, errors = ([row[key] for row in of_line.values()] for key in ("mse", "mse_se"))
        high = [TWO_SIDED * error for error in errors]
        low = [min(error, 0.99 * value) for error, value in zip(high, mse, strict=True)]
        axes.errorbar([*of_line], mse, [low, high], marker="o", label=name, capsize=2)
    if _has_paper(rows):
        known = {setting: row["mse_paper"] for setting, row in rows.items() if row["mse_paper"]}
        axes.plot([setting.steps for setting in known], [*known.values()], "kx", label="paper")
    axes.set(xscale="log", yscale="log", xlabel="S, up and down", ylabel="mean squared error a value, on [0, 1]")
    steps = sorted({setting.steps for setting in rows})
    axes.set_xticks(steps, [f"{s}" for s in steps])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return saved(drawing)


def _has_paper(rows: Rows) -> bool:
    return all("mse_paper" in row for row in rows.values())


def _head(rows: Rows) -> list[str]:
    return ["sampler", "S", "calls", "MSE", "std of x_T", *(["paper"] if _has_paper(rows) else [])]


def _cells(rows: Rows) -> list[list[str]]:
    names = labels((setting.method for setting in rows), short=True)
    table_rows = []
    for setting, row in rows.items():
        error = f"{row['mse']:.2e} ± {row['mse_se']:.0e}"
        cells = [names[setting.method], f"{setting.steps}", f"{setting.nfe}", error, f"{row['x_T_std']:.3f}"]
        paper: list[Any] = [row["mse_paper"]] if _has_paper(rows) else []
        table_rows.append(cells + [f"{value:g}" if value else "" for value in paper])
    return table_rows
