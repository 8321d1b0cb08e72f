"""Outputs that an earlier release drew: they verify, print, are measured again, compared and gone on with.

tests/data/format2 has a sweep of several samplers and grids of time with another measurement in it, an output of each
study, and in `printed` what their jobs printed then. tests/data/format1 is of the first format, see test_formats.py.
"""

import json
import re
import shutil

import pyarrow.parquet as pq
import pytest
from here import run_here
from processes import ROOT

from pipeline.storage.store import Storage

DATA = ROOT / "tests" / "data" / "format2"
IMAGES = "tests/data/format2/digits.parquet"
SAMPLERS = ["ddim:eta=0", "ddim:eta=1", "ddim:eta=hat", "dpmpp_2m", "unipc:order=3", "heun"]
TAU = "0,250,500,750,999"
REST = ["--spacing", "karras", TAU, "--steps", "4", "5", "--num-images", "12", "--shard-size", "6", "--batch-size", "4"]
SWEEP = ["sweep", "--sampler", *SAMPLERS, *REST]
SHARDS = ["--images", IMAGES, "--num-images", "12", "--shard-size", "6", "--batch-size", "4"]
BETWEEN = ["interpolate", "--count", "5", "--batch-size", "4", "--steps"]
WALKS = ["trajectory", "--seeds", "0", "1", "--columns", "4", "--batch-size", "4"]
WALKS += ["--sampler", "ddim", "ddim:eta=1", "unipc:order=3", "--steps"]
STUDIES = {
    "reconstruction": ["reconstruct", *SHARDS, "--steps", "5", "10"],
    "interpolation": [*BETWEEN, "5", "--seeds", "3", "1", "4", "5"],
    "encodings": [*BETWEEN, "5", "--seeds", "0", "1", "2", "3", "--encodings", "tests/data/format2/reconstruction"],
    "trajectory": [*WALKS, "5"],
}
JOBS = {"sweep": SWEEP} | STUDIES
TIMED = ("seconds", "images_per_second", "device")


@pytest.fixture
def out(tmp_path, name):
    """The output that the test's parameter `name` names, in another folder than it was drawn in."""
    shutil.copytree(DATA / name, tmp_path / "moved")
    return tmp_path / "moved"


@pytest.fixture
def sweep(tmp_path):
    """The sweep, in another folder than it was drawn in."""
    shutil.copytree(DATA / "sweep", tmp_path / "sweep")
    return tmp_path / "sweep"


def said(text):
    """What was printed, but for the folders."""
    return [line for line in text.splitlines() if not line.startswith("Files:")]


def said_then(name):
    return said((DATA / "printed" / f"{name}.txt").read_text())


def untimed(lines):
    """Without the table of speeds and the lines that are of times."""
    blocks = "\n".join(lines).split("\n\n")
    kept = [line for block in blocks if not block.startswith("images/s") for line in block.splitlines()]
    return [line for line in kept if not line.startswith(("The fastest", "Time follows"))]


def run_well(*arguments, **how):
    """Run a job that must succeed: its standard output and standard error."""
    status, text, err = run_here(*arguments, **how)
    assert status == 0, text + err
    return text, err


def assert_well(out):
    assert "0 problems" in run_well("verify", "--out", out)[0]


def footers(out, folder):
    """Path → (fingerprint, digests) of the files of pictures below a folder."""
    read = {}
    for file in sorted((out / folder).rglob("*.parquet")):
        footer = json.loads(pq.ParquetFile(file).metadata.metadata[b"ddim"])
        read[file.relative_to(out)] = footer["fingerprint"], footer.get("digest"), footer.get("digests")
    assert read
    return read


def assert_same_numbers(old, new):
    """Of two metrics.json, but for times; kernels of another processor move a feature's last bits, 2^-24 of it."""
    for before, after in zip(json.loads(old), json.loads(new), strict=True):
        for name in before.keys() - {*TIMED}:
            number = isinstance(before[name], float)
            assert after[name] == (pytest.approx(before[name], rel=1e-5) if number else before[name]), name


@pytest.mark.parametrize("name", JOBS)
def test_it_verifies_and_its_job_prints_what_it_printed(out, name):
    assert_well(out)
    text, err = run_well(*JOBS[name], "--out", out, rendered=True)
    assert re.search("nothing to (draw|do)", err), err
    assert said(text) == said_then(name)
    assert_well(out)


def test_its_other_measurement_prints_what_it_printed(sweep):
    text, err = run_well("evaluate", "--out", sweep, "--reference", IMAGES)
    assert "nothing to do" in err
    assert said(text) == said_then("evaluation")
    assert_well(sweep)


def test_what_is_lost_of_a_sweep_is_made_again_as_it_was(sweep):
    """Image files of three samplers, and features and numbers of a third of the settings, of both measurements."""
    files = footers(sweep, "images")
    for slug in ("ddim-S5-etahat-karras-clip", "unipc-S4-order3-tau498b7b67", "heun-S9-tau498b7b67"):
        (sweep / f"images/setting={slug}/seeds-000000006-000000012.parquet").unlink()
    (other,) = (sweep / "evaluations").iterdir()
    numbers = {folder: (folder / "metrics.json").read_text() for folder in (sweep, other)}
    for folder in numbers:
        (folder / "features" / "reference.parquet").unlink()
        for setting in folder.glob("features/*-tau*"):
            shutil.rmtree(setting)
        (folder / "metrics.json").unlink()
    assert untimed(said(run_well(*SWEEP, "--out", sweep)[0])) == untimed(said_then("sweep"))
    text, _ = run_well("evaluate", "--out", sweep, "--reference", IMAGES)
    assert untimed(said(text)) == untimed(said_then("evaluation"))
    assert footers(sweep, "images") == files
    for folder, before in numbers.items():
        assert_same_numbers(before, (folder / "metrics.json").read_text())
    assert_well(sweep)


