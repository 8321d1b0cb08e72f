"""Outputs of other releases and of other machines: read as they are, or refused in one line."""

import json
import re
import shutil

import pytest
from here import run_here
from PIL import Image
from processes import ROOT

from pipeline.images.digits import digits_images
from pipeline.storage.store import Storage
from pipeline.sweep.run import open_run, saved_run

FORMAT_1 = ROOT / "tests" / "data" / "format1"
GRID = ["--steps", "5", "--eta", "0", "hat", "--num-images", "40", "--batch-size", "16", "--shard-size", "25"]
TABLE = """\
FID ↓, linear τ
S                   5
calls an image      5
─────────────────────
η = 0.0          9.17
σ̂               26.49

IS ↑, linear τ
S                  5
calls an image     5
────────────────────
η = 0.0         2.51
σ̂               1.63
"""
"""What the release that drew it printed, but for the spread of IS over its splits, which is not its error."""
TIMES = ("seconds", "images_per_second", "device")


@pytest.fixture
def out(tmp_path):
    """An output of the first format, in another folder than the one that it was drawn in."""
    shutil.copytree(FORMAT_1, tmp_path / "moved")
    return tmp_path / "moved"


def plain(text):
    """A table without the errors of this release, and without the width of its columns."""
    return re.sub("[ ─]+", " ", re.sub(r" ± [\d.]+", "", text))


def assert_well(out):
    status, text, err = run_here("verify", "--out", out)
    assert (status, "0 problems" in text) == (0, True), text + err


def test_it_verifies_and_prints_its_table(out):
    assert_well(out)
    status, text, err = run_here("sweep", *GRID, "--out", out)
    assert (status, text.startswith(TABLE), "nothing to do" in err) == (0, True, True), text + err
    saved = json.loads((out / "sweep.json").read_text())
    assert (saved["format"], saved["samplers"]) == (2, {"ddim": 1})
    assert_well(out)
    assert run_here("status", "--out", out)[0] == 0


def test_it_runs_again_from_its_own_config(out):
    status, text, err = run_here("sweep", "--config", out / "sweep.json", "--out", out)
    assert (status, text.startswith(TABLE)) == (0, True), err


def test_what_is_lost_of_it_is_made_again_as_it_was(out):
    """An image file, features and a row: drawn, extracted and measured by this release, with the same digests."""
    before = json.loads((out / "metrics.json").read_text())
    digests = {file: json.loads(file.read_text())["files"] for file in out.glob("images/*/_manifest.json")}
    (out / "images/setting=ddim-S5-eta0-linear/seeds-000000025-000000040.parquet").unlink()
    shutil.rmtree(out / "features")
    status, text, err = run_here("sweep", *GRID, "--out", out)
    assert status == 0, err
    assert plain(text).startswith(plain(TABLE)), text + err
    after = json.loads((out / "metrics.json").read_text())
    for old, new in zip(before, after, strict=True):
        errors = {"fid_se", "fid_bias", "fid_inf", "is_se", "kid_se", "precision_se", "recall_se", "jackknife"}
        assert new.keys() - old.keys() == errors  # which that release did not have
        assert old.keys() <= new.keys()
        for name in old.keys() - {*TIMES, "reference", "options"}:
            # kernels of another processor move a feature's last bits, 2^-24 of it
            assert new[name] == (pytest.approx(old[name], rel=1e-5) if isinstance(old[name], float) else old[name]), (
                name
            )
    assert {file: without_sizes(json.loads(file.read_text())["files"]) for file in digests} == {
        file: without_sizes(files) for file, files in digests.items()
    }
    assert_well(out)


def without_sizes(files):
    """A file says a little more of its setting than it did."""
    return {name: {key: entry[key] for key in ("rows", "digest")} for name, entry in files.items()}


def test_it_is_measured_again_elsewhere(out, tmp_path):
    (tmp_path / "half").mkdir()
    for i, image in enumerate(digits_images()[::2]):
        Image.fromarray(image[0].numpy()).save(tmp_path / "half" / f"{i:04d}.png")
    status, text, err = run_here("evaluate", "--out", out, "--reference", tmp_path / "half")
    assert (status, "(899 images)" in text) == (0, True), err
    assert_well(out)


def test_its_grid_grows(out):
    status, text, err = run_here("sweep", *GRID, "--steps", "5", "6", "--out", out)
    assert (status, text.splitlines()[1].split()) == (0, ["S", "5", "6"]), text + err
    assert_well(out)


def test_a_baseline_is_made_of_it(out, tmp_path):
    status, text, err = run_here("nightly", "--update-baseline", "--baseline", tmp_path / "b", "--out", out)
    assert (status, "2 settings × 40 images" in text) == (0, True), err


@pytest.mark.parametrize("job", ["sweep", "verify", "status", "evaluate", "report"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 3}, "has format 3, and this release reads up to 2: use a later one"),
        ({"samplers": {"ddim": 7}}, "has images of version 7 of ddim, and this release has version 1"),
        ({"samplers": {"unipc": 1}}, "; what version 1 computed is unipc:lower_order_final=never now"),
        ({"samplers": {"flow": 1}}, "has images of version 1 of flow, and this release does not have it"),
    ],
)
def test_what_this_release_cannot_read_is_one_line_and_stays(out, job, change, says):
    storage = Storage(str(out))
    storage.write_json("sweep.json", storage.read_json("sweep.json") | change)
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*") if file.is_file()}
    arguments = GRID if job == "sweep" else []
    status, text, err = run_here(job, *arguments, "--out", out)
    assert (status, text, len(err.splitlines()), says in err) == (2, "", 1, True), err
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*") if file.is_file()} == before


def test_what_it_does_not_need_of_a_manifest_may_be_anything(out):
    storage = Storage(str(out))
    path = "images/setting=ddim-S5-eta0-linear/_manifest.json"
    closed = storage.read_json(path)
    closed["setting"] |= {"tau": [1], "colour": "red"}
    storage.write_json(path, closed)
    assert_well(out)


def test_no_file_names_the_machine_that_wrote_it(tmp_path):
    """But for what the user gave: here --out, and the embedded model by its name."""
    status, _, err = run_here("sweep", *GRID, "--out", tmp_path / "out")
    assert status == 0, err
    given = str(tmp_path / "out")
    for file in (tmp_path / "out").rglob("*.json"):
        text = file.read_text().replace(given, "")
        assert str(ROOT) not in text, file
        assert str(tmp_path) not in text, file
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    assert_well(tmp_path / "elsewhere")
    opened = saved_run(str(tmp_path / "elsewhere"))
    assert open_run(opened.config).identity == opened.identity
    status, _, err = run_here("sweep", *GRID, "--steps", "5", "6", "--out", tmp_path / "elsewhere")
    assert status == 0, err
    assert_well(tmp_path / "elsewhere")
