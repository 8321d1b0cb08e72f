"""The nightly check as a user runs it: what it answers, where it writes, and what it refuses."""

import json
import shutil
from os.path import relpath
from xml.etree import ElementTree

import pytest
import torch
from diffusers import UNet2DModel
from here import run_here
from places import draw_and_measure
from processes import ROOT, communicate, start
from s3 import SECRET, environment, moto, options

from pipeline.regression import history
from pipeline.storage.store import Storage
from pipeline.sweep.model import model_folder

SLUGS = ["ddim-S20-eta0-linear", "ddim-S20-etahat-linear-clip"]
ANY_SPEED = ["--speed-tolerance", "0.99"]  # other tests' processes are on this machine


def update(baseline, out, *arguments, **variables):
    return run_here("nightly", "--update-baseline", "--baseline", baseline, "--out", out, *arguments, **variables)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A finished sweep of two settings × 240 images, in four files."""
    return draw_and_measure(tmp_path_factory.mktemp("drawn") / "out", shard_size=120).config.out


@pytest.fixture(scope="module")
def baseline(drawn, tmp_path_factory):
    url = str(tmp_path_factory.mktemp("baseline") / "b")
    status, out, err = update(url, drawn)
    assert (status, "2 settings × 240 images" in out) == (0, True), err
    return url


@pytest.fixture(scope="module")
def server():
    with moto() as running:
        Storage("s3://nights", options(running))._fs.mkdir("nights")
        yield running


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.slow)])
def place(request, tmp_path, drawn):
    """(URL of everything, the environment that reaches it, storage options); the finished sweep is in it."""
    if request.param == "local":
        return str(tmp_path), {}, None
    url = request.getfixturevalue("server")
    return "s3://nights/all", environment(url), options(url)


def test_two_nights_of_the_same_code_are_clean_to_the_pixel(place, drawn):
    url, variables, storage_options = place
    home = Storage(f"{url}/nights", storage_options)
    source, target = Storage(drawn), Storage(f"{url}/drawn", storage_options)
    for path in source.find():
        target.write(path, source.read(path))
    status, out, err = update(f"{url}/baseline", f"{url}/drawn", **variables)
    assert status == 0, err
    for nights in (1, 2):
        arguments = ["--baseline", f"{url}/baseline", "--out", home.url, *ANY_SPEED]
        status, out, err = run_here("nightly", *arguments, **variables)
        assert status == 0, err
        assert "### clean: no regression in 2 settings" in out
        assert "every image has the baseline's pixels" in out
        assert len(home.ls("history")) == nights
    rows = history.read(home)
    assert [(row["setting"], row["quality"], row["differing"]) for row in rows] == [(s, "same", 0) for s in SLUGS] * 2
    assert len({row["night"] for row in rows}) == 2
    assert home.names() == ["history", "junit.xml", "runs", "summary.md", "trend.html"]
    assert home.read("summary.md").decode().strip() in out
    assert "2 nights" in home.read("trend.html").decode()
    if storage_options is not None:  # else no secret was in play
        assert SECRET in variables.values()
        assert SECRET not in out + err


def save_model(folder, change):
    """Save the embedded network with other weights, as diffusers does."""
    embedded = model_folder("digits")
    network = UNet2DModel.from_pretrained(embedded / "unet", low_cpu_mem_usage=False)
    for parameter in network.parameters():
        change(parameter.data)
    network.save_pretrained(folder / "unet")
    shutil.copytree(embedded / "scheduler", folder / "scheduler")
    return folder


def test_a_worse_model_is_a_regression(baseline, tmp_path):
    model = save_model(tmp_path / "model", lambda weights: weights.mul_(1.05))
    home = tmp_path / "nights"
    status, out, err = run_here("nightly", "--baseline", baseline, "--out", home, "--model", model, *ANY_SPEED)
    assert status == 1, err
    assert "### REGRESSION: quality worse in" in out
    assert f"480 of 480 images have other pixels, the first is seed 0 of {SLUGS[0]}" in out
    assert "- model " in out
    (suite,) = ElementTree.parse(home / "junit.xml").getroot()
    assert [case.get("name") for case in suite.findall("testcase")] == SLUGS
    assert int(suite.get("failures")) == len(suite.findall("testcase/failure")) >= 1
    assert "worse" in {row["quality"] for row in history.read(Storage(str(home)))}


def test_a_run_that_cannot_finish_is_no_answer(baseline, tmp_path):
    model = save_model(tmp_path / "model", lambda weights: weights.fill_(torch.nan))
    home = tmp_path / "nights"
    status, out, err = run_here("nightly", "--baseline", baseline, "--out", home, "--model", model)
    assert (status, out) == (3, ""), err
    assert "the run is not complete, so there is no answer" in err
    assert "images are not finite, the first has seed 0" in err
    assert "Traceback" not in err
    assert "INCOMPLETE" in (home / "summary.md").read_text()
    (suite,) = ElementTree.parse(home / "junit.xml").getroot()
    assert (suite.get("errors"), len(suite.findall("testcase/error"))) == ("2", 2)
    assert not (home / "history").exists()


def test_pages_that_cannot_be_written_take_the_status_and_not_the_answer(baseline, tmp_path):
    home = tmp_path / "nights"
    home.mkdir()
    (home / "history").write_text("")
    status, out, err = run_here("nightly", "--baseline", baseline, "--out", home, *ANY_SPEED)
    assert (status, out.splitlines()[0]) == (3, "### clean: no regression in 2 settings"), err
    assert f"error: the pages in {home} cannot be written: " in err
    assert "Traceback" not in err


def altered(baseline, folder, change):
    """A copy of a baseline with a change of its JSON."""
    shutil.copytree(baseline, folder)
    storage = Storage(str(folder))
    content = storage.read_json("baseline.json")
    change(content)
    storage.write_json("baseline.json", content)
    return folder


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda b: b["config"].update(steps=[20, 50]), "grid: ddim-S50-eta0-linear is not in it"),
        (lambda b: b["config"].update(eta=[0.0]), "grid: ddim-S20-etahat-linear-clip is in it alone"),
        (lambda b: b["config"].update(num_images=100), "num images 240 there, 100 here"),
        (lambda b: b["identity"].update(extractor="inception"), "extractor inception there, digits-classifier here"),
        (lambda b: b["identity"].update(noise="old"), "noise old there, philox"),
        (lambda b: b["config"].update(seed=1), "seed 0 there, 1 here"),
        (lambda b: b["entries"][SLUGS[0]].update(file="features/gone.parquet"), "features/gone.parquet is missing"),
        (lambda b: b.pop("entries"), "'entries'"),
        (lambda b: b["config"].update(steps=[0]), "it is not one of this release"),
    ],
)
def test_an_unusable_baseline_is_refused_by_name(baseline, tmp_path, change, says):
    other = altered(baseline, tmp_path / "other", change)
    home = tmp_path / "nights"
    status, out, err = run_here("nightly", "--baseline", other, "--out", home)
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert says in err
    assert f"--baseline {other}" in err
    assert not home.exists()


def test_a_config_of_another_grid_is_refused(baseline, drawn, tmp_path):
    config = json.loads((tmp_path / drawn / "sweep.json").read_text())
    config["config"]["steps"] = [10]
    (tmp_path / "sweep.json").write_text(json.dumps(config))
    arguments = ["--baseline", baseline, "--out", tmp_path / "nights", "--config", tmp_path / "sweep.json"]
    status, _, err = run_here("nightly", *arguments)
    assert (status, "grid: ddim-S10-eta0-linear is not in it" in err) == (2, True), err


def test_damage_in_a_baseline_is_found_before_drawing(baseline, tmp_path):
    shutil.copytree(baseline, tmp_path / "b")
    file = sorted((tmp_path / "b" / "features").iterdir())[0]
    data = bytearray(file.read_bytes())
    data[1000] ^= 1
    file.write_bytes(data)
    arguments = ["--baseline", tmp_path / "b", "--out", tmp_path / "nights"]
    status, _, err = run_here("nightly", *arguments)
    assert (status, file.name in err, len(err.splitlines())) == (2, True, 1), err
    assert not (tmp_path / "nights").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--baseline", "nowhere"], "--baseline nowhere holds no baseline.json"),
        (["--tolerance", "-1"], "--tolerance must be 0 or more"),
        (["--tolerance", "nan"], "--tolerance must be 0 or more"),
        (["--speed-tolerance", "1"], "--speed-tolerance must be from 0 to below 1"),
        (["--num-workers", "0"], "--num-workers must be 1 or more"),
        (["--model", "nowhere"], "--model nowhere: no such file or folder"),
        (["--update-baseline"], "--update-baseline needs --baseline"),
        (["--update-baseline", "--baseline", "b"], "holds no sweep.json"),
        (["--update-baseline", "--baseline", "b", "--model", "m"], "--model means nothing with --update-baseline"),
        (["--update-baseline", "--baseline", "b", "--tolerance", "1"], "--tolerance means nothing with --update-bas"),
    ],
)
def test_bad_input_is_one_line(tmp_path, arguments, says):
    home = tmp_path / "nights"
    status, out, err = run_here("nightly", "--out", home, *arguments)
    assert (status, out, len(err.splitlines()), says in err) == (2, "", 1, True), err
    assert not home.exists()


def test_on_a_cluster_a_relative_path_is_refused_before_anything_is_written(baseline, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    arguments = ["--baseline", baseline, "--out", relpath(tmp_path / "nights", ROOT)]
    status, text, err = run_here("nightly", *arguments)
    assert (status, text, len(err.splitlines()), "a relative path is lost" in err) == (2, "", 1, True), err
    assert not (tmp_path / "nights").exists()


def test_nights_and_baselines_have_folders_of_their_own(baseline, drawn):
    for arguments in (["--baseline", baseline], ["--update-baseline", "--baseline", drawn]):
        status, _, err = run_here("nightly", "--out", drawn, *arguments)
        assert (status, f"{drawn} is a sweep's output: give the" in err) == (2, True), err


def test_an_unfinished_run_makes_no_baseline(drawn, tmp_path):
    shutil.copytree(drawn, tmp_path / "drawn")
    (tmp_path / "drawn" / "features" / f"setting={SLUGS[1]}" / "_metrics.json").unlink()
    arguments = ["--update-baseline", "--baseline", tmp_path / "b", "--out", tmp_path / "drawn"]
    status, _, err = run_here("nightly", *arguments)
    assert (status, f"{SLUGS[1]} is not measured" in err) == (3, True), err
    assert not (tmp_path / "b").exists()


def test_a_baseline_that_cannot_be_written_is_named_by_its_cause(drawn, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "features").write_text("")
    arguments = ["--update-baseline", "--baseline", tmp_path / "b", "--out", drawn]
    status, _, err = run_here("nightly", *arguments)
    assert (status, f"--baseline {tmp_path / 'b'} cannot be written" in err, len(err.splitlines())) == (2, True, 1), err


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_projects_own_nightly(tmp_path):
    """Against the baseline that travels with the package, which another machine may have made."""
    process = start("nightly", "--out", tmp_path / "nights", *ANY_SPEED)
    out, err = communicate(process, timeout=800)
    assert process.returncode == 0, out + err
    assert "### clean: no regression in 9 settings" in out
