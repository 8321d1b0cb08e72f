"""The report of an interpolation: how smooth the lines are, with their controls; the grid, lines and an animation."""

import io
import json
import math
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipeline.evaluation.smoothness import smoothness
from pipeline.reporting.plots import Figures, strip, tiled
from pipeline.sweep.grid import Row, Setting
from pipeline.sweep.layout import METRICS, REPORT
from pipeline.sweep.method import labels
from pipeline.sweep.study import Study
from pipeline.text_table import text_table

_LINES_SHOWN = 4
_SAYS = {
    "slerp": "slerp of x_T (eq. 67)",
    "lerp": "lerp of x_T, a control",
    "blend": "blending of pixels, a control",
}


def publish(study: Study, setting: Setting, grid: list[Row], rows: list[Row], animated: bool) -> str:
    """Write metrics.json and report/ of a finished interpolation, and return the text for the terminal.

    Args:
        study: the study.
        setting: its setting.
        grid: rows of the grid's file.
        rows: rows of the files of lines.
        animated: whether to write an animation of the first lines.

    """
    lines, numbered = _lines(rows), numbers(setting, rows)
    write = study.storage.write
    write(METRICS, (json.dumps(numbered, indent=2) + "\n").encode())
    text, below = to_text(numbered), caption(study, setting, numbered)
    write(f"{REPORT}/table.md", f"```\n{text}\n```\n\n{below}\n".encode())
    count = math.isqrt(len(grid))
    figures = {"grid": _grid(grid, count), "lines": _figure_of_lines(lines)}
    for name, formats in figures.items():
        for kind, data in formats.items():
            write(f"{REPORT}/{name}.{kind}", data)
    if animated:
        write(f"{REPORT}/lines.gif", _animation(lines["slerp"]))
    out = study.out.rstrip("/")
    return f"{text}\n\n{below}\nFiles: {out}/{METRICS}, {out}/{REPORT}/"


def numbers(setting: Setting, rows: list[Row]) -> list[Row]:
    """Return the rows of metrics.json, one for each path, from the rows of the files of lines."""
    lines = _lines(rows)
    return [setting.describe() | measured(path, lines[path]) for path in _SAYS]


def measured(path: str, lines: list[list[Row]]) -> dict[str, Any]:
    """Return the numbers of a path over its lines: smoothness with its standard error, and the norm in the middle."""
    steps = torch.tensor([[row["step"] for row in line[1:]] for line in lines], dtype=torch.float64)
    each = smoothness(steps)
    norms = [line[len(line) // 2]["x_T_norm"] for line in lines]
    return {
        "path": path,
        "lines": len(lines),
        "smoothness": float(each.mean()),
        "smoothness_se": float(each.std()) / math.sqrt(len(each)),
        "x_T_norm_in_the_middle": None if norms[0] is None else float(np.mean(norms)),
    }


def to_text(numbered: list[Row]) -> str:
    """Return the table for a terminal."""
    lines = [["path", "largest step / mean step", "norm of x_T in the middle"]]
    for one in numbered:
        norm = one["x_T_norm_in_the_middle"]
        ratio = f"{one['smoothness']:.2f} ± {one['smoothness_se']:.2f}"
        lines.append([_SAYS[one["path"]], ratio, "–" if norm is None else f"{norm:.3f}"])
    return text_table(lines, least=(32, 24, 26), head=1)


def caption(study: Study, setting: Setting, numbered: list[Row]) -> str:
    """Return what the numbers are of."""
    source, count = study.identity["encodings"], study.identity["count"]
    between = f"encodings of {source['images']}" if source else "image seeds"
    name = labels([setting.method])[setting.method]
    text = (
        f"{numbered[0]['lines']} lines of {count} pictures between {between}, {name}, "
        f"S = {setting.steps}; steps are distances in features. 1 is an even walk, {count - 1} a single jump; ± one "
        "standard error over lines. Norms are over √(C·H·W), that of noise."
    )
    if source:
        text += "\nEncoded x_T are no noise: their standard deviation is below 1, so their norm is too."
    return text


def _lines(rows: list[Row]) -> dict[str, list[list[Row]]]:
    """Return path → lines, each of rows in the order of the line."""
    numbered: dict[str, dict[tuple[int, int], list[Row]]] = {path: {} for path in _SAYS}
    for row in rows:
        numbered[row["path"]].setdefault((row["seed"], row["to_seed"]), []).append(row)
    return {path: [*lines.values()] for path, lines in numbered.items()}


def _grid(grid: list[Row], count: int) -> Figures:
    rows = [("", [row["image"] for row in grid[i * count : (i + 1) * count]]) for i in range(count)]
    return strip(rows, [], "slerp between four $x_T$, the corners")


def _figure_of_lines(lines: dict[str, list[list[Row]]]) -> Figures:
    rows = [
        (f"{of_path[i][0]['seed']} to {of_path[i][0]['to_seed']}, {path}", [row["image"] for row in of_path[i]])
        for i in range(min(_LINES_SHOWN, len(lines["slerp"])))
        for path, of_path in lines.items()
    ]
    return strip(rows, [], "lines and their controls")


def _animation(lines: list[list[Row]]) -> bytes:
    """Return a GIF that walks the first lines to and fro, side by side."""
    frames = [tiled([[line[k]["image"] for line in lines[: 2 * _LINES_SHOWN]]], 1) for k in range(len(lines[0]))]
    factor = max(1, 64 // frames[0].shape[0])  # so that a small image can be seen
    images = [Image.fromarray(frame.repeat(factor, 0).repeat(factor, 1).squeeze()) for frame in frames]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:] + images[-2:0:-1], duration=120, loop=0)
    return buffer.getvalue()
