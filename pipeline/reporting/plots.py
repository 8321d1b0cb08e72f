"""The figures of a report, as PNG and PDF: FID, consistency and time in curves, and pictures of samples."""

import io
from collections.abc import Callable
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from pipeline.images.pixels import Pixels
from pipeline.reporting.standings import TWO_SIDED
from pipeline.reporting.timing import proportions
from pipeline.sweep.grid import Row, Rows, Setting
from pipeline.sweep.method import labels

Figures = dict[str, bytes]
"""Format, "png" or "pdf" → the figure's file."""

_STYLES = ("-", "--", ":", "-.")
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, which colour-blind readers can tell apart, without yellow."""
_LEGEND_INSIDE = 6
"""Lines up to which the legend has room within the axes."""
_MARKERS = ("o", "s", "^", "D", "v")
_CALLS = "network calls an image"


def fid_vs_calls(rows: Rows) -> Figures:
    """Return a figure of FID against network calls an image, both logarithmic, with one line per method.

    Bars are 95 % intervals over seeds.
    """
    figure, axes = _curves(rows, _calls, lambda _, row: row["fid"], "fid_se")
    axes.set(yscale="log", xlabel=_CALLS, ylabel="FID")
    axes.yaxis.set_major_formatter("{x:g}")
    _ticks_at_budgets(axes, rows)
    return saved(figure)


def fid_vs_seconds(rows: Rows) -> Figures:
    """Return a figure of FID against the seconds of one worker for 1,000 images, both logarithmic."""
    figure, axes = _curves(rows, _seconds, lambda _, row: row["fid"], "fid_se")
    axes.set(yscale="log", xlabel="seconds for 1,000 images, one worker", ylabel="FID")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    return saved(figure)


def consistency(rows: Rows) -> Figures:
    """Return a figure of the distance from the image at the largest S against network calls (figure 5 as a number).

    Only rows with a consistency are shown, at least one. Bars are 95 % intervals over seeds.
    """
    rows = {setting: row for setting, row in rows.items() if "consistency" in row}
    figure, axes = _curves(rows, _calls, lambda _, row: row["consistency"], "consistency_se")
    axes.axhline(1.0, color="#888", linewidth=1, linestyle=":")
    axes.text(0.01, 1.02, "another seed's image", transform=axes.get_yaxis_transform(), fontsize=8, color="#555")
    axes.set(ylim=(0, 1.15 * max(1.0, *(row["consistency"] for row in rows.values()))))
    axes.set(xlabel=_CALLS, ylabel="distance in features from the image at the largest S")
    _ticks_at_budgets(axes, rows)
    return saved(figure)


def seconds_vs_calls(rows: Rows) -> Figures:
    """Return a figure of seconds for 1,000 images against network calls (figure 4), with lines through the origin."""
    figure, axes = _curves(rows, _calls, _seconds, None, joined=False)
    calls = [setting.nfe for setting in rows]
    ends = [min(calls), max(calls)]
    for line in proportions(rows):
        axes.plot(ends, [1000 * line.seconds_a_call * x for x in ends], color="#888", linewidth=0.8, zorder=1)
    axes.set(yscale="log", xlabel=_CALLS, ylabel="seconds for 1,000 images, one worker")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    _ticks_at_budgets(axes, rows)
    return saved(figure)


def samples(rows: list[tuple[str, Pixels]]) -> Figures:
    """Return a figure with one row of images for each (label, pixels); a column has images of the same seed."""
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
    return saved(figure)


def same_seeds(rows: list[tuple[str, dict[int, Pixels]]]) -> Figures:
    """Return a figure with a row for each sampler and a column for each S; each cell has the images of the same seeds.

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
    return saved(figure)


