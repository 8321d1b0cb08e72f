"""Two settings that differ in one field of Method, or in one option of a sampler, are two wherever they are shown."""

import csv
import io
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from types import SimpleNamespace

import nights
import pytest
from figures import curves
from measured_rows import consistency, numbers
from page_charts import charts
from pages import Page, output

from pipeline.diffusion import samplers
from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.diffusion.samplers.heun import Heun
from pipeline.evaluation.difference import Difference
from pipeline.regression import history
from pipeline.regression.compared import Compared
from pipeline.regression.contrast import Contrast
from pipeline.regression.contrast_pages import to_json, to_markdown
from pipeline.regression.gate import Limits, judge
from pipeline.reporting import plots, reconstruction, table, trajectory
from pipeline.reporting.page import to_html
from pipeline.reporting.part import Part
from pipeline.reporting.timing import proportions, to_line
from pipeline.reporting.verdict import to_lines, verdict
from pipeline.sweep.grid import Setting
from pipeline.sweep.measured import largest_of
from pipeline.sweep.method import Method, labels

STEPS = (10, 20)


@dataclass(frozen=True)
class Guided(Method):
    """A method with one field more."""

    guidance: float = 1.0


@dataclass(frozen=True)
class Churned(Heun):
    """A sampler with an option that nobody has."""

    name = "churned"
    title = "Churned"

    churn: float = 0.0


PLAIN = Guided(DDIM(0.0), "linear")
OF_FIELDS = {
    "sampler": replace(PLAIN, sampler=Heun()),
    "spacing": replace(PLAIN, spacing="karras"),
    "clip": replace(PLAIN, clip=True),
    "guidance": replace(PLAIN, guidance=2.5),
}
VALUES = ("off", "zero", "first", "never", "always", "t", "bh1", "common", "3", "2", "1", 3, 2, 1, 0.5)
"""Values of options. Each option takes one of them that is not its default."""


def other_options():
    """(sampler, the same with another value of one option), for each option of each sampler; again beside others."""
    for kind in [*samplers.SAMPLERS.values(), Churned]:
        chosen = {field.name: another(kind, field) for field in fields(kind)}
        for name, value in chosen.items():
            yield kind(), replace(kind(), **{name: value})
            if len(chosen) > 1:
                yield kind(**chosen), replace(kind(**chosen), **{name: getattr(kind(), name)})


def another(kind, field):
    for value in VALUES:
        try:
            sampler = samplers._adapter(kind).validate_python({field.name: value})
        except ValueError:
            continue
        if getattr(sampler, field.name) != field.default:
            return getattr(sampler, field.name)
    raise AssertionError(f"{kind.name} takes no value of VALUES for {field.name}")


PAIRS = [
    pytest.param((Method(one, "linear"), Method(other, "linear")), id=f"{one.name} {one.slug} {other.slug}")
    for one, other in other_options()
]
FIELDS = [pytest.param((PLAIN, other), id=name) for name, other in OF_FIELDS.items()]
PAIRS += FIELDS


def test_each_field_and_an_invented_one_is_taken():
    assert [*OF_FIELDS] == [field.name for field in fields(Guided)]
    assert len(PAIRS) > 4 + len(samplers.SAMPLERS)


