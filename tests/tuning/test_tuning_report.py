"""The files of a tuning's report, read back: numbers, tables, the config of a sweep, and what the page shows."""

import base64
import csv
import io
import json
from types import SimpleNamespace

import pytest
from figures import unsaved
from pages import Page, output
from schedules import SCHEDULE
from tuned_answers import SEARCHED, TIMES, answer, none_wins, pictures, setting, winner, worse

from pipeline.reporting.page import to_html
from pipeline.reporting.part import Part
from pipeline.reporting.studies import read_study
from pipeline.storage.store import Storage
from pipeline.sweep.config import make_config
from pipeline.sweep.grid import settings
from pipeline.sweep.study import StudyConfig
from pipeline.tuning.report import publish, rows

ROLES = ["tuned", "finalist", "default", "default", "ladder", "ladder", "teacher"]
TUNED, UNIPC_3 = setting("unipc", TIMES), setting("unipc:order=3", SEARCHED[0][1])
BEST, OTHER = setting("unipc", "time-quadratic"), setting("dpmpp_2m", "time-quadratic")


class Config(StudyConfig):
    """A tuning's, of which it has what a sweep has too, and more."""

    kind = "tuning"
    folder = "tuning"

    calls: tuple[int, ...] = (5,)
    extractor: str = "digits-classifier"
    extractor_weights: str | None = None
    reference: str = "digits"

    @property
    def settings(self):
        return {}


@pytest.fixture
def study(tmp_path):
    config = Config(out=str(tmp_path), seed=7, batch_size=125, dtype="bfloat16", reference="photos")
    model = SimpleNamespace(schedule=lambda: SCHEDULE)
    return SimpleNamespace(storage=Storage(str(tmp_path)), out=f"{tmp_path}/", model=model, config=config)


@pytest.fixture
def quick(monkeypatch):
    unsaved(monkeypatch)


def published(study, *answers):
    return publish(study, answers, pictures(*answers))


def test_metrics_have_every_proven_setting_at_full_precision(study, quick):
    one = winner()
    published(study, one)
    saved = json.loads(study.storage.read("metrics.json"))
    assert saved == rows([one]), "verify compares them"
    budget, *of_settings = saved
    assert [row["role"] for row in saved] == ["budget", *ROLES]
    assert {row["budget"] for row in saved} == {5}
    assert budget | {"gap_closed": None} == {
        "role": "budget",
        "budget": 5,
        "num_images": 10_000,
        "tuned": TUNED.slug,
        "closest": UNIPC_3.slug,
        "best_default": BEST.slug,
        "alpha": 0.05,
        "images_needed": None,
        "gap_closed": None,
        "search": 1_234_000,
        "proof": 765_000,
        "repaid": 666_334,
        "repaid_calls": 8,
        "ladder": [6, 8],
    }
    assert budget["gap_closed"]["value"] == pytest.approx(0.114 / 0.143)
    tuned, finalist, *others = of_settings
    assert TUNED.describe().items() <= tuned.items()
    assert [tuned[key] for key in ("fid", "fid_bias", "fid_inf")] == pytest.approx([0.158, 0.027, 0.131])
    assert tuned["fid_se"] == pytest.approx((0.008**2 + 0.009**2) ** 0.5)
    assert (tuned["is_mean"], tuned["kid_mean"]) == (9.5 - 0.37, 0.0123 + 0.0041)
    assert (tuned["title"], finalist["title"]) == ("grid 1, refined by pixels", "grid 0, refined by pixels")
    # by Holm the smaller of two is tested at half of 5 %, the other at 5 %
    assert [(row["wins"], row["level"]) for row in (tuned, finalist)] == [(True, 0.025), (False, 0.05)]
    assert [row["hardest"] for row in (tuned, finalist)] == [BEST.slug] * 2
    assert finalist["p_value"] == 1.0
    assert tuned["p_value"] == tuned["against"][BEST.slug]["fid"]["p_value"] < 1e-12
    against = {slug: of_default["fid"]["difference"] for slug, of_default in tuned["against"].items()}
    assert against == {BEST.slug: pytest.approx(-0.114), OTHER.slug: pytest.approx(-0.233)}
    beside = tuned["against"][BEST.slug]["fid"]
    assert beside["interval"] == pytest.approx([-0.114 - 2.24140 * 0.015, -0.114 + 2.24140 * 0.015], abs=1e-6)
    assert not any({"against", "p_value", "title"} & row.keys() for row in others)
    assert [row["nfe"] for row in others] == [5, 5, 6, 8, 50]


