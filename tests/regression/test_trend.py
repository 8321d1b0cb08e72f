"""What the trend page shows: the artists of its plots and the cells of its table beside the history's rows."""

from datetime import UTC, datetime, timedelta

import matplotlib.pyplot as plt
import numpy as np
import pytest
import toy_metric
from matplotlib.colors import to_hex
from matplotlib.dates import date2num
from pages import Page

from pipeline.evaluation.metrics import METRICS
from pipeline.regression import trend

BLUE, RED, WHITE = "#1565c0", "#b00020", "#ffffff"
SHARES = [0.91, 0.52, None, 0.83]
"""Of the third night it is unknown; the second is slower, and the last is of another device."""


def night(i, setting="a"):
    fid = 1.31 + 0.27 * (i % 3)
    return {
        **{"date": datetime(2026, 3, 1, 2, 30, tzinfo=UTC) + timedelta(days=i), "night": f"n{i}", "setting": setting},
        **{"fid": fid, "baseline_fid": 1.09 + 0.04 * i, "fid_limit": 1.2 + 0.05 * i},
        # less than that of the FIDs, by the excess of few images, which earlier releases took from the interval alone
        **{"delta_fid": fid - 1.16 - 0.04 * i, "low": fid - 1.14 - 0.06 * i, "high": fid - 0.96 - 0.01 * i},
        **{"images_per_second": 4120.0 + 900 * i, "baseline_images_per_second": 5330.0 + 400 * i},
        **{"network_share": SHARES[i], "share_limit": None if i >= 2 else 0.63 + 0.02 * i},
        # no IS on the second night, and no error of it on the third; KID is never measured
        **{"is_mean": None if i == 1 else 6.1 + 0.07 * i, "is_se": [0.04, None, None, 0.05][i]},
        **{"kid_mean": None, "kid_se": None},
        **{"quality": ["noise", "better", "worse", "same"][i], "speed": ["ok", "slower", *["not compared"] * 2][i]},
    }


NIGHTS = [night(i) for i in range(4)]
DATES = [date2num(row["date"]) for row in NIGHTS]


@pytest.fixture
def axes(monkeypatch):
    """The axes of FID and of the network's share."""
    kept = []
    monkeypatch.setattr(trend.plt, "close", kept.append)
    assert trend.plot(NIGHTS)[:4] == b"\x89PNG"
    monkeypatch.undo()
    yield kept[0].axes
    plt.close(kept[0])


def artists(monkeypatch, metric, nights):
    """The axes of another metric; its picture is closed already, which leaves the artists as they are."""
    kept = []
    monkeypatch.setattr(trend.plt, "close", kept.append)
    assert trend.plot_metric(metric, nights)[:4] == b"\x89PNG"
    monkeypatch.undo()
    plt.close(kept[0])
    (one,) = kept[0].axes
    return one


def points(axes):
    """(date, value, colour of its rim, colour of its inside) of every point, in order."""
    found = [line for line in axes.lines if line.get_marker() == "o"]
    colours = [(to_hex(line.get_color()), to_hex(line.get_markerfacecolor())) for line in found]
    return [(date2num(line.get_xdata()[0]), line.get_ydata()[0], *of) for line, of in zip(found, colours, strict=True)]


def band(axes):
    """date → (lower, upper) border of the band at that date, where there is one: those that it is on one side of."""
    paths, found = axes.collections[0].get_paths(), {}
    for date in DATES:
        heights = {y for path in paths for x, y in path.vertices if abs(x - date) < 0.51}
        sides = {y: [any(path.contains_point((date, y + d)) for path in paths) for d in (-1e-6, 1e-6)] for y in heights}
        if borders := [y for y, (below, above) in sides.items() if below != above]:
            found[date] = min(borders), max(borders)
    return found