def strip(rows: list[tuple[str, list[Pixels]]], columns: list[str], title: str) -> Figures:
    """Return a figure of single images in labelled rows; `columns` are labels above them, or none.

    Args:
        rows: (label, images of shape (H, W, C)) per row, as many images in each.
        columns: labels of the columns, or an empty list.
        title: a line above all.

    """
    gap = max(1, rows[0][1][0].shape[0] // 8)
    picture = tiled([images for _, images in rows], gap)
    height, width = (size + gap for size in rows[0][1][0].shape[:2])
    scale = 0.4 / height
    figure, axes = _picture(picture, (scale * picture.shape[1], scale * picture.shape[0]))
    axes.set_yticks([(i + 0.5) * height - gap for i in range(len(rows))], [label for label, _ in rows], fontsize=8)
    axes.set_xticks([(j + 0.5) * width - gap for j in range(len(columns))], columns, fontsize=8)
    axes.set_title(title, fontsize=8)
    axes.tick_params(labeltop=True, labelbottom=False)
    return saved(figure)


def tiled(rows: list[list[Pixels]], gap: int) -> Pixels:
    """Return images, each (H, W, C), in rows and columns as one, uint8, with a white gap between them."""
    height, width, channels = rows[0][0].shape
    shape = len(rows) * (height + gap) - gap, len(rows[0]) * (width + gap) - gap, channels
    picture = np.full(shape, 255, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            y, x = i * (height + gap), j * (width + gap)
            picture[y : y + height, x : x + width] = image
    return picture


def _picture(picture: Pixels, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """Return a figure of a size in inches that shows pixels, with room for labels and without a frame."""
    figure, axes = plt.subplots(figsize=size)
    axes.set_position((0, 0, 1, 1))  # labels are outside; the saved picture is cropped to what is drawn
    axes.imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="equal")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure, axes


def _calls(setting: Setting, row: Row) -> int:
    return setting.nfe


def _seconds(setting: Setting, row: Row) -> float:
    return 1000 / float(row["images_per_second"])


def _curves(
    rows: Rows,
    x: Callable[[Setting, Row], Any],
    y: Callable[[Setting, Row], Any],
    se: str | None,
    joined: bool = True,
) -> tuple[Figure, Axes]:
    """Return a figure with a logarithmic x and a line per method; `se` is the key of y's error.

    A sampler has a colour and a marker; a style is what else a label says, where a sampler has several methods.
    """
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    names = labels((setting.method for setting in rows), short=True)
    of_sampler = [*dict.fromkeys(method.sampler for method in names)]
    rests = [*dict.fromkeys(method.rest for method in names)]
    together = len(names) == len(of_sampler)
    for method in sorted(names, key=lambda one: (of_sampler.index(one.sampler), rests.index(one.rest))):
        i = of_sampler.index(method.sampler)
        of_line = [(setting, row) for setting, row in rows.items() if setting.method == method]
        line = sorted((x(*one), y(*one), TWO_SIDED * ((se and one[1].get(se)) or 0.0)) for one in of_line)
        style = _STYLES[0 if together else rests.index(method.rest) % len(_STYLES)] if joined else "none"
        color, marker = _COLORS[i % len(_COLORS)], _MARKERS[i // len(_COLORS) % len(_MARKERS)]
        at, values, errors = zip(*line, strict=True)
        axes.plot(at, values, linestyle=style, color=color, marker=marker, markersize=5, label=names[method])
        bars = zip(values, errors, strict=True)
        ends = [(max(value - error, value / 100), value + error) for value, error in bars]
        axes.vlines(at, *zip(*ends, strict=True), color=color, alpha=0.5, linewidth=1)
    axes.set(xscale="log")
    axes.grid(alpha=0.3, which="both")
    if len(axes.lines) <= _LEGEND_INSIDE:
        axes.legend(fontsize=8)
    else:
        figure.set_figwidth(9)
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5))
    return figure, axes


def _ticks_at_budgets(axes: Axes, rows: Rows) -> None:
    ticks = sorted({setting.steps for setting in rows})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


def saved(figure: Figure) -> Figures:
    """Return the files of a figure, and close it."""
    images = {}
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # it is laid out: once is enough
    box = figure.get_tightbbox().padded(mpl.rcParams["savefig.pad_inches"])
    for kind, left_out in (("png", "Software"), ("pdf", "CreationDate")):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=150, bbox_inches=box, metadata={left_out: None})
        images[kind] = buffer.getvalue()
    plt.close(figure)
    return images