@pytest.fixture(params=PAIRS)
def rows(request):
    """Setting → row, of two methods at two S; the calls are the same."""
    grid = [Setting(method, s, s) for method in request.param for s in STEPS]
    return {
        setting: setting.describe()
        | numbers(i)
        | consistency(i)
        | {"jackknife": {"fid": [numbers(i)["fid"] + 0.01 * k * (i + 1) for k in range(10)]}}
        for i, setting in enumerate(grid)
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return output(tmp_path_factory.mktemp("methods") / "out", measured=0)


def two(found):
    """Whether it is of two that differ."""
    return len(found) == len({*found}) == 2


def test_tables(rows):
    """A table of each spacing has it in its title."""
    cells = [f"{row['fid']:.{3 if row['fid'] < 1 else 2}f}" for row in rows.values()]
    for shown in (table.to_text(rows), table.to_markdown(rows, "").strip(), table.to_latex(rows, "")):
        found = []
        title = ""
        for line in shown.splitlines():
            if "FID" in line:
                title = line
            if any(cell in line for cell in cells):
                sign = "&" if "&" in line else "|" if "|" in line else "  "
                found.append((title, line.strip("| ").partition(sign)[0].strip()))
        assert two(found), shown


def test_csv(rows):
    written = [*csv.DictReader(io.StringIO(table.to_csv(rows)))]
    measured = {*numbers(0), *consistency(0)}
    described = [{k: v for k, v in line.items() if k not in measured} for line in written]
    assert described[0]["steps"] == described[2]["steps"] == "10"
    assert described[0] != described[2]


@pytest.mark.parametrize("rows", FIELDS, indirect=True)  # what differs in options has another label too
def test_figures(kept, rows):
    plots.fid_vs_calls(rows)
    lines = curves(kept.axes)
    assert two([*lines])
    points = [(setting.nfe, row["fid"]) for setting, row in rows.items()]
    assert [*lines.values()] == [points[:2], points[2:]]
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in kept.axes.lines}
    assert len(looks) == 2


@pytest.mark.parametrize("rows", FIELDS, indirect=True)
def test_page(run, rows):
    shown = replace(run)
    shown.__dict__["settings"] = [*rows]
    html = to_html([Part(shown, rows, [], {})], verdict=[]).decode()
    for chart in charts(html)["FID against network calls an image"]:
        assert two([*chart.legend])
        assert len(chart.marks) == 4
    lines = [(line[0], line[1]) for line in Page(html).settings() if line[2] == "10"]
    assert two(lines)


def test_verdict_and_the_line_on_time(rows):
    methods = dict.fromkeys(setting.method for setting in rows)
    names = labels(methods)
    found = verdict(rows)
    assert two([*names.values()])
    assert {*found.first_within} == {*methods}
    last = to_lines(found, names)[-2]
    assert all(name in last for name in names.values())
    assert len(proportions(rows)) == 2
    assert any(f"({name})" in to_line(proportions(rows), names)[0] for name in names.values())


def test_consistency(rows):
    """Each has its own largest S."""
    first, first_largest, second, second_largest = rows
    assert largest_of([*rows]) == {first: first_largest, second: second_largest}
    assert two([first.slug, second.slug])


def test_compare(rows):
    metric = Compared(1.0, 1.5, Difference(0.5, 0.1, 19))
    contrasts = [Contrast({"fid": metric}, (one, one), False, (1.0, 1.0), ("a", "a"), ("2", "2")) for one in rows]
    side = SimpleNamespace(text="a", run=SimpleNamespace(config=SimpleNamespace(seed=0, num_images=40)))
    beside = SimpleNamespace(baseline=side, other=side, paired=True, contrasts=contrasts, differing={})
    names = [tuple(one["settings"]) for one in to_json([beside])["outputs"][0]["settings"]]
    assert len({*names}) == 4
    assert all(f"| {name} |" in to_markdown([beside]) for name, _ in names)


def test_history(rows):
    at_ten = [setting for setting in rows if setting.steps == 10]
    night = [replace(nights.comparison(0), setting=setting) for setting in at_ten]
    written = history.rows(judge(night, Limits(0.02, 0.1)), "n1", datetime.now(UTC), "2", "m")
    assert two([row["setting"] for row in written])


def test_studies(monkeypatch, rows):
    errors = {setting: row | {"mse": 0.1, "mse_se": 0.01, "x_T_std": 0.9} for setting, row in rows.items()}
    found = [line.partition(" 10 ")[0] for line in reconstruction.to_text(errors).splitlines() if " 10  " in line]
    assert two(found)
    monkeypatch.setattr(trajectory, "strip", lambda *_: {})
    walk = [{"seed": 0, "calls": 1, "x_t": 0, "pred_x0": 0}]
    said = trajectory.publish(SimpleNamespace(out="out"), dict.fromkeys(rows, walk))
    assert len({*said.splitlines()}) == 4 + 1
