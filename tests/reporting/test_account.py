"""What the page says besides numbers: hours and their price, the protocol, commands without secrets, links."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from measured_rows import GRID
from pages import Page, output

from pipeline.evaluation.extractors import ExtractorInfo
from pipeline.evaluation.measurement import Measurement
from pipeline.evaluation.reference import ReferenceInfo
from pipeline.reporting import account
from pipeline.reporting.page import to_html
from pipeline.reporting.part import Part


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return output(tmp_path_factory.mktemp("account") / "out", measured=0, sampler=("ddim",), steps=(7,), seed=3)


def part(run, **config):
    return Part(replace(run, config=run.config.model_copy(update=config)) if config else run, {}, [], {})


HOURS = [
    # GPU hours, CPU core hours, what 3 an hour are
    (1.5, 0.25, "4.50, at 3 a GPU hour"),
    (0.0, 0.75, "2.25, at 3 a CPU core hour"),
    (500.0, 0.0, "1,500.00, at 3 a GPU hour"),
]


@pytest.mark.parametrize(("gpu", "cpu", "price"), HOURS)
def test_the_price_is_that_of_the_hours_that_were_used(run, gpu, cpu, price):
    run.result.content = {"gpu_hours": gpu, "cpu_hours": cpu}
    try:
        found = dict(account.cost(part(run), 3.0))
        assert "price" not in dict(account.cost(part(run), None))
    finally:
        run.result.content = {}
    assert (found["GPU hours"], found["CPU core hours"], found["price"]) == (f"{gpu:.2f}", f"{cpu:.2f}", price)


def test_devices_and_dtype_stand_beside_the_cost_and_without_a_result_hours_are_unknown(run):
    rows = dict(zip(GRID, [{"device": "b"}, {"device": "a"}, {"device": None}], strict=False))
    half = part(run, dtype="bfloat16")
    assert account.cost(replace(half, measured=rows), 3.0) == [
        *(("device", "a, b"), ("dtype of the network", "bfloat16"), ("hours", "unknown: there is no result.json"))
    ]
    assert account.cost(half, None)[0] == ("device", "unknown")


def test_the_protocol_is_that_of_model_extractor_and_reference(run):
    model = replace(run.model, digest="m" * 64, num_train_timesteps=1234, beta_start=3e-4, beta_end=0.05, ema=False)
    extractor = ExtractorInfo("an-extractor", None, "e" * 64, 7)
    measured = Measurement(extractor, ReferenceInfo("s3://me:pw@b/r.npz?k=1", "statistics", "r" * 64, None), {})
    rows = {run.settings[0]: {"reference": {"num_images": 5678}}}
    other = Part(replace(part(run, clip="always").run, model=model, measurement=measured), rows, [], {})
    assert dict(account.protocol(other)) == {
        "images a setting": "40, seed 3",
        "model": "digits, SHA-256 mmmmmmmm",
        "EMA weights": "no",
        "noise schedule": "β from 0.0003 to 0.05 in 1,234 steps",
        "spacing": "linear",
        "clipped": "pred_x0, always",
        "rounding to 8 bits": "[−1, 1] to [0, 1], clamped, times 255, plus 0.5, rounded down, as the authors",
        "extractor": "an-extractor, SHA-256 eeeeeeee",
        "reference": "s3://b/r.npz, 5,678 images",
    }
    for ema, says in ((True, "yes"), (None, "unknown")):
        changed = replace(other, run=replace(other.run, model=replace(model, ema=ema)))
        assert dict(account.protocol(changed))["EMA weights"] == says


SECRET = "https://user:secret@host/{}?token=secret"


def test_commands_name_what_they_need_and_no_secret(run):
    extractor = ExtractorInfo("vgg16", SECRET.format("weights.pth"), "e" * 64, 7)
    reference = ReferenceInfo(SECRET.format("reference.npz"), "statistics", "r" * 64, None)
    measured = Measurement(extractor, reference, {}, "evaluations/vgg16")
    other = replace(part(run, out="s3://user:secret@bucket/a run/").run, measurement=measured)
    assert account.commands(Part(other, {}, [], {})) == [
        "python jobs/sweep.py --config 's3://bucket/a run/sweep.json' --out runs/again",
        "python jobs/evaluate.py --out runs/again --extractor vgg16 --reference https://host/reference.npz "
        "--extractor-weights https://host/weights.pth",
    ]
    assert account.commands(part(run)) == [
        f"python jobs/sweep.py --config {run.config.out}/sweep.json --out runs/again"
    ]


def stored(run, out, names=("sweep.json", "metrics.json", "report/table.md", "report/table.csv"), prefix=""):
    """A part whose output holds these files."""

    def ls(folder):
        return {name.rpartition("/")[2]: 1 for name in names if name.rpartition("/")[0] == folder}

    measurement = replace(run.measurement, path=prefix)
    config = run.config.model_copy(update={"out": out})
    return Part(
        SimpleNamespace(
            config=config, storage=SimpleNamespace(ls=ls), paths=replace(run, measurement=measurement).paths
        ),
        *({}, [], {}),
    )


LINKS = [
    # this output, the page's output, where its metrics.json is from the page
    ("s3://bucket/a", "s3://bucket/a", "../metrics.json"),
    ("s3://bucket/b c", "s3://bucket/a", "../../b%20c/metrics.json"),
    ("s3://bucket/deep/b/", "s3://bucket/a", "../../deep/b/metrics.json"),
    ("s3://other/a", "s3://bucket/a", None),
    ("s3://bucket-2/a", "s3://bucket/a", None),
    ("gs://bucket/a", "s3://bucket/a", None),
    ("/runs/a", "s3://bucket/a", None),
    ("s3://bucket/a", "/runs/a", None),
    ("/runs/b", "/runs/a", "../../b/metrics.json"),
]


@pytest.mark.parametrize(("out", "first", "address"), LINKS)
def test_links_lead_from_the_pages_folder_and_into_no_other_bucket(run, out, first, address):
    found = account.links(stored(run, out), stored(run, first).run)
    assert [name for name, _ in found] == (["metrics.json", "table.md", "table.csv", "sweep.json"] if address else [])
    assert dict(found).get("metrics.json") == address


def test_links_of_a_measurement_besides_the_sweeps_are_in_its_folder_and_only_to_files_that_are_there(run):
    names = ("sweep.json", "evaluations/vgg16/metrics.json")
    other = stored(run, "/runs/a", names, "evaluations/vgg16")
    assert account.links(other, other.run) == [
        ("metrics.json", "../metrics.json"),
        ("sweep.json", "../../../sweep.json"),
    ]


def test_the_page_shows_them(run):
    sections = Page(to_html([Part(run, {}, [], {})], verdict=[], price_per_hour=3.0).decode()).sections
    assert "hoursunknown: there is no result.json" in sections["cost"]
    assert "noise schedule" in sections["protocol"]
    assert "python jobs/sweep.py --config" in sections["again"]
