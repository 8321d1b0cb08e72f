"""The plots of a report, FID against steps and against seconds, and the picture of samples."""

import io
from collections.abc import Callable
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from pipeline.reporting.labels import Row, in_latex, labels, sampler_of
from pipeline.sweep.images import Pixels

_STYLES = ("-", "--", ":", "-.")


def fid_vs_steps(rows: list[Row]) -> bytes:
    """Return a PNG of FID against S, both logarithmic, with one line per sampler and spacing."""
    ticks = sorted({row["steps"] for row in rows})
    return _curves(rows, lambda row: row["steps"], "sampling steps S", ticks)


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
    figure, axes = plt.subplots(figsize=(cell * columns, cell * len(rows)))
    axes.set_position((0, 0, 1, 1))  # labels are outside; the saved picture is cropped to what is drawn
    axes.imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="equal")
    axes.set_yticks([height * (i + 0.5) - 0.5 for i in range(len(rows))], [label for label, _ in rows], fontsize=8)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return _png(figure)


def _curves(rows: list[Row], x: Callable[[Row], Any], label: str, ticks: list[int] | None = None) -> bytes:
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    spacings = list(dict.fromkeys(row["spacing"] for row in rows))
    names = labels(rows)
    for spacing in spacings:
        for i, (sampler, name) in enumerate(names.items()):
            here = [row for row in rows if row["spacing"] == spacing and sampler_of(row) == sampler]
            if not here:
                continue
            line = sorted((x(row), row["fid"]) for row in here)
            style = _STYLES[spacings.index(spacing) % len(_STYLES)]
            title = in_latex(name) if len(spacings) == 1 else f"{in_latex(name)}, {spacing}"
            axes.plot(*zip(*line, strict=True), style, marker="o", color=f"C{i}", label=title)
    axes.set(xscale="log", yscale="log", xlabel=label, ylabel="FID")
    if ticks:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    else:
        axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()