def test_metrics_that_lack_are_no_keys(study, quick):
    """Of an extractor without logits, and a reference without features."""
    one = winner()
    for measured in [*[f.measured for f in one.proof.finalists], *one.proof.defaults.values(), one.of_teacher]:
        del measured["is"], measured["kid"]
    for measured in one.ladder.values():
        del measured["is"], measured["kid"]
    published(study, one)
    assert not any("is_mean" in row or "kid_mean" in row for row in json.loads(study.storage.read("metrics.json")))
    head = next(line for line in study.storage.read("report/table.md").decode().splitlines() if "sampler" in line)
    assert "IS" not in head
    assert "KID" not in head


CELLS = [
    ["tuned", "UniPC-2", "0, 39, 95, 313, 452, 774", "5", "0.131 ± 0.012", "−0.114 (−0.148 to −0.080)", "< 0.001"],
    ["finalist", "UniPC-3", "0, 17, 71.5, 307, 540, 812", "5", "3.23 ± 0.05", "+2.99 (+2.88 to +3.09)", "1"],
    ["default", "UniPC-2", "time-quadratic", "5", "0.245 ± 0.014", "", ""],
    ["default", "DPM-Solver++ 2M", "time-quadratic", "5", "0.364 ± 0.022", "", ""],
    ["ladder", "UniPC-2", "time-quadratic", "6", "0.190 ± 0.012", "", ""],
    ["ladder", "UniPC-2", "time-quadratic", "8", "0.121 ± 0.012", "", ""],
    ["teacher", "UniPC-2", "time-quadratic", "50", "0.102 ± 0.010", "", ""],
]
MORE = [
    ["yes", "9.13 ± 0.03", "0.0164 ± 0.0080", "grid 1, refined by pixels"],
    ["no", "9.50 ± 0.03", "0.0123 ± 0.0080", "grid 0, refined by pixels"],
]


def test_cells_of_the_table_are_the_numbers(study, quick):
    published(study, winner(), none_wins())
    text = study.storage.read("report/table.md").decode()
    first, second = (part.partition("\n\n")[2] for part in text.split(" fresh seeds a setting")[1:])
    lines = [[cell.strip() for cell in line[1:-1].split("|")] for line in first.splitlines() if line.startswith("|")]
    assert lines[0] == ["", "sampler", "times", "calls", "FID", "ΔFID", "p", "wins", "IS", "KID", "grid"]
    assert [line[:7] for line in lines[2:]] == CELLS
    assert [line[7:] for line in lines[2:4]] == MORE
    assert [line[-1] for line in lines[4:]] == ["default"] * 5
    assert "| finalist | UniPC-2 | 0, 10, 39, 95, 200, 313, 452, 600, 900 | 8 | 0.108 ± 0.012 | −0.011 " in second
    assert "fid_inf in table.csv" in text


def test_tables_have_the_difference_to_the_best_default_also_where_another_is_harder_to_tell_from(study, quick):
    """As the sentences; p is that of the hardest."""
    one = winner(defaults=[("dpmpp_2m", "time-quadratic", 0.265, 0.055), ("unipc", "time-quadratic", 0.245, 0.012)])
    assert one.lead.hardest == OTHER
    published(study, one)
    assert "| −0.114 (−0.148 to −0.080) | 0.016 | yes |" in study.storage.read("report/table.md").decode()
    tuned, *_ = csv.DictReader(io.StringIO(study.storage.read("report/table.csv").decode()))
    assert (float(tuned["difference"]), tuned["hardest"]) == (pytest.approx(-0.114), OTHER.slug)


