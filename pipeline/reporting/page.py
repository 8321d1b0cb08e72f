"""The page of a sweep, report/index.html: one HTML file with its charts, table and pictures, that loads nothing."""

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment

from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.metrics.base import listed
from pipeline.reporting import account, charts
from pipeline.reporting.charts import Axis, Point
from pipeline.reporting.columns import CONSISTENCY, PUBLISHED, columns, duration, metric_shown, shown
from pipeline.reporting.part import Part, picture_grid, public
from pipeline.reporting.standings import NOT_MEASURED, Line, best_set, frontier, line, ordered
from pipeline.reporting.studies import Shown
from pipeline.reporting.verdict import verdict as verdict_of
from pipeline.sweep.method import Method, labels
from pipeline.sweep.result import now


def to_html(
    parts: Sequence[Part], verdict: Sequence[str], price_per_hour: float | None = None, studies: Sequence[Shown] = ()
) -> bytes:
    """Return the page, in UTF-8, for the report's folder of the first part's output.

    Args:
        parts: the outputs, at least one. Those measured alike share charts and table, others have their own.
        verdict: lines of text to begin with; no verdict if there are none.
        price_per_hour: price of a GPU hour, or of a CPU core hour for an output without GPUs; None to leave out money.
        studies: studies whose reports the page shows too.

    """
    alike: dict[str, list[Part]] = {}
    for part in parts:
        # what the numbers depend on, besides the images themselves
        measured_by = {
            k: v for k, v in part.run.measurement.identity.items() if k.startswith(("extractor", "reference"))
        }
        alike.setdefault(f"{part.run.config.num_images} {measured_by}", []).append(part)
    # outputs are told apart by the last names of their folders, if these differ
    outputs = [part.output for part in parts]
    short = [output.rpartition("/")[2] for output in outputs]
    told = dict(zip(outputs, short if len(set(short)) == len(parts) else outputs, strict=True))
    methods = [setting.method for part in parts for setting in part.settings]
    names = labels(methods, short=True)
    in_table = labels(methods, short=True, besides=("spacing",))
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("pipeline.reporting").joinpath("page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        now=now(),
        models=list(dict.fromkeys(public(part.run.config.model) for part in parts)),
        verdict=verdict,
        groups=[_group(group, names, in_table, told if len(parts) > 1 else {}) for group in alike.values()],
        parts=[_part(part, parts[0], names, price_per_hour) for part in parts],
        studies=studies,
        columns=columns(),
        better_low=listed([m.title for m in METRICS.values() if not m.higher_is_better and m.se]),
        marks=charts.MARKS,
        cross=charts.PUBLISHED,
        colors=charts.COLORS,
        not_measured=NOT_MEASURED,
    ).encode()


def _group(
    parts: Sequence[Part], names: Mapping[Method, str], in_table: Mapping[Method, str], told: dict[str, str]
) -> dict[str, Any]:
    """Return the charts and the table of outputs that are measured alike.

    Args:
        parts: the outputs.
        names: labels of their methods.
        in_table: their labels beside a column of spacings.
        told: names of the outputs, if there are others; else empty.

    """
    rows = [row for part in parts for row in part.measured.values()]
    # pairs of one seed are those of one output; between outputs numbers count as independent
    paired = verdict_of(parts[0].measured) if len(parts) == 1 else None
    by_verdict = paired is not None and not paired.reason
    best = (
        {i for i, one in enumerate(paired.standings) if one.within_noise} if by_verdict and paired else best_set(rows)
    )
    lines: list[Line] = []
    legend: dict[str, int] = {}
    by_time: list[Point] = []
    by_calls: list[Point] = []
    by_quality: list[Point] = []
    by_distance: list[Point] = []
    pace: list[Point] = []
    position = 0
    for part in parts:
        output = told.get(part.output, "")
        for setting in part.settings:
            row = part.measured.get(setting)
            label = in_table[setting.method]
            lines.append(line(setting, label, output, row, row is not None and position in best))
            if row is None:
                continue
            position += 1
            name = names[setting.method] + (f", {output}" if output else "")
            series = legend.setdefault(name, len(legend))
            named = f"{name}, S = {setting.steps}"
            seconds = 1 / row["images_per_second"]
            fid, fid_se = row["fid"], row.get("fid_se")
            says = f"{named}: FID {metric_shown('fid', row)}, {setting.nfe:,} calls, {duration(seconds)} an image"
            by_time.append(Point(seconds, fid, series, says, y_se=fid_se))
            by_calls.append(Point(setting.nfe, fid, series, says, y_se=fid_se))
            pace.append(
                Point(setting.nfe, seconds, series, f"{named}: {setting.nfe:,} calls, {duration(seconds)} an image")
            )
            if "consistency" in row:
                far = f"{named}: distance {shown(CONSISTENCY, row)}, 1 is another seed's"
                by_distance.append(Point(setting.nfe, row["consistency"], series, far, y_se=row["consistency_se"]))
            for key, title in PUBLISHED.items():
                if row.get(key):
                    other = f"{named}: {title.strip()} FID {row[key]:.2f}, {setting.nfe:,} calls"
                    by_calls.append(Point(setting.nfe, row[key], series, other, published=True))
            if row.get("precision") is not None and row.get("recall") is not None:
                both = ", ".join(f"{name} {metric_shown(name, row)}" for name in ("precision", "recall"))
                errors = row.get("recall_se"), row.get("precision_se")
                by_quality.append(Point(row["recall"], row["precision"], series, f"{named}: {both}", *errors))
    unbeaten = frontier([p for p in by_time if p.y > 0 and math.isfinite(p.y)], lambda point: (point.x, point.y))
    ticks = tuple(sorted({float(setting.steps) for part in parts for setting in part.settings}))
    fid_axis, calls_axis = Axis("FID", log=True), Axis("network calls an image", log=True, wanted=ticks)
    return {
        "title": ", ".join(part.output for part in parts),
        "lines": ordered(lines),
        "several": len(parts) > 1,
        "any": bool(rows),
        "by_verdict": by_verdict,
        "has_errors": any(row.get("fid_se") is not None for row in rows),
        "devices": sorted({row["device"] for row in rows if row.get("device")}),
        "legend": legend,
        "published": any(point.published for point in by_calls),
        "frontier": [point.name for point in unbeaten],
        "time": charts.draw(by_time, Axis("seconds an image, one worker", log=True), fid_axis, best=unbeaten),
        "calls": charts.draw(by_calls, calls_axis, fid_axis, lines=True),
        "distance": charts.draw(by_distance, calls_axis, Axis("distance, 1: another seed's", log=False), lines=True),
        "pace": charts.draw(pace, calls_axis, Axis("seconds an image", log=True), lines=True),
        "quality": charts.draw(by_quality, Axis("recall", log=False), Axis("precision", log=False)),
    }


def _part(part: Part, first: Part, names: Mapping[Method, str], price_per_hour: float | None) -> dict[str, Any]:
    """Return the pictures, costs, protocol and files of an output."""
    config = part.run.config
    return {
        "output": part.output,
        "preset": config.preset,
        "done": len(part.measured),
        "settings": len(part.settings),
        "num_images": config.num_images,
        "columns": sorted({setting.steps for setting in part.pictures}),
        "pictures": picture_grid(part, names),
        "cost": account.cost(part, price_per_hour),
        "protocol": account.protocol(part),
        "caption": [public(text) for text in part.caption],
        "commands": account.commands(part),
        "links": account.links(part, first.run),
    }
