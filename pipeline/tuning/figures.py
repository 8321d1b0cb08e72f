"""The figures of a tuning: FID against calls, the times of each grid, and the same seeds in rows."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from pipeline.diffusion.schedule import Schedule
from pipeline.evaluation.metrics.fid import FID, UnbiasedFID
from pipeline.images.pixels import Pixels
from pipeline.reporting import plots
from pipeline.reporting.plots import Figures
from pipeline.reporting.standings import TWO_SIDED
from pipeline.sweep.grid import Setting
from pipeline.tuning.answer import Answer, Proven
from pipeline.tuning.proof import Metrics, bias_free
from pipeline.tuning.sentences import Names, is_listed

_COLORS = {"default": "#0072B2", "tuned": "#D55E00", "finalist": "#777777", "teacher": "#000000"}
"""Of Okabe and Ito's palette, as the other plots."""
_NO_WIN = "closest, no win"
_ROW = 0.24
"""Inches a row of times."""
_APART = 1.1
"""Ratio of two numbers of calls from which on their labels do not touch."""


def fid_vs_calls(answers: Sequence[Answer], names: Names) -> Figures:
    """Return a figure of FID without bias against network calls, both logarithmic, with 95 % intervals over seeds.

    A line has the best default of each budget and those of the ladder, another what was tuned where it wins; where
    nothing does, the closest finalist is a hollow mark.
    """
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    default: dict[int, Metrics] = {}
    for answer in answers:
        best = answer.proof.best_default
        default.setdefault(best.nfe, answer.proof.defaults[best])
    for answer in answers:
        for setting, measured in answer.ladder.items():
            default.setdefault(setting.nfe, measured)
    leads = {won: [a for a in answers if (a.proof.best is not None) == won] for won in (True, False)}
    tuned, closest = ({a.lead.setting.nfe: a.lead.measured for a in leads[won]} for won in (True, False))
    teacher = answers[0].teacher
    of_teacher = {teacher.nfe: answers[0].of_teacher}
    named = f"teacher: {names[teacher.method]}, {teacher.spacing}"
    _line(axes, default, "best default", _COLORS["default"], "o-")
    _line(axes, tuned, "tuned", _COLORS["tuned"], "s-")
    _line(axes, closest, _NO_WIN, _COLORS["tuned"], "s", hollow=True)
    _line(axes, of_teacher, named, _COLORS["teacher"], "*")
    axes.set(xscale="log", yscale="log", xlabel="network calls an image", ylabel=UnbiasedFID.title)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # a decade may have none of its ends in the axes
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    ticks: list[int] = []
    for calls in sorted({*default, *tuned, *closest, *of_teacher}):
        if not ticks or calls >= _APART * ticks[-1]:
            ticks.append(calls)
    axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    return plots.saved(figure)


def _line(axes: Axes, points: Mapping[int, Metrics], label: str, color: str, style: str, hollow: bool = False) -> None:
    """Draw FID at numbers of calls, with bars and, where it is a line, a band of 95 %."""
    if not points:
        return
    calls = sorted(points)
    fids = [bias_free(points[at][FID.name]) for at in calls]
    errors = [TWO_SIDED * (points[at][FID.name].se or 0.0) for at in calls]
    low = [max(fid - error, fid / 100) for fid, error in zip(fids, errors, strict=True)]
    high = [fid + error for fid, error in zip(fids, errors, strict=True)]
    axes.plot(calls, fids, style, color=color, label=label, markersize=6, markerfacecolor="none" if hollow else color)
    axes.vlines(calls, low, high, color=color, alpha=0.5, linewidth=1)
    if style.endswith("-") and len(calls) > 1:
        axes.fill_between(calls, low, high, color=color, alpha=0.15, linewidth=0)


def times(answers: Sequence[Answer], names: Names, schedule: Schedule) -> Figures:
    """Return a figure of the times that each proven setting visits, by log(alpha / sigma): a row a setting.

    Times without signal, where it is infinite, are left out.
    """
    shown: list[tuple[str, str, Setting]] = []
    for answer in answers:
        best = answer.proof.best_default
        shown.append((f"{answer.calls} calls: {names[best.method]}, {best.spacing}", "default", best))
        searched = [one for one in answer.proven if one.finalist is not None]
        shown += [(f"{names[one.setting.method]}, {_role(one)}", one.role, one.setting) for one in searched]
    teacher = answers[0].teacher
    shown.append((f"teacher: {names[teacher.method]}, {teacher.nfe} calls", "teacher", teacher))
    figure, axes = plt.subplots(figsize=(6.4, 1 + _ROW * len(shown)), layout="constrained")
    for row, (_, role, setting) in enumerate(shown):
        lams = [node.lam for node in setting.grid(schedule) if math.isfinite(node.lam)]
        axes.plot(lams, [row] * len(lams), "|-", color=_COLORS[role], linewidth=0.5, markersize=9, markeredgewidth=1.5)
    axes.set_yticks([*range(len(shown))], [label for label, _, _ in shown], fontsize=8)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel("log(α / σ), half the log-SNR: from noise to data")
    axes.grid(alpha=0.3, axis="x")
    return plots.saved(figure)


def _role(one: Proven) -> str:
    times = "" if is_listed(one.setting) else f", {one.setting.spacing}"
    return ("tuned" if one.role == "tuned" else "finalist") + times


def same_seeds(answers: Sequence[Answer], names: Names, pictures: Mapping[Setting, Pixels]) -> Figures:
    """Return a figure of the first fresh seeds, one a column: for each budget by default and tuned, and by the teacher.

    Args:
        answers: the answers.
        names: labels of their methods, without spacings.
        pictures: setting → images of the first fresh seeds, as many for all: uint8, (N, H, W, C).

    """
    rows = []
    for answer in answers:
        best, lead = answer.proof.best_default, answer.lead
        role = "closest" if answer.proof.best is None else "tuned"
        rows.append((f"{answer.calls} calls: {names[best.method]}, {best.spacing}", pictures[best]))
        rows.append((f"{names[lead.setting.method]}, {role}", pictures[lead.setting]))
    teacher = answers[0].teacher
    rows.append((f"teacher: {names[teacher.method]}, {teacher.nfe} calls", pictures[teacher]))
    return plots.samples(rows)
