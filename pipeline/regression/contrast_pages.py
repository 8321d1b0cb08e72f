"""A contrast as text for a terminal, as Markdown and as JSON."""

from collections.abc import Sequence
from typing import Any

from pipeline.evaluation.metrics import METRICS, beside_fid, compared_metrics
from pipeline.evaluation.metrics.base import Metric, listed
from pipeline.evaluation.metrics.fid import FID
from pipeline.regression.compared import ALPHA, Compared
from pipeline.regression.contrast import Beside, Contrast
from pipeline.text_table import text_table

_QUALITY = {
    "same": "same images",
    "noise": "within noise",
    "better": "better",
    "worse": "worse",
    "unknown": "too few images",
}
_LEFT = (0, 3)
"""Columns of words, which begin at the left."""


def to_text(besides: Sequence[Beside]) -> str:
    """Return the comparisons for a terminal: what differs first, then a line a setting."""
    parts = [f"baseline: {besides[0].baseline.text}"]
    for beside in besides:
        table = text_table([_head(), *map(_cells, beside.contrasts)], _LEFT)
        parts.append("\n".join([f"{beside.other.text}", *(f"  {line}" for line in _conditions(beside)), table]))
    return "\n\n".join([*parts, "\n".join(_notes(besides))])


def to_markdown(besides: Sequence[Beside]) -> str:
    """Return the comparisons as GitHub's Markdown."""
    parts = [f"Baseline: `{besides[0].baseline.text}`"]
    for beside in besides:
        rule = "|" + "|".join(":--" if i in _LEFT else "--:" for i in range(len(_head()))) + "|"
        table = ["| " + " | ".join(line) + " |" for line in (_head(), *map(_cells, beside.contrasts))]
        parts.append("\n".join([f"### `{beside.other.text}`", "", *(f"- {line}" for line in _conditions(beside))]))
        parts.append("\n".join([table[0], rule, *table[1:]]))
    return "\n\n".join([*parts, *_notes(besides)]) + "\n"


def to_json(besides: Sequence[Beside]) -> dict[str, Any]:
    """Return the comparisons as plain values at full precision. Pairs are [the baseline's, the other's]."""
    return {
        "baseline": besides[0].baseline.text,
        "outputs": [
            {
                "output": beside.other.text,
                "paired": beside.paired,
                "differing": {name: list(values) for name, values in beside.differing.items()},
                "settings": [_values(one) for one in beside.contrasts],
            }
            for beside in besides
        ],
    }


def _values(one: Contrast) -> dict[str, Any]:
    return {
        "settings": [setting.slug for setting in one.settings],
        "quality": one.quality,
        **{metric.name: _numbers(one.metrics.get(metric.name)) for metric in compared_metrics()},
        "images_per_second": list(one.images_per_second),
        "nfe": [setting.nfe for setting in one.settings],
        "devices": list(one.devices),
        "torch": list(one.releases),
    }


def _numbers(metric: Compared | None) -> dict[str, Any] | None:
    if metric is None:
        return None
    return {
        "values": [metric.baseline, metric.other],
        "difference": metric.difference.value,
        "se": metric.difference.se,
        "interval": None if metric.interval is None else list(metric.interval),
        "confidence": 1 - metric.level,
        "p_value": None if metric.difference.se is None else metric.difference.p_value,
    }


def _conditions(beside: Beside) -> list[str]:
    config = beside.other.run.config
    if beside.paired:
        noise = f"pairs of images with the same noise: seed {config.seed}, {config.num_images:,} images"
    else:
        noise = "not pairs: the images have other noise or another number, so small differences are hidden"
    return [
        noise,
        *(f"other {name}: {of_baseline} → {of_other}" for name, (of_baseline, of_other) in beside.differing.items()),
    ]


def _head() -> list[str]:
    fid = FID.title
    others = (f"Δ{metric.title}" for metric in beside_fid())
    return ["setting", fid, f"Δ{fid}", "", *others, "images/s", "calls"]


def _cells(one: Contrast) -> list[str]:
    of_baseline, of_other = (setting.slug for setting in one.settings)
    before, after = one.images_per_second
    calls, calls_of_other = (setting.nfe for setting in one.settings)
    return [
        of_other if of_baseline == of_other else f"{of_baseline} → {of_other}",
        f"{one.fid.baseline:.4g} → {one.fid.other:.4g}",
        _difference(METRICS[FID.name], one),
        _QUALITY[one.quality],
        *(_difference(metric, one) for metric in beside_fid()),
        f"{before:,.4g} → {after:,.4g} ({after / before:.2f}×)",
        f"{calls} → {calls_of_other} ({calls_of_other / calls:.2f}×)",
    ]


def _difference(metric: Metric, one: Contrast) -> str:
    compared = one.metrics.get(metric.name)
    if compared is None:
        return "–"
    text = metric.shown_difference(compared.difference.value)
    if compared.interval is None:
        return text
    low, high = map(metric.shown_difference, compared.interval)
    return f"{text} [{low}, {high}]"


def _notes(besides: Sequence[Beside]) -> list[str]:
    count = sum(len(beside.contrasts) for beside in besides)
    percent = f"{1 - ALPHA:.0%}".replace("%", " %")
    together = f"; those of ΔFID hold for all {count} settings together (Holm)" if count > 1 else ""
    lines = [
        f"Δ is the setting's minus the baseline's, with intervals of {percent}{together}. ΔFID is without the excess "
        f"that few images give. {_which_is_better()}"
    ]
    if any("num images" in beside.differing for beside in besides):
        lines.append("IS depends on the number of images too, and its difference is as measured.")
    return lines


def _which_is_better() -> str:
    lower, higher = (
        listed([metric.title for metric in compared_metrics() if metric.higher_is_better == high])
        for high in (False, True)
    )
    return f"Better are a lower {lower} and a higher {higher}."
