"""A sampler and a kind of work from outside: all that surrounds them asks them, and nothing else changes."""

import csv
import json
import os
import re
import subprocess
import sys

import pytest
import toy_sampler
import toy_work
from here import run_here
from in_process import InProcess
from processes import ROOT
from schedules import SCHEDULE

from pipeline.diffusion.samplers import SAMPLERS
from pipeline.reporting.paper import EXPERIMENTS, paper_fid
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import settings
from pipeline.sweep.run import saved_run
from pipeline.work.claim import FirstFile
from pipeline.work.compare import Compare
from pipeline.work.inventory import Inventory
from pipeline.work.perform import perform
from pipeline.work.registry import WORKS
from pipeline.work.verify import Verify, set_aside, verify

GRID = ["--sampler", "ddim", "toy", "toy:order=1", "--steps", "5", "10", "--num-images", "40", "--shard-size", "25"]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(SAMPLERS, "toy", toy_sampler.Toy)
    monkeypatch.setitem(WORKS, "means", toy_work.Means)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    out = tmp_path_factory.mktemp("swept") / "out"
    SAMPLERS["toy"] = toy_sampler.Toy
    status, text, err = run_here("sweep", *GRID, "--out", out)
    assert status == 0, err
    return out, text


def test_every_sampler_has_its_row_and_its_calls(swept):
    out, text = swept
    own = next(block for block in text.split("\n\n") if block.startswith("FID ↓\n")).splitlines()
    labels = [line.partition("  ")[0].strip() for line in own[1:]]
    assert labels[:2] == ["S", "calls an image"]
    assert labels[3:] == ["DDIM η = 0.0, linear", "Toy, paper-linear", "Toy order = 1, paper-linear"]
    assert own[2].split()[-4:] == ["5", "9", "to", "10"]
    rows = json.loads((out / "metrics.json").read_text())
    assert [(row["sampler"], row.get("eta"), row.get("order"), row["steps"], row["nfe"]) for row in rows] == [
        *[("ddim", 0.0, None, steps, steps) for steps in (5, 10)],
        *[("toy", None, "2", steps, nfe) for steps, nfe in ((5, 5), (10, 9))],  # 2 n - 1 calls for n steps
        *[("toy", None, "1", steps, steps) for steps in (5, 10)],
    ]
    cells = [
        [f"{row['fid']:.2f} ± {row['fid_se']:.2f}" for row in rows if row["sampler"] == "toy" and row["order"] == o]
        for o in ("2", "1")
    ]
    assert [re.split(" {2,}", line)[1:] for line in own[5:]] == [[cells[0][0], f"{cells[0][1]} (9)"], cells[1]]
    table = list(csv.DictReader((out / "report" / "table.csv").open()))
    assert [(row["sampler"], row["eta"], row["order"]) for row in table][::2] == [
        ("ddim", "0.0", ""),
        ("toy", "", "2"),
        ("toy", "", "1"),
    ]
    tex = (out / "report" / "table.tex").read_text()
    assert "Toy order = 1, paper-linear &" in tex
    assert r"DDIM $\eta$ = 0.0, linear &" in tex
    pictures = {"fid_vs_calls.png", "fid_vs_seconds.png", "seconds_vs_calls.png", "samples.png", "same_seeds.png"}
    pictures |= {"least_and_most.png", "consistency.png"}
    assert {f.name for f in (out / "report").glob("*.png")} == pictures


def test_first_order_is_ddim_to_the_pixel(swept, tmp_path):
    """On DDIM's own grid: Euler's step and DDIM's at eta = 0 are the same arithmetic."""
    arguments = ["--steps", "5", "--spacing", "linear", "--num-images", "20", "--out", tmp_path / "out"]
    status, _, err = run_here("sweep", "--sampler", "ddim", "toy:order=1", *arguments)
    assert status == 0, err
    drawn = digests(tmp_path / "out")
    assert drawn.keys() == {"setting=ddim-S5-eta0-linear", "setting=toy-S5-order1-linear"}
    assert drawn["setting=ddim-S5-eta0-linear"] == drawn["setting=toy-S5-order1-linear"]


def test_a_second_run_and_verify_know_it(swept):
    out, text = swept
    status, again, err = run_here("sweep", *GRID, "--out", out)
    assert (status, again, "nothing to do" in err) == (0, text, True), err
    status, said, _ = run_here("verify", "--out", out)
    assert (status, "0 problems" in said) == (0, True), said
    status, said, _ = run_here("status", "--out", out)
    assert (status, "toy-S10-paper-linear" in said) == (0, True)
    status, said, err = run_here("sweep", *GRID, "--out", out, "--dry-run")
    assert (status, "toy-S10-paper-linear            9 calls an image, 2 of 2 shards found" in said) == (
        0,
        True,
    ), said


