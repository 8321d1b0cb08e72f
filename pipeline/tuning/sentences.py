"""An answer in words: its first lines for a terminal, the table of several budgets, and how numbers are written."""

import shlex
from collections.abc import Mapping, Sequence

from pipeline.diffusion.spacing import parse_spacing
from pipeline.evaluation.difference import Difference
from pipeline.evaluation.metrics import METRICS, beside_fid
from pipeline.evaluation.metrics.base import Metric
from pipeline.evaluation.metrics.fid import FID
from pipeline.sweep.grid import Setting
from pipeline.sweep.method import Method, labels
from pipeline.text_table import text_table
from pipeline.tuning.answer import Answer
from pipeline.tuning.proof import Metrics, bias_free

Names = Mapping[Method, str]
"""Method → what readers call it, without its spacing."""


def names_of(answers: Sequence[Answer]) -> Names:
    """Return what readers call the methods of all proven settings, without their spacings."""
    methods = (one.setting.method for answer in answers for one in answer.proven)
    return labels(methods, besides=("spacing",))


def is_listed(setting: Setting) -> bool:
    """Return whether a setting's spacing lists its times."""
    return parse_spacing(setting.spacing) is not None


def named(setting: Setting, names: Names) -> str:
    """Return a setting's sampler and times: "UniPC-2 on times 0, 39, 95" or "UniPC-2, time-quadratic"."""
    times = setting.spacing.replace(",", ", ")
    return f"{names[setting.method]} on times {times}" if is_listed(setting) else f"{names[setting.method]}, {times}"


def other_metrics(measured: Metrics) -> list[Metric]:
    """Return the metrics of a setting that stand beside FID and decide nothing."""
    return [metric for metric in beside_fid() if metric.name in measured]


def metric_text(name: str, measured: Metrics) -> str:
    """Return a metric with its error; FID without its bias."""
    metric, one = METRICS[name], measured[name]
    row = metric.row(one)
    return metric.shown(row | {metric.key: bias_free(one)} if name == FID.name else row)


def fid_text(measured: Metrics) -> str:
    """Return FID without its bias and without its error."""
    return metric_text(FID.name, measured).partition(" ")[0]


def difference_text(metric: Metric, difference: Difference, level: float) -> str:
    """Return a difference with its interval of confidence 1 - level: "−0.114 (−0.148 to −0.080)".

    All have the decimals of the metric at the difference, so that they can be set beside its values.
    """
    decimals, interval = metric.decimals(difference.value), difference.interval(level)
    text, *ends = (f"{number:+.{decimals}f}".replace("-", "−") for number in (difference.value, *(interval or ())))
    return f"{text} ({' to '.join(ends)})" if ends else text


def p_text(p_value: float) -> str:
    """Return "p < 0.001", or "p = " and two digits."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def percent_text(share: Difference) -> str:
    """Return a share with its error: "80 % ± 9 %"."""
    error = "" if share.se is None else f" ± {share.se:.0%}"
    return f"{share.value:.0%}{error}".replace("%", " %").replace("-", "−")


def two_digits(number: int) -> int:
    """Return a whole number, rounded to two digits that are not 0, for one of which no more is known."""
    return round(number, 2 - len(f"{number}")) if number > 99 else number


def block(answer: Answer, names: Names, config: str) -> str:
    """Return the answer for one budget, in lines.

    Args:
        answer: the answer.
        names: see `names_of`.
        config: where the file is that jobs/sweep.py takes, if a finalist wins.

    """
    if answer.proof.best is None:
        return "\n".join([*_of_none(answer, names), _cost(answer), _usage(answer.proof.best_default)])
    lines = [_of_winner(answer, names), _cost(answer), f"{_usage(answer.lead.setting)}, or --config {config}"]
    return "\n".join([*lines, _gap(answer, names)])


def _of_winner(answer: Answer, names: Names) -> str:
    lead, best = answer.lead, answer.proof.best_default
    text = difference_text(FID(), answer.difference, lead.level)
    hardest = "" if lead.hardest == best else f" beside {named(lead.hardest, names)}, the hardest to tell it from"
    return (
        f"{named(lead.setting, names)}: {_fid_of(lead.measured)} at {lead.setting.nfe} calls on {answer.num_images:,} "
        f"fresh seeds; the best default ({named(best, names)}) {fid_text(answer.proof.defaults[best])}; "
        f"Δ {text}, {p_text(lead.p_value)}{hardest}"
    )


def _of_none(answer: Answer, names: Names) -> list[str]:
    proof, lead = answer.proof, answer.lead
    best = proof.best_default
    if proof.images_needed is not None:
        settles = f"about {two_digits(proof.images_needed):,} images a setting would settle it"
    else:
        settles = f"no number of images is known that would settle it: {proof.unsettled}"
    return [
        f"Nothing that was searched beats the best default at {answer.calls} calls beyond noise: {named(best, names)}, "
        f"{_fid_of(proof.defaults[best])} on {answer.num_images:,} fresh seeds",
        f"the closest is {named(lead.setting, names)}: FID {metric_text(FID.name, lead.measured)}, "
        f"Δ {difference_text(FID(), answer.difference, lead.level)}, {p_text(lead.p_value)}; {settles}",
    ]


def _fid_of(measured: Metrics) -> str:
    return f"{FID.title} {metric_text(FID.name, measured)}"


def _cost(answer: Answer) -> str:
    cost, repaid = answer.cost, answer.repaid
    paid = f"the search took {cost.search:,} network calls × images and the proof {cost.proof:,}"
    beside = "beside the best default of the same quality"
    if answer.proof.best is None:
        return f"{paid}, not repaid: nothing was won"
    if repaid.images is not None:
        return f"{paid}, repaid after {repaid.images:,} images {beside} ({repaid.calls} calls)"
    if repaid.calls is not None:
        return f"{paid}, not repaid: it saves no calls {beside} ({repaid.calls} calls)"
    if not repaid.ladder:
        return f"{paid}; when they are repaid is not known: no default of more calls was drawn"
    most = repaid.ladder[-1]
    images = -(-cost.total // (most + 1 - answer.lead.setting.nfe))
    return f"{paid}, repaid after {images:,} images at most: up to {most} calls no best default is as good"


def _usage(setting: Setting) -> str:
    steps = "" if is_listed(setting) else f" --steps {setting.steps}"
    return f"to use it: --sampler {shlex.quote(sampler_text(setting))} --spacing {setting.spacing}{steps}"


def sampler_text(setting: Setting) -> str:
    """Return a setting's sampler as a user types it, such as "unipc:order=3"."""
    chosen = ",".join(f"{name}={value}" for name, value in setting.sampler.chosen.items())
    return f"{setting.sampler.name}:{chosen}" if chosen else setting.sampler.name