def test_its_grid_grows(sweep):
    files = footers(sweep, "images")
    text, err = run_well("sweep", "--sampler", *SAMPLERS, "dpmpp_3m", *REST, "--out", sweep)
    assert "DPM-Solver++ 3M" in text
    assert "(36 drawn now)" in err
    assert files.items() < footers(sweep, "images").items()
    assert_well(sweep)


FOLDERS = {
    "reconstruction": "reconstructions",
    "interpolation": "interpolations",
    "encodings": "interpolations",
    "trajectory": "trajectories",
}


@pytest.mark.parametrize(("name", "folder"), FOLDERS.items())
def test_what_is_lost_of_a_study_is_made_again_as_it_was(out, name, folder):
    """Of a reconstruction the file has x_T, whose last bits are the processor's: so there the table alone says it."""
    files = footers(out, folder)
    (out / next(iter(files))).unlink()
    text, err = run_well(*STUDIES[name], "--out", out)
    assert "(0 drawn now)" not in err
    assert said(text) == said_then(name)
    assert footers(out, folder) == files
    assert_well(out)


@pytest.mark.parametrize(("name", "more"), [("reconstruction", "20"), ("trajectory", "6")])
def test_the_grid_of_a_study_grows(out, name, more):
    before = run_well(*STUDIES[name], more, "--out", out)[0]
    assert said_then(name)[0] in before
    assert_well(out)
    assert said(run_well(*STUDIES[name], "--out", out)[0]) == said_then(name)
    assert_well(out)


@pytest.mark.parametrize(("data", "count"), [("format1", 2), ("format2/sweep", 18)])
def test_it_is_compared_with_itself(data, count):
    own = ROOT / "tests" / "data" / data
    text, _ = run_well("compare", own, own)
    changes = re.findall(r"(?m)^\S+ +[\d.]+ → [\d.]+ +(\S+ \[\S+ \S+\])", text)
    assert changes == ["+0 [+0, +0]"] * count, text


def test_it_is_compared_with_the_first_format():
    text, _ = run_well(
        "compare", f"{DATA / 'sweep'}#ddim-S5-eta0-karras", f"{DATA.parent / 'format1'}#ddim-S5-eta0-linear"
    )
    assert "not pairs" in text
    assert "ddim-S5-eta0-karras → ddim-S5-eta0-linear" in text


def test_a_night_against_a_baseline_of_it_is_identical(sweep, tmp_path):
    run_well("nightly", "--update-baseline", "--baseline", tmp_path / "baseline", "--out", sweep)
    status, text, err = run_here(
        "nightly", "--baseline", tmp_path / "baseline", "--out", tmp_path / "nights", "--speed-tolerance", "0.99"
    )
    assert (status, text.count("identical")) == (0, 18), text + err


def test_the_page_shows_the_sweep_and_its_studies(sweep, tmp_path):
    studies = [tmp_path / name for name in STUDIES]
    for study in studies:
        shutil.copytree(DATA / study.name, study)
        run_well(*STUDIES[study.name], "--out", study)
    run_well("report", "--out", sweep, DATA.parent / "format1", *studies)
    page = (sweep / "report" / "index.html").read_text()
    for name in STUDIES:
        assert said_then(name)[0] in page, name


NEWER = re.compile(r"format 99\b.*\b\d+")


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("job", ["verify", "its own"])
def test_a_study_of_a_later_format_is_one_line_and_stays(out, name, job):
    """With its number and the one that this release reads."""
    refuse(out, "study.json", *([job] if job == "verify" else STUDIES[name]), "--out", out)


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", DATA / "sweep"],
        ["export", "--setting", "ddim-S5-eta0-karras", "--png", "none", "--out"],
        ["nightly", "--update-baseline", "--baseline", "/nowhere", "--out"],
    ],
)
def test_a_sweep_of_a_later_format_is_one_line_and_stays(sweep, arguments):
    refuse(sweep, "sweep.json", *arguments, sweep)


def test_encodings_of_a_later_format_are_one_line(tmp_path):
    shutil.copytree(DATA / "reconstruction", tmp_path / "later")
    arguments = [*STUDIES["encodings"][:-1], tmp_path / "later", "--out", tmp_path / "new"]
    refuse(tmp_path / "later", "study.json", *arguments)
    assert not (tmp_path / "new").exists()


def refuse(out, first_file, *arguments):
    """Give an output a later format, and run a job that must refuse it."""
    storage = Storage(str(out))
    storage.write_json(first_file, storage.read_json(first_file) | {"format": 99})
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    status, text, err = run_here(*arguments)
    assert (status, text, len(err.splitlines()), bool(NEWER.search(err))) == (2, "", 1, True), err
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before
