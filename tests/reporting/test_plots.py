"""The plots draw what their axes say: S and seconds, not the network's calls."""

import pytest
from matplotlib.figure import Figure

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
ROWS = [row(0.0, 30, 31, 2.0, 50.0), row(0.0, 7, 8, 9.0, 250.0), row("hat", 30, 31, 5.0, 40.0)]


@pytest.fixture
def drawn(monkeypatch):
    """What is on the figures that become pictures: (label of x, its ticks, {label of a line: (x, y)})."""
    found = []

    def keep(figure, *arguments, really=Figure.savefig, **options):
        (axes,) = figure.axes
        lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
        found.append((axes.get_xlabel(), [text.get_text() for text in axes.get_xticklabels()], lines))
        really(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return found


def test_the_plot_against_steps_has_s_and_not_the_calls(drawn):
    plots.fid_vs_steps(ROWS)
    assert drawn == [
        (
            "sampling steps S",
            ["7", "30"],
            {r"$\eta$ = 0.0": ([7, 30], [9.0, 2.0]), r"$\hat{\sigma}$": ([30], [5.0])},
        )
    ]


def test_the_plot_against_seconds_has_those_of_1000_images(drawn):
    plots.fid_vs_seconds(ROWS)
    ((label, _, lines),) = drawn
    assert label == "seconds for 1,000 images, one worker"
    assert lines == {r"$\eta$ = 0.0": ([4.0, 20.0], [9.0, 2.0]), r"$\hat{\sigma}$": ([25.0], [5.0])}