def test_it_is_refused_the_papers_numbers():
    config = SweepConfig(sampler=("ddim", "toy"), steps=(10, 20), eta=(0.0,), spacing=("quadratic",))
    cells = {s.slug: paper_fid(EXPERIMENTS["cifar10"], s) for s in settings(config, SCHEDULE)}
    assert cells == {
        "ddim-S10-eta0-quadratic": 13.36,
        "ddim-S20-eta0-quadratic": 6.84,
        "toy-S10-quadratic": None,
        "toy-S20-quadratic": None,
    }


def test_another_version_of_its_arithmetic_is_never_mixed_in(swept, monkeypatch):
    out, _ = swept
    setting = next(s for s in saved_run(str(out)).settings if s.sampler.name == "toy")
    identity = saved_run(str(out)).identity
    before = setting.fingerprint(identity)
    monkeypatch.setattr(toy_sampler.Toy, "version", 2)
    assert setting.fingerprint(identity) != before
    for job, arguments in (("sweep", GRID), ("verify", []), ("evaluate", []), ("status", [])):
        status, text, err = run_here(job, "--out", out, *arguments)
        assert (status, text, len(err.splitlines())) == (2, "", 1), err
        assert "has images of version 1 of toy, and this release has version 2" in err
    monkeypatch.delitem(SAMPLERS, "toy")
    status, text, err = run_here("verify", "--out", out)
    assert (status, text, len(err.splitlines())) == (2, "", 1), err
    assert "has images of version 1 of toy, and this release does not have it" in err


def test_a_nightly_takes_it(swept, tmp_path):
    out, _ = swept
    status, said, err = run_here("nightly", "--update-baseline", "--baseline", tmp_path / "b", "--out", out)
    assert (status, "6 settings × 40 images" in said) == (0, True), err
    arguments = ["--baseline", tmp_path / "b", "--out", tmp_path / "nights", "--speed-tolerance", "0.99"]
    status, said, err = run_here("nightly", *arguments)
    assert status == 0, err
    assert "every image has the baseline's pixels" in said


@pytest.fixture
def averaged(tmp_path):
    out = tmp_path / "out"
    status, _, err = run_here(
        "sweep", "--steps", "5", "--eta", "0", "hat", "--num-images", "40", "--shard-size", "25", "--out", out
    )
    assert status == 0, err
    run = saved_run(str(out))
    perform(toy_work.Means(run), InProcess())
    return run


def problems(run):
    return [(problem.kind, problem.path) for problem in verify(Inventory(run), InProcess())]


def test_verify_learns_a_works_files_from_the_work(averaged, monkeypatch):
    run = averaged
    assert not toy_work.Means(run).tasks()
    assert problems(run) == []
    path = run.shards()[1].path("means")
    whole = run.storage.read(path)
    for damaged in (whole[:60] + bytes([whole[60] ^ 1]) + whole[61:], whole[:-9]):
        run.storage.write(path, damaged)
        assert problems(run) == [("bad", path)]
    run.storage.write(path, run.storage.read(run.shards()[0].path("means")))
    assert problems(run) == [("bad", path)]  # sealed, and made from other pixels
    run.storage.write(path, whole)
    monkeypatch.delitem(WORKS, "means")
    assert {kind for kind, _ in problems(run)} == {"surplus"}


def test_a_works_files_go_with_the_images_that_they_were_made_from(averaged):
    run = averaged
    path = run.shards()[1].path("images")
    run.storage.write(path, b"PAR1")
    inventory = Inventory(run)
    moved = set_aside(inventory, verify(inventory, InProcess()))
    assert path in moved
    assert run.shards()[1].path("means") in moved
    assert run.shards()[0].path("means") not in moved
    assert [task.item for task in toy_work.Means(run).tasks()] == [run.shards()[1]]


def digests(out):
    """Folder of a setting → digest of each image file."""
    closed = {file.parent.name: json.loads(file.read_text())["files"] for file in out.glob("images/*/_manifest.json")}
    return {name: [entry["digest"] for entry in files.values()] for name, files in closed.items()}


@pytest.mark.slow
def test_workers_of_other_processes_draw_it_too(swept, tmp_path):
    """By real actors, which import the module that registers it."""
    out, _ = swept
    program = "import runpy, sys, toy_sampler; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", program, "jobs/sweep.py", *GRID, "--out", str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests" / "helpers")}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=500)
    assert digests(tmp_path / "out") == digests(out)


def test_gpus_are_for_networks_alone():
    on_gpu = {kind.name for kind in [FirstFile, *WORKS.values(), Verify, Compare] if kind.on_gpu}
    assert on_gpu == {"first worker", "drawing", "features"}