def _gap(answer: Answer, names: Names) -> str:
    teacher = f"the teacher ({named(answer.teacher, names)}, {answer.teacher.nfe} calls: {fid_text(answer.of_teacher)})"
    if (share := answer.gap_closed) is None:
        return f"the best default is within noise of {teacher}, so there is no gap to close"
    return f"it closes {percent_text(share)} of the gap from the best default to {teacher}"


def verdict(answer: Answer) -> str:
    """Return in a word or two how the lead stands beside the defaults."""
    if answer.proof.best is not None:
        return "better"
    interval = answer.difference.interval(answer.lead.level)
    return "worse" if interval is not None and interval[0] > 0 else "within noise"


def table(answers: Sequence[Answer]) -> str:
    """Return a table with a line a budget: the best default, the lead, and how they differ."""
    others = other_metrics(answers[0].of_teacher)
    head = ["calls", f"{FID.title} of best default", "of tuned", f"Δ{FID.title}", "p", ""]
    lines = [[*head, *(f"Δ{metric.title}" for metric in others), "gap closed"]]
    for answer in answers:
        lead, best = answer.lead, answer.proof.best_default
        share = answer.gap_closed
        lines.append(
            [
                f"{answer.calls}",
                metric_text(FID.name, answer.proof.defaults[best]),
                metric_text(FID.name, lead.measured),
                difference_text(FID(), answer.difference, lead.level),
                p_text(lead.p_value).removeprefix("p ").removeprefix("= "),
                verdict(answer),
                *(difference_text(metric, lead.against[best][metric.name], lead.level) for metric in others),
                "–" if share is None else percent_text(share),
            ]
        )
    return text_table(lines, left=(5,), head=1)


def notes(answers: Sequence[Answer]) -> str:
    """Return what the numbers are, in a line each."""
    answer = answers[0]
    others = ", ".join(metric.title for metric in other_metrics(answer.of_teacher))
    finalists, defaults = (
        sorted({len(count) for count in counts})
        for counts in ([one.proof.finalists for one in answers], [one.proof.defaults for one in answers])
    )
    as_measured = f"; {others}: as measured" if others else ""
    percent = f"{1 - answer.proof.alpha:.0%}".replace("%", " %")
    lines = [
        f"FID is without its bias by few images (fid_inf in table.csv), ± one standard error{as_measured}.",
        "Δ is a searched setting's minus the best default's, in pairs of the same fresh seeds, unknown to the search.",
        f"p is the largest beside the defaults ({_span(defaults)}), for FID. Intervals and verdicts hold for all "
        f"finalists of a budget together ({_span(finalists)}, by Holm), at {percent}.",
    ]
    return "\n".join(lines)


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"
