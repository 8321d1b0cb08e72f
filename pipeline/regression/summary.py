"""A night as text: the headline, the Markdown summary, and JUnit XML with one case per setting."""

from dataclasses import dataclass, field
from xml.etree import ElementTree

from pipeline.evaluation.metrics import beside_fid
from pipeline.evaluation.metrics.base import Metric, listed
from pipeline.regression.compared import ALPHA
from pipeline.regression.comparison import Comparison, Speed
from pipeline.regression.gate import Verdict, first_difference

_MARKS = {
    "same": "identical",
    "noise": "within noise",
    "small": "within tolerance",
    "worse": "**worse**",
    "unknown": "too few images",
}


@dataclass(frozen=True)
class Night:
    """The content of a night's pages."""

    name: str
    baseline: str
    """URL and date of the baseline."""
    changed: list[str]
    """Lines on what differs from when the baseline was written: model, device, releases."""
    verdicts: list[Verdict]
    seconds: float
    """Wall-clock seconds of the whole check."""
    notes: list[str] = field(default_factory=list)
    """Lines on the run's model and grid, see `Run.notes`."""

    @property
    def failed(self) -> list[Verdict]:
        """The verdicts that are regressions."""
        return [verdict for verdict in self.verdicts if verdict.failed]


def headline(night: Night) -> str:
    """Return the answer in one line."""
    total = len(night.verdicts)
    worse = sum(verdict.quality == "worse" for verdict in night.verdicts)
    slower = sum(verdict.speed == "slower" for verdict in night.verdicts)
    better = sum(verdict.quality == "better" for verdict in night.verdicts)
    unknown = sum(verdict.quality == "unknown" for verdict in night.verdicts)
    gains = f"; quality better in {better}" if better else ""
    gains += f"; quality unknown in {unknown}, of too few images" if unknown else ""
    if night.failed:
        return f"REGRESSION: quality worse in {worse}, speed in {slower} of {total} settings{gains}"
    compared = any(verdict.speed != "not compared" for verdict in night.verdicts)
    speed = "" if compared else "; speed not compared, the device is another one or the baseline was not timed"
    return f"clean: no regression in {total} settings{gains}{speed}"


def differences(night: Night) -> list[str]:
    """Return lines on differing conditions and pixels, which need no statistics."""
    comparisons = [verdict.comparison for verdict in night.verdicts]
    first = first_difference(comparisons)
    if first is None:
        return [*night.changed, "every image has the baseline's pixels"]
    images = sum(len(comparison.differing) for comparison in comparisons)
    total = sum(comparison.row["num_images"] for comparison in comparisons)
    count = f"{images:,} of {total:,} images have other pixels, the first is seed {first[1]} of {first[0]}"
    unexpected = "" if night.changed else "; same model, device and releases: they were expected to be equal"
    return [*night.changed, count + unexpected]


def reason(verdict: Verdict) -> str:
    """Return why a setting failed; empty if it did not."""
    comparison = verdict.comparison
    before, tonight = comparison.speeds
    parts = []
    if verdict.quality == "worse" and comparison.fid.interval:
        low, high = comparison.fid.interval
        parts.append(
            f"FID {comparison.row['fid']:.4g}, the baseline's {comparison.fid.baseline:.4g}; difference "
            f"{comparison.fid.difference.value:+.3g} in [{low:+.3g}, {high:+.3g}], {comparison.change:+.1%} of the "
            f"baseline's, tolerance {verdict.limits.fid:.1%}"
        )
    if verdict.speed == "slower" and before.network_share and tonight.network_share:
        change = tonight.network_share / before.network_share - 1
        parts.append(
            f"network calls take {tonight.network_share:.1%} of the drawing, {change:+.0%} of the baseline's "
            f"{before.network_share:.1%}, tolerance {verdict.limits.speed:.0%}"
        )
    return "; ".join(parts)


