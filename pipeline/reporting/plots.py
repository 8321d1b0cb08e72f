"""The plots of a report, FID against network calls and against seconds, and the pictures of samples."""

import io
from collections.abc import Callable
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.reporting.labels import Row, in_latex, line_labels, one_spacing_each, sampler_of
from pipeline.reporting.standings import TWO_SIDED
from pipeline.sweep.images import Pixels

_STYLES = ("-", "--", ":", "-.")
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, which colour-blind readers can tell apart, without yellow."""
_LEGEND_INSIDE = 6
"""Lines up to which the legend has room within the axes."""
_MARKERS = ("o", "s", "^", "D", "v")


def fid_vs_calls(rows: list[Row]) -> bytes:
    """Return a PNG of FID against network calls an image, both logarithmic, with one line per sampler and spacing.

    Bars are 95 % intervals over seeds.
    """
    ticks = sorted({row["steps"] for row in rows})
    return _curves(rows, lambda row: row["nfe"], "network calls an image", ticks)


def fid_vs_seconds(rows: list[Row]) -> bytes:
    """Return a PNG of FID against the seconds of one worker for 1,000 images, both logarithmic."""
    return _curves(rows, lambda row: 1000 / row["images_per_second"], "seconds for 1,000 images, one worker")


def samples(rows: list[tuple[str, Pixels]]) -> bytes:
    """Return a PNG with one row of images for each (label, pixels); a column has images of the same seed."""
    gap = 1
    strips = []
    for _, pixels in rows:
        padded = np.pad(pixels, ((0, 0), (gap, gap), (gap, gap), (0, 0)), constant_values=255)
        strips.append(np.concatenate(list(padded), axis=1))
    picture = np.concatenate(strips, axis=0)
    height = rows[0][1].shape[1] + 2 * gap
    columns = len(rows[0][1])
    cell = 0.32
    figure, axes = _picture(picture, (cell * columns, cell * len(rows)))
    axes.set_yticks([height * (i + 0.5) - 0.5 for i in range(len(rows))], [label for label, _ in rows], fontsize=8)
    axes.set_xticks([])
    return _png(figure)


def same_seeds(rows: list[tuple[str, dict[int, Pixels]]]) -> bytes:
    """Return a PNG with a row for each sampler and a column for each S; each cell has the images of the same seeds.

    Args:
        rows: (label, S → pixels of the seeds) per sampler; a sampler without a cell for an S leaves it blank.

    """
    columns = sorted({s for _, cells in rows for s in cells})
    one = next(iter(rows[0][1].values()))
    count, height, width, channels = one.shape
    gap = max(1, height // 8)
    step_y, step_x = height + gap, count * width + gap
    picture = np.full((len(rows) * step_y - gap, len(columns) * step_x - gap, channels), 255, np.uint8)
    for i, (_, cells) in enumerate(rows):
        for j, s in enumerate(columns):
            if s in cells:
                strip = np.concatenate(list(cells[s]), axis=1)
                picture[i * step_y : i * step_y + height, j * step_x : j * step_x + count * width] = strip
    scale = 0.36 / height
    figure, axes = _picture(picture, (scale * picture.shape[1], scale * picture.shape[0]))
    axes.set_yticks([i * step_y + height / 2 - 0.5 for i in range(len(rows))], [label for label, _ in rows], fontsize=8)
    axes.set_xticks(
        [j * step_x + (step_x - gap) / 2 - 0.5 for j in range(len(columns))], [*map(str, columns)], fontsize=8
    )
    axes.set_title("calls an image (S), the same seeds in every cell", fontsize=8)
    axes.tick_params(labeltop=True, labelbottom=False)
    return _png(figure)


def _picture(picture: Pixels, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """Return a figure of a size in inches that shows pixels, with room for labels and without a frame."""
    figure, axes = plt.subplots(figsize=size)
    axes.set_position((0, 0, 1, 1))  # labels are outside; the saved picture is cropped to what is drawn
    axes.imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="equal")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure, axes


def _curves(rows: list[Row], x: Callable[[Row], Any], label: str, ticks: list[int] | None = None) -> bytes:
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    together = one_spacing_each(rows)
    spacings = list(dict.fromkeys(row["spacing"] for row in rows))
    names = line_labels(rows)
    for i, sampler in enumerate(dict.fromkeys(sampler for sampler, _ in names)):
        for spacing in spacings:
            here = [row for row in rows if row["spacing"] == spacing and sampler_of(row) == sampler]
            if not here:
                continue
            line = sorted((x(row), row["fid"], TWO_SIDED * (row.get("fid_se") or 0.0)) for row in here)
            style = _STYLES[0 if together else spacings.index(spacing) % len(_STYLES)]
            color, marker = _COLORS[i % len(_COLORS)], _MARKERS[i // len(_COLORS) % len(_MARKERS)]
            at, fids, errors = zip(*line, strict=True)
            axes.plot(
                at, fids, style, color=color, marker=marker, markersize=5, label=in_latex(names[sampler, spacing])
            )
            ends = [(max(fid - error, fid / 100), fid + error) for fid, error in zip(fids, errors, strict=True)]
            axes.vlines(at, *zip(*ends, strict=True), color=color, alpha=0.5, linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel=label, ylabel="FID")
    if ticks:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    else:
        axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3, which="both")
    if len(axes.lines) <= _LEGEND_INSIDE:
        axes.legend(fontsize=8)
    else:
        figure.set_figwidth(9)
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5))
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()
