"""The strips of trajectories: each seed's x_t and pred_x0 in the row of its label, under the calls that it took."""

from types import SimpleNamespace

from figures import at, plain, ticks
from measured_rows import GRID

from pipeline.reporting import trajectory
from pipeline.storage.store import Storage

SEEDS, CALLS = (5, 0), {GRID[0]: (1, 4, 8), GRID[2]: (1, 17, 31)}


def test_x_t_and_pred_x0_stand_in_the_row_of_their_label_under_their_calls(kept, tmp_path):
    """The gray of a picture says which it is: 10 · its column, 40 more a seed, 100 more for pred_x0."""
    files = {
        setting: [
            {"seed": seed, "calls": n, "x_t": plain(10 * k + 40 * s), "pred_x0": plain(100 + 10 * k + 40 * s)}
            for s, seed in enumerate(SEEDS)
            for k, n in enumerate(calls)
        ]
        for setting, calls in CALLS.items()
    }
    study = SimpleNamespace(storage=Storage(str(tmp_path)), out=f"{tmp_path}/")
    said = trajectory.publish(study, files)
    assert said.splitlines() == [
        "DDIM η = 0.0, S = 7: after 1, 4, 8 calls",
        "DDIM η = 0.0, S = 30: after 1, 17, 31 calls",
        f"Files: {tmp_path}/report/",
    ]
    assert len(kept.figures) == 2
    for figure, (setting, calls) in zip(kept.figures, CALLS.items(), strict=True):
        (axes,) = figure.axes
        assert axes.get_title() == f"DDIM η = 0.0, S = {setting.steps}: after so many network calls"
        assert [text for _, text in ticks(axes.xaxis)] == [str(count) for count in calls]
        shown = {text: [at(axes, x, y) for x in range(3)] for y, (_, text) in enumerate(ticks(axes.yaxis))}
        assert shown == {
            "$x_t$, seed 5": [0, 10, 20],
            "pred $x_0$, seed 5": [100, 110, 120],
            "$x_t$, seed 0": [40, 50, 60],
            "pred $x_0$, seed 0": [140, 150, 160],
        }