def to_markdown(night: Night) -> str:
    """Return the summary for a CI job's page or a chat message."""
    others = [f"Δ{metric.title}" for metric in beside_fid()]
    lines = [f"### {headline(night)}", ""]
    lines += [f"Night {night.name} against {night.baseline}.", ""]
    lines += [f"- {text}" for text in [*night.notes, *differences(night)]]
    lines += [f"- {verdict.comparison.setting.slug}: {reason(verdict)}" for verdict in night.failed]
    lines += [
        "",
        "| setting | FID, baseline | FID, tonight | ΔFID | interval | quality "
        f"| {' | '.join(others)} | images/s | network | speed |",
        f"|:--|--:|--:|--:|:-:|:--|{'--:|' * len(others)}--:|--:|:--|",
    ]
    for verdict in night.verdicts:
        comparison = verdict.comparison
        before, tonight = comparison.speeds
        quality = _MARKS.get(verdict.quality, verdict.quality)
        speed = "**slower**" if verdict.speed == "slower" else verdict.speed
        lines.append(
            f"| {comparison.setting.slug} | {comparison.fid.baseline:.3f} | {comparison.row['fid']:.3f} "
            f"| {comparison.change:+.1%} | {_interval_of_fid(comparison)} | {quality} "
            f"| {' | '.join(_with_interval(metric, comparison) for metric in beside_fid())} "
            f"| {before.images_per_second:,.0f} → {tonight.images_per_second:,.0f} "
            f"| {_share(before)} → {_share(tonight)} | {speed} |"
        )
    limits = night.verdicts[0].limits
    lines += [
        "",
        "ΔFID is relative to the baseline's, and without the excess that few images give; its interval, in FID, has "
        f"Holm's correction: a night without any change has a setting beyond noise with a chance of {ALPHA:.0%} at "
        f"most, half of it to the worse. Worse is beyond noise and by more than {limits.fid:.1%}. Network is the "
        "calls' share of the drawing, which other work on the machine hardly moves; slower is a loss of it by more "
        f"than {limits.speed:.0%}. {listed(others)}: {100 - 100 * ALPHA:.0f} %, uncorrected.",
    ]
    return "\n".join(lines) + "\n"


def to_junit(night: Night) -> bytes:
    """Return JUnit XML: one suite with a case per setting, and a failure for each that fails the gate."""
    suite = ElementTree.Element(
        "testsuite",
        name="nightly",
        tests=str(len(night.verdicts)),
        failures=str(len(night.failed)),
        errors="0",
        skipped="0",
        time=f"{night.seconds:.1f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in {"night": night.name, "baseline": night.baseline}.items():
        ElementTree.SubElement(properties, "property", name=name, value=value)
    for verdict in night.verdicts:
        row, slug = verdict.comparison.row, verdict.comparison.setting.slug
        case = ElementTree.SubElement(suite, "testcase", classname="nightly", name=slug, time=f"{row['seconds']:.3f}")
        if verdict.failed:
            kind = "quality" if verdict.quality == "worse" else "speed"
            ElementTree.SubElement(case, "failure", message=reason(verdict), type=kind).text = reason(verdict)
    ElementTree.SubElement(suite, "system-out").text = "\n".join([headline(night), *differences(night)])
    return _document(suite)


def incomplete_markdown(name: str, error: str) -> str:
    """Return the summary of a night that has no answer."""
    return f"### INCOMPLETE: the run of night {name} did not finish\n\n```\n{error}\n```\n"


def incomplete_junit(slugs: list[str], error: str) -> bytes:
    """Return JUnit XML in which every setting is an error, since none was compared."""
    count = str(len(slugs))
    suite = ElementTree.Element(
        "testsuite", name="nightly", tests=count, failures="0", errors=count, skipped="0", time="0"
    )
    for slug in slugs:
        case = ElementTree.SubElement(suite, "testcase", classname="nightly", name=slug, time="0")
        ElementTree.SubElement(case, "error", message="the run did not finish", type="incomplete").text = error
    return _document(suite)


def _document(suite: ElementTree.Element) -> bytes:
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    text: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _interval_of_fid(comparison: Comparison) -> str:
    interval = comparison.fid.interval
    return "–" if interval is None else f"{interval[0]:+.3f} … {interval[1]:+.3f}"


def _with_interval(metric: Metric, comparison: Comparison) -> str:
    compared = comparison.metrics.get(metric.name)
    if compared is None:
        return "–"
    interval = "–" if compared.interval is None else " … ".join(map(metric.shown_difference, compared.interval))
    return f"{metric.shown_difference(compared.difference.value)} ({interval})"


def _share(speed: Speed) -> str:
    return "?" if speed.network_share is None else f"{speed.network_share:.1%}"
