"""The trend page: compared metrics and speed of each setting over the nights, in one self-contained HTML file."""

import base64
import io
import math
from datetime import timedelta
from importlib.resources import files
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from jinja2 import Environment
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from pipeline.evaluation.metrics import beside_fid
from pipeline.evaluation.metrics.base import Metric

_BAND = {"color": "#2e7d32", "alpha": 0.15, "linewidth": 0}
_BAD = "#b00020"
_BARS: dict[str, Any] = {"fmt": "none", "ecolor": "#888", "elinewidth": 1, "capsize": 2}
_MARGIN = timedelta(hours=12)


def to_html(history: list[dict[str, Any]], headline: str) -> str:
    """Return the page of all nights.

    Args:
        history: rows by `history.schema`, oldest first, of at least one night.
        headline: the headline of the last night.

    """
    last = [row for row in history if row["night"] == history[-1]["night"]]
    by_setting = {row["setting"]: [other for other in history if other["setting"] == row["setting"]] for row in last}
    others = [metric for metric in beside_fid() if _measured(metric, history)]
    plots = [
        {
            "setting": setting,
            "png": base64.b64encode(plot(nights)).decode(),
            "others": [
                {"title": metric.title, "png": base64.b64encode(plot_metric(metric, nights)).decode()}
                for metric in others
                if _measured(metric, nights)
            ],
        }
        for setting, nights in by_setting.items()
    ]
    template = files("pipeline.regression").joinpath("trend.html.j2").read_text(encoding="utf-8")
    return (
        Environment(autoescape=True)
        .from_string(template)
        .render(
            headline=headline,
            nights=len({row["night"] for row in history}),
            last=f"{history[-1]['date']:%Y-%m-%d %H:%M} UTC",
            rows=last,
            others=others,
            plots=plots,
        )
    )


def plot(nights: list[dict[str, Any]]) -> bytes:
    """Return a PNG of one setting's nights: FID on the left, the network's share of the drawing on the right."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 2.6), layout="constrained")
    dates = [row["date"] for row in nights]
    baseline = [row["baseline_fid"] for row in nights]
    # without the excess of few images, so that the point and its bar are what the gate has judged
    fid = [row["baseline_fid"] + row["delta_fid"] for row in nights]
    bars = [(row["date"], row["baseline_fid"], row["low"], row["high"]) for row in nights if row["low"] is not None]
    span = [dates[0] - _MARGIN, *dates, dates[-1] + _MARGIN]  # so that a single night has a band too
    below = [2 * row["baseline_fid"] - row["fid_limit"] for row in nights]
    above = [row["fid_limit"] for row in nights]
    left.fill_between(span, _wide(below), _wide(above), step="mid", **_BAND)
    left.step(span, _wide(baseline), where="mid", color="#2e7d32", linewidth=1)
    middles = [zero + (low + high) / 2 for _, zero, low, high in bars]
    halves = [(high - low) / 2 for *_, low, high in bars]
    left.errorbar([bar[0] for bar in bars], middles, halves, **_BARS)
    _points(left, dates, fid, [row["quality"] == "worse" for row in nights], [True] * len(nights))
    left.set_ylabel("FID")

    shares = [math.nan if row["network_share"] is None else 100 * row["network_share"] for row in nights]
    compared = [row["share_limit"] is not None for row in nights]
    right.set_ylim(0, 110)
    floor = [100 * (row["share_limit"] or 0.0) for row in nights]
    right.fill_between(span, _wide(floor), right.get_ylim()[1], where=_wide(compared), step="mid", **_BAND)
    _points(right, dates, shares, [row["speed"] == "slower" for row in nights], compared)
    right.set_ylabel("network calls, % of drawing")
    return _png(figure)


def plot_metric(metric: Metric, nights: list[dict[str, Any]]) -> bytes:
    """Return a PNG of a metric of one setting's nights: its value, with a bar of one standard error to either side."""
    figure, axes = plt.subplots(figsize=(5.5, 2.1), layout="constrained")
    dates = [row["date"] for row in nights]
    values = [math.nan if row[metric.key] is None else row[metric.key] for row in nights]
    errors = [row[metric.se] if metric.se else None for row in nights]
    axes.errorbar(dates, values, [math.nan if error is None else error for error in errors], **_BARS)
    _points(axes, dates, values, [False] * len(nights), [True] * len(nights))
    axes.set_xlim(dates[0] - _MARGIN, dates[-1] + _MARGIN)
    axes.set_ylabel(metric.heading)
    axes.ticklabel_format(axis="y", useOffset=False)
    return _png(figure)


def _measured(metric: Metric, rows: list[dict[str, Any]]) -> bool:
    return any(row[metric.key] is not None for row in rows)


def _png(figure: Figure) -> bytes:
    for axes in figure.axes:
        locator = AutoDateLocator(minticks=2, maxticks=6)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def _wide(values: list[Any]) -> list[Any]:
    return [values[0], *values, values[-1]]


def _points(axes: Axes, dates: list[Any], values: list[float], bad: list[bool], filled: list[bool]) -> None:
    axes.plot(dates, values, color="#1565c0", linewidth=0.8)
    for date, value, is_bad, is_filled in zip(dates, values, bad, filled, strict=True):
        color = _BAD if is_bad else "#1565c0"
        axes.plot(date, value, "o", color=color, markersize=4, markerfacecolor=color if is_filled else "white")
