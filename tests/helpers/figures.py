"""The figures of matplotlib, kept before they become files, and what their artists draw."""

import numpy as np

from pipeline.reporting import plots


def unsaved(patch):
    """Let the figures of a sweep's report be empty files, for tests of what is beside them: saving takes seconds."""
    patch.setattr(plots, "saved", lambda figure: plots.plt.close(figure) or {"png": b"", "pdf": b""})


class Kept:
    """What is given to `saved`: figures, in their order."""

    def __init__(self):
        self.figures = []

    def __call__(self, figure):
        self.figures.append(figure)
        return {"png": b"", "pdf": b""}

    @property
    def axes(self):
        """The axes of the only figure."""
        (figure,) = self.figures
        (axes,) = figure.axes
        return axes


def curves(axes):
    """Label of the legend → [(x, y)] of its line."""
    entries, labels = axes.get_legend_handles_labels()
    lines = {
        label: [*zip(entry.get_xdata(), entry.get_ydata(), strict=True)]
        for entry, label in zip(entries, labels, strict=True)
        if hasattr(entry, "get_xdata")
    }
    assert [text.get_text() for text in axes.get_legend().get_texts()] == labels
    return lines


def bars(axes):
    """[(x, low end, high end)] of all vertical bars, in the order of x and low."""
    segments = [s for lines in axes.collections for s in lines.get_segments()]
    assert all(len(s) == 2 and s[0][0] == s[1][0] for s in segments)
    return sorted((s[0][0], s[0][1], s[1][1]) for s in segments)


def ticks(axis):
    """[(place, text)] of an axis' major ticks."""
    return [*zip(axis.get_ticklocs(), [text.get_text() for text in axis.get_ticklabels()], strict=True)]


def image_of(axes):
    """The pixels of the only picture."""
    (image,) = axes.images
    return np.asarray(image.get_array())


def at(axes, column, row):
    """The pixel where these ticks cross; a tick is in the middle of its picture, to a pixel."""
    return image_of(axes)[round(axes.get_yticks()[row] + 0.5), round(axes.get_xticks()[column] + 0.5)]


def plain(value, count=None, side=8):
    """A gray image of one value, or `count` of them."""
    return np.full((side, side, 1) if count is None else (count, side, side, 1), value, np.uint8)