def test_fid_its_bars_the_baseline_and_the_band(axes):
    left, _ = axes
    assert left.get_ylabel() == "FID"
    colours = [BLUE, BLUE, RED, BLUE]
    fids = [row["baseline_fid"] + row["delta_fid"] for row in NIGHTS]
    assert points(left) == [(d, fid, c, c) for d, fid, c in zip(DATES, fids, colours, strict=True)]
    # the ends of a bar are the baseline's FID plus those of the interval of the difference
    (bars,) = [c.get_segments() for c in left.collections if hasattr(c, "get_segments") and len(c.get_segments()) == 4]
    assert np.array(bars)[:, :, 1] == pytest.approx(
        np.array([[row["baseline_fid"] + row["low"], row["baseline_fid"] + row["high"]] for row in NIGHTS])
    )
    (level,) = [line for line in left.lines if line.get_drawstyle() == "steps-mid"]
    baseline = [row["baseline_fid"] for row in NIGHTS]
    assert level.get_ydata() == pytest.approx([baseline[0], *baseline, baseline[-1]])  # and half a day on either side
    borders = band(left)
    assert [borders[date] for date in DATES] == [
        pytest.approx((2 * row["baseline_fid"] - row["fid_limit"], row["fid_limit"]), abs=1e-5) for row in NIGHTS
    ]


def test_the_networks_share_in_percent_above_its_band_where_it_is_compared(axes):
    _, right = axes
    assert right.get_ylabel() == "network calls, % of drawing"
    found = points(right)
    assert [(d, c, inside) for d, _, c, inside in found] == [
        (d, c, inside) for d, c, inside in zip(DATES, [BLUE, RED, BLUE, BLUE], [BLUE, RED, WHITE, WHITE], strict=True)
    ]
    assert [value for _, value, *_ in found] == pytest.approx([91, 52, np.nan, 83], nan_ok=True)
    borders = band(right)
    assert borders == {DATES[0]: pytest.approx((63, 110), abs=1e-5), DATES[1]: pytest.approx((65, 110), abs=1e-5)}


def test_every_cell_of_the_table():
    rows = [*NIGHTS[:3], night(0, "b") | {"date": NIGHTS[2]["date"], "night": "n2"}]
    head, one, other = Page(trend.to_html(rows, "clean")).rows
    assert head == ["setting", "FID, baseline", "FID", "ΔFID", "quality", "images/s", "network", "speed", "IS ↑"]
    assert one == ["a", "1.170", "1.850", "+52.1 %", "worse", "5,920", "?", "not compared", "6.24"]
    assert other == ["b", "1.090", "1.310", "+13.8 %", "noise", "4,120", "91.0 %", "ok", "6.10 ± 0.04"]


def test_another_metrics_value_and_its_standard_error_to_either_side(monkeypatch):
    axes = artists(monkeypatch, METRICS["is"], NIGHTS)
    assert axes.get_ylabel() == "IS ↑"
    assert axes.get_xlim() == (pytest.approx(DATES[0] - 0.5), pytest.approx(DATES[-1] + 0.5))
    assert [(d, c, inside) for d, _, c, inside in points(axes)] == [(d, BLUE, BLUE) for d in DATES]
    assert [value for _, value, *_ in points(axes)] == pytest.approx([6.1, np.nan, 6.24, 6.31], nan_ok=True)
    (bars,) = [c.get_segments() for c in axes.collections]
    assert np.array([bar for bar in bars if len(bar)]) == pytest.approx(
        np.array([[(DATES[0], 6.06), (DATES[0], 6.14)], [(DATES[3], 6.26), (DATES[3], 6.36)]])
    )


def test_a_registered_metric_has_its_pictures_and_a_column_with_its_decimals(monkeypatch):
    toy_metric.registered(monkeypatch)
    rows = [row | {"norm": 11.0 + 0.001 * i, "norm_se": 0.004} for i, row in enumerate(NIGHTS[:3])]
    rows.append(night(0, "b") | {"date": NIGHTS[2]["date"], "night": "n2", "norm": None, "norm_se": None})
    page = Page(trend.to_html(rows, "clean"))
    assert [row[-2:] for row in page.rows] == [
        *(["IS ↑", "mean norm ↑"], ["6.24", "11.00200 ± 0.00400"], ["6.10 ± 0.04", "–"]),
    ]
    assert [image["alt"] for image in page.all("img") if "FID" not in image["alt"]] == [
        f"{name} over the nights" for name in ("IS of a", "mean norm of a", "IS of b")
    ]
    axes = artists(monkeypatch, toy_metric.MeanNorm(), rows[:3])
    assert axes.get_ylabel() == "mean norm ↑"
    assert [value for _, value, *_ in points(axes)] == [11.0, 11.001, 11.002]