def test_csv_has_a_line_a_setting_with_the_difference_to_the_best_default(study, quick):
    published(study, winner(), worse())
    lines = [*csv.DictReader(io.StringIO(study.storage.read("report/table.csv").decode()))]
    assert [line["role"] for line in lines] == [*ROLES, "finalist", "default", "teacher"]
    assert [line["budget"] for line in lines] == ["5"] * 7 + ["3"] * 3
    differences = {line["spacing"]: line["difference"] for line in lines if line["difference"]}
    assert {spacing: float(value) for spacing, value in differences.items()} == {
        TIMES: pytest.approx(-0.114),
        SEARCHED[0][1]: pytest.approx(2.985),
        "0,17,71,700": pytest.approx(1.2),
    }
    tuned = lines[0]
    ends = [float(tuned[key]) for key in ("se", "low", "high")]
    assert ends == pytest.approx([0.015, -0.114 - 2.24140 * 0.015, -0.114 + 2.24140 * 0.015], abs=1e-6)


@pytest.mark.parametrize(
    ("searched", "steps"),
    [
        (SEARCHED[1], 5),
        (("unipc:order=3,lower_order_final=never", "0,17,71.5,307,540,812", 0.1, 0.009), 5),
        (("ddim:eta=0.5", "logsnr", 0.1, 0.009), 5),
        (("heun", "0,90.5,400", 0.1, 0.009), 5),
    ],
)
def test_the_config_of_a_budget_is_a_sweep_of_what_won_on_the_seeds_of_the_proof(
    study, quick, tmp_path, searched, steps
):
    one = answer(5, [searched], [("unipc", "time-quadratic", 0.245, 0.012)])
    said = published(study, one)
    file = tmp_path / "report" / "tuned-S5.json"
    assert f"or --config {file}\n" in said
    config = make_config(None, file, {})
    assert settings(config, SCHEDULE) == [one.proof.best.setting]
    assert one.proof.best.setting.steps == steps
    assert (config.out, config.num_images, config.seed, config.batch_size) == ("runs/tuned-S5", 10_000, 7, 125)
    assert (config.model, config.dtype, config.reference) == ("digits", "bfloat16", "photos")
    assert config.extractor == ("digits-classifier",)
    # and the options that are said do the same
    words = said.partition("to use it: --sampler ")[2].partition(", or --config")[0].split()
    given = {"sampler": (words[0],), "spacing": (words[2],)} | ({"steps": (int(words[4]),)} if words[3:] else {})
    assert settings(make_config(None, None, given), SCHEDULE) == [one.proof.best.setting]


def test_a_budget_without_a_winner_has_no_config(study, quick, tmp_path):
    published(study, worse(), winner(), none_wins())
    assert [file.name for file in (tmp_path / "report").glob("*.json")] == ["tuned-S5.json"]


def test_of_several_budgets_each_has_its_answer_and_then_comes_the_table(study, quick):
    said = published(study, worse(), winner(), none_wins())
    parts = said.split("\n\n")
    assert [part.split()[0] for part in parts] == ["Nothing", "UniPC-2", "Nothing", "calls", "FID"]
    assert parts[-1].splitlines()[-1] == f"Files: {study.out}metrics.json, {study.out}report/"
    alone = published(study, winner())
    assert [part.split()[0] for part in alone.split("\n\n")] == ["UniPC-2", "FID"]


def test_the_page_of_a_sweep_has_the_answer_and_the_figures(study, tmp_path):
    """As `jobs/report.py --out SWEEP TUNED` reads it; the one test that draws the files."""
    text = published(study, winner())
    study.storage.write_json("study.json", {"format": 1, "kind": "tuning"})
    study.storage.write("report/summary.txt", text.encode())
    shown = read_study(str(tmp_path), None)
    assert [name for name, _ in shown.pictures] == ["fid_vs_calls.png", "same_seeds.png", "times.png"]
    assert all(base64.b64decode(png).startswith(b"\x89PNG") for _, png in shown.pictures)
    assert all(
        (tmp_path / "report" / name.replace(".png", ".pdf")).read_bytes()[:4] == b"%PDF" for name, _ in shown.pictures
    )
    run = output(tmp_path / "sweep", measured=0, sampler=("ddim",), steps=(7,))
    page = Page(to_html([Part(run, {}, [], {})], [], studies=[shown]).decode())
    assert len(page.all("img", **{"class": "figure-of-study"})) == 3
    assert f"tuning: {tmp_path}" in page.sections["studies"]
    assert "UniPC-2 on times 0, 39, 95, 313, 452, 774: FID 0.131 ± 0.012 at 5 calls" in page.sections["studies"]
