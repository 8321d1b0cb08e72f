"""The report of a tuning: metrics.json, tables, figures, and for each budget a file that jobs/sweep.py takes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.evaluation.difference import Difference
from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.metrics.fid import FID, UnbiasedFID
from pipeline.evaluation.uncertainty import Measured
from pipeline.images.pixels import Pixels
from pipeline.sweep import layout
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import Row, Setting
from pipeline.sweep.study import Study, StudyConfig
from pipeline.text_table import csv_table
from pipeline.tuning import figures
from pipeline.tuning.answer import Answer, Proven
from pipeline.tuning.proof import Finalist, Metrics, bias_free
from pipeline.tuning.sentences import (
    Names,
    block,
    difference_text,
    metric_text,
    names_of,
    notes,
    other_metrics,
    p_text,
    sampler_text,
    table,
)


def publish(study: Study, answers: Sequence[Answer], pictures: Mapping[Setting, Pixels]) -> str:
    """Write metrics.json and report/ of a finished tuning, and return the text for the terminal.

    Args:
        study: the study.
        answers: one for each budget, at least one, by calls.
        pictures: setting → images of the first fresh seeds, uint8, (N, H, W, C): of each budget's best default and
            lead, and of the teacher.

    """
    write, names, numbers = study.storage.write, names_of(answers), rows(answers)
    schedule = study.model.schedule()
    write(layout.METRICS, (json.dumps(numbers, indent=2) + "\n").encode())
    write(f"{layout.REPORT}/table.md", to_markdown(answers, names).encode())
    write(f"{layout.REPORT}/table.csv", _csv(answers, numbers).encode())
    drawn = {
        "fid_vs_calls": figures.fid_vs_calls(answers, names),
        "same_seeds": figures.same_seeds(answers, names, pictures),
        "times": figures.times(answers, names, schedule),
    }
    for name, formats in drawn.items():
        for kind, data in formats.items():
            write(f"{layout.REPORT}/{name}.{kind}", data)
    for answer in answers:
        if answer.proof.best is not None:
            content = {"config": config_of(study.config, answer).model_dump(mode="json")}
            write(_config_file(answer), (json.dumps(content, indent=2) + "\n").encode())
    out = study.out.rstrip("/")
    blocks = [block(answer, names, f"{out}/{_config_file(answer)}") for answer in answers]
    several = [table(answers)] if len(answers) > 1 else []
    files = f"Files: {out}/{layout.METRICS}, {out}/{layout.REPORT}/"
    return "\n\n".join([*blocks, *several, f"{notes(answers)}\n{files}"])


def _config_file(answer: Answer) -> str:
    return f"{layout.REPORT}/tuned-S{answer.calls}.json"


def config_of(config: StudyConfig, answer: Answer) -> SweepConfig:
    """Return the config of a sweep that draws what won on the very seeds of the proof, and measures it as the study."""
    same = {
        name: value
        for name, value in config.model_dump().items()
        if name in SweepConfig.model_fields and value is not None
    }
    setting = answer.lead.setting
    own = {
        "out": f"runs/tuned-S{answer.calls}",
        "sampler": (sampler_text(setting),),
        "spacing": (setting.spacing,),
        "steps": (setting.steps,),
        "eta": None,
        "num_images": answer.num_images,
    }
    return SweepConfig.model_validate(same | own)


def rows(answers: Sequence[Answer]) -> list[Row]:
    """Return the content of metrics.json: for each budget a row of its own, and then one for each proven setting."""
    return [row for answer in answers for row in [_of_budget(answer), *(_row(answer, one) for one in answer.proven)]]


def _of_budget(answer: Answer) -> Row:
    proof, gap = answer.proof, answer.gap_closed
    return {
        "role": "budget",
        "budget": answer.calls,
        "num_images": answer.num_images,
        "tuned": None if proof.best is None else proof.best.setting.slug,
        "closest": None if proof.closest is None else proof.closest.setting.slug,
        "best_default": proof.best_default.slug,
        "alpha": proof.alpha,
        "images_needed": proof.images_needed,
        "gap_closed": None if gap is None else {"value": gap.value, "se": gap.se},
        "search": answer.cost.search,
        "proof": answer.cost.proof,
        "repaid": answer.repaid.images,
        "repaid_calls": answer.repaid.calls,
        "ladder": [*answer.repaid.ladder],
    }


def _row(answer: Answer, one: Proven) -> Row:
    row: Row = {
        "role": one.role,
        "budget": answer.calls,
        **one.setting.describe(),
        "num_images": answer.num_images,
        **_metrics(one.measured),
    }
    if one.finalist is None:
        return row
    return row | {
        "title": answer.titles[one.setting],
        "p_value": one.finalist.p_value,
        "level": one.finalist.level,
        "wins": one.finalist.wins,
        "hardest": one.finalist.hardest.slug,
        "against": {
            default.slug: {name: _difference(one.finalist, difference) for name, difference in of_default.items()}
            for default, of_default in one.finalist.against.items()
        },
    }


def _metrics(measured: Metrics) -> Row:
    """Return the metrics in their keys of metrics.json, in the order of `METRICS`."""
    both = {**measured, UnbiasedFID.name: Measured(bias_free(measured[FID.name]))}
    return {
        key: value for name, metric in METRICS.items() if name in both for key, value in metric.row(both[name]).items()
    }


def _difference(finalist: Finalist, difference: Difference) -> dict[str, Any]:
    interval = difference.interval(finalist.level)
    return {
        "difference": difference.value,
        "se": difference.se,
        "interval": None if interval is None else [*interval],
        "p_value": difference.p_value,
    }


def to_markdown(answers: Sequence[Answer], names: Names) -> str:
    """Return a table of all proven settings for each budget, as GitHub's Markdown."""
    parts = []
    for answer in answers:
        others = other_metrics(answer.of_teacher)
        head = ["", "sampler", "times", "calls", FID.title, f"Δ{FID.title}", "p", "wins"]
        head += [*(metric.title for metric in others), "grid"]
        lines = [head, [":--", ":--", ":--", *["--:"] * 4, ":--", *["--:"] * len(others), ":--"]]
        for one in answer.proven:
            cells = [one.role, names[one.setting.method], one.setting.spacing.replace(",", ", "), f"{one.setting.nfe}"]
            cells += [metric_text(FID.name, one.measured), *_beside(answer, one.finalist)]
            cells += [metric_text(metric.name, one.measured) for metric in others]
            lines.append([*cells, answer.titles.get(one.setting, "") if one.finalist else "default"])
        table_lines = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"{answer.calls} calls, {answer.num_images:,} fresh seeds a setting\n\n{table_lines}")
    return "\n\n".join([*parts, notes(answers)]) + "\n"


def _beside(answer: Answer, finalist: Finalist | None) -> list[str]:
    """Return the cells of a finalist beside the best default: the difference, p, and whether it wins."""
    if finalist is None:
        return ["", "", ""]
    difference = finalist.against[answer.proof.best_default][FID.name]
    p_value = p_text(finalist.p_value).removeprefix("p ").removeprefix("= ")
    return [difference_text(FID(), difference, finalist.level), p_value, "yes" if finalist.wins else "no"]


def _csv(answers: Sequence[Answer], numbers: Sequence[Row]) -> str:
    """Return CSV with a line for each proven setting; FID's difference is to the best default of its budget."""
    best = {answer.calls: answer.proof.best_default.slug for answer in answers}
    lines = []
    for row in numbers:
        if row["role"] != "budget":
            line = {name: value for name, value in row.items() if name != "against"}
            if "against" in row:
                beside = row["against"][best[row["budget"]]][FID.name]
                low, high = beside["interval"] or (None, None)
                line |= {"difference": beside["difference"], "se": beside["se"], "low": low, "high": high}
            lines.append(line)
    return csv_table(lines)
