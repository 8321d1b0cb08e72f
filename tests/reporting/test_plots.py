"""The plots draw what their axes say: the true calls of the network, and seconds."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from measured_rows import by_setting

from pipeline.reporting import plots


def row(eta, steps, nfe, fid, rate, spacing="linear"):
    return {
        "sampler": "ddim",
        "eta": eta,
        "steps": steps,
        "nfe": nfe,
        "fid": fid,
        "images_per_second": rate,
        "spacing": spacing,
    }


# linear takes 31 calls for S = 30 and 8 for S = 7; the rows of a line are not in its order
ROWS = by_setting([row(0.0, 30, 31, 2.0, 50.0), row(0.0, 7, 8, 9.0, 250.0), row("hat", 30, 31, 5.0, 40.0)])


@pytest.fixture
def drawn(monkeypatch):
    """What is on the figures that become pictures: (label of x, its ticks, {label of a line: (x, y)})."""
    found = []

    def keep(figure, *arguments, really=Figure.savefig, **options):
        (axes,) = figure.axes
        lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
        if options["format"] == "png":
            found.append((axes.get_xlabel(), [text.get_text() for text in axes.get_xticklabels()], lines))
        really(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return found


def test_the_plot_against_calls_has_the_true_ones_and_not_s(drawn):
    plots.fid_vs_calls(ROWS)
    assert drawn == [
        (
            "network calls an image",
            ["7", "30"],
            {"η = 0.0": ([8, 31], [9.0, 2.0]), "σ̂": ([31], [5.0])},
        )
    ]


def test_twelve_lines_can_be_told_apart_and_the_legend_hides_none(monkeypatch):
    figures = []
    monkeypatch.setattr(plots, "saved", lambda figure: figures.append(figure) or {})
    names = [("ipndm", {"order": order}) for order in (1, 2, 3, 4)] + [("unipc", {"order": o}) for o in (1, 2, 3)]
    names += [("deis", {"ab_order": order}) for order in (0, 1, 2)] + [("heun", {}), ("pndm", {})]
    rows = [
        row(0.0, s, 10, i + s, 50.0) | {"sampler": name} | options
        for i, (name, options) in enumerate(names)
        for s in (1, 2)
    ]
    plots.fid_vs_calls(by_setting(rows))
    (axes,) = figures[0].axes
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == len(axes.lines) == 12
    figures[0].canvas.draw()
    legend = axes.get_legend().get_window_extent()
    assert legend.x0 > axes.get_window_extent().x1
    assert legend.x1 <= figures[0].bbox.x1
    assert legend.y0 >= 0


def test_the_same_seeds_are_in_the_cell_of_their_sampler_and_budget(monkeypatch):
    pictures = []
    monkeypatch.setattr(plots.plt.Axes, "imshow", lambda axes, picture, **_: pictures.append(picture))
    monkeypatch.setattr(plots, "saved", lambda figure: pictures.append(figure) or {})
    cells = [{5: np.full((2, 8, 8, 1), 50), 10: np.full((2, 8, 8, 1), 60)}, {10: np.full((2, 8, 8, 1), 80)}]
    plots.same_seeds([("a", cells[0]), ("b", cells[1])])
    picture, figure = pictures
    (axes,) = figure.axes
    assert picture.shape == (8 + 1 + 8, 16 + 1 + 16)
    assert [set(picture[y : y + 8, x : x + 16].ravel()) for y in (0, 9) for x in (0, 17)] == [{50}, {60}, {255}, {80}]
    assert [text.get_text() for text in (*axes.get_yticklabels(), *axes.get_xticklabels())] == ["a", "b", "5", "10"]


def test_the_plot_against_seconds_has_those_of_1000_images(drawn):
    plots.fid_vs_seconds(ROWS)
    ((label, _, lines),) = drawn
    assert label == "seconds for 1,000 images, one worker"
    assert lines == {"η = 0.0": ([4.0, 20.0], [9.0, 2.0]), "σ̂": ([25.0], [5.0])}
