"""evaluate and reference: a finished run measured again, with the numbers that a sweep would have given."""

import csv
import json
import shutil
from os.path import relpath

import numpy as np
import pytest
import torch
import toy_extractor
from here import run_here
from in_process import InProcess
from pages import Page
from PIL import Image
from places import draw_and_measure
from processes import ROOT

from pipeline.evaluation.features import read_features, write_features
from pipeline.images.digits import digits_images
from pipeline.reporting.columns import columns
from pipeline.storage.store import Storage
from pipeline.sweep.images import read_images
from pipeline.sweep.layout import folder
from pipeline.sweep.run import evaluations, saved_run
from pipeline.work.inventory import Inventory
from pipeline.work.verify import verify

TIMES = ("seconds", "images_per_second")


def rows(file):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in json.loads(file.read_text())]


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """900 of the digits as PNG: another reference."""
    files = tmp_path_factory.mktemp("half")
    for i, image in enumerate(digits_images()[::2]):
        Image.fromarray(image[0].numpy()).save(files / f"{i:04d}.png")
    return files


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluate") / "out"
    draw_and_measure(out)
    return out


@pytest.fixture(scope="module")
def evaluated(drawn, half):
    status, text, err = run_here("evaluate", "--out", drawn, "--reference", half)
    assert status == 0, err
    assert "reference " + str(half) + " (899 images)" in text
    (results,) = (drawn / "evaluations").iterdir()
    return results


def test_the_numbers_are_those_of_a_sweep_with_that_reference(tmp_path, evaluated, half):
    other = draw_and_measure(tmp_path / "other", reference=str(half))
    expected = [{k: v for k, v in row.items() if k not in TIMES} for row in other.metrics().values()]
    assert rows(evaluated / "metrics.json") == json.loads(json.dumps(expected))
    assert {file.name for file in (evaluated / "report").iterdir()} >= {"table.md", "samples.png"}


def test_nothing_is_drawn_and_nothing_measured_twice(drawn, evaluated, half):
    before = {file: file.stat().st_mtime_ns for file in drawn.rglob("*.parquet")}
    status, _, err = run_here("evaluate", "--out", drawn, "--reference", half)
    assert (status, "nothing to do" in err) == (0, True), err
    assert {file: file.stat().st_mtime_ns for file in drawn.rglob("*.parquet")} == before


def problems(out):
    inventory = Inventory(saved_run(str(out)))
    return verify(inventory, InProcess()), inventory


def test_a_grid_in_another_order_leaves_other_evaluations_well(drawn, evaluated):
    for etas in (["hat", "0"], ["0"], ["0", "hat"]):
        arguments = ["--config", drawn / "sweep.json", "--eta", *etas]
        assert run_here("sweep", *arguments)[0] == 0
        assert problems(drawn)[0] == []


def test_verify_knows_the_folder_and_what_is_made_from_what(drawn, evaluated):
    opened = saved_run(str(drawn))
    run_here("sweep", "--config", drawn / "sweep.json")  # its metrics.json and report
    assert problems(drawn)[0] == []
    setting = opened.settings[0]
    prefix = evaluated.relative_to(drawn)
    victim = f"{prefix}/{folder('features', setting.slug)}/seeds-000000020-000000040.parquet"
    whole = (drawn / victim).read_bytes()
    (drawn / victim).write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    (drawn / prefix / "stray").write_text("")
    try:
        bad, inventory = problems(drawn)
        assert {(p.kind, p.path) for p in bad} == {("bad", victim), ("surplus", f"{prefix}/stray")}
        assert inventory.made_from(bad) == {
            victim,
            f"{prefix}/stray",
            f"{prefix}/{folder('features', setting.slug)}/_metrics.json",
        }
    finally:
        (drawn / victim).write_bytes(whole)
        (drawn / prefix / "stray").unlink()


def test_a_sweep_with_another_reference_is_sent_here(drawn, half):
    status, _, err = run_here("sweep", "--config", drawn / "sweep.json", "--reference", half)
    assert (status, "measure it by jobs/evaluate.py" in err, len(err.splitlines())) == (2, True, 1), err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--extractor", "none"], "--extractor none is unknown"),
        (["--reference", "none.npz"], "--reference none.npz: no such file"),
        (["--num-workers", "0"], "--num-workers"),
        (["--extractor-weights", "README.md"], "cannot be loaded"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(drawn, arguments, says):
    before = sorted(drawn.rglob("*"))
    status, text, err = run_here("evaluate", "--out", drawn, *arguments)
    assert (status, text, says in err, len(err.splitlines())) == (2, "", True, 1), err
    assert sorted(drawn.rglob("*")) == before


def test_on_a_cluster_a_relative_path_is_refused_before_anything_is_written(drawn, half, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    before = sorted(drawn.rglob("*"))
    arguments = ["--out", relpath(drawn, ROOT), "--reference", half]
    status, text, err = run_here("evaluate", *arguments)
    assert (status, text, len(err.splitlines()), "a relative path is lost" in err) == (2, "", 1, True), err
    assert sorted(drawn.rglob("*")) == before


def test_an_unfinished_run_is_refused(tmp_path, drawn):
    shutil.copytree(drawn, tmp_path / "out")
    (tmp_path / "out" / saved_run(str(drawn)).shards()[3].path("images")).unlink()
    status, _, err = run_here("evaluate", "--out", tmp_path / "out")
    assert (status, "lacks 1 image files: finish the sweep first" in err) == (2, True), err


def test_reference_writes_what_others_and_we_read(tmp_path, drawn):
    for name in ("r.npz", "r.parquet"):
        arguments = ["--reference", "digits", "--extractor", "digits-classifier", "--to", tmp_path / name]
        status, text, err = run_here("reference", *arguments)
        assert (status, '"num_images": 1797' in text) == (0, True), err
        status, _, err = run_here("reference", *arguments)
        assert (status, "must be a new file" in err, len(err.splitlines())) == (2, True, 1), err
    with np.load(tmp_path / "r.npz") as content:
        assert content["mu"].shape == (64,)
        assert content["sigma"].shape == (64, 64)
        assert json.loads(str(content["provenance"]))["source"] == "digits"
    own = saved_run(str(drawn)).metrics()
    for name in ("r.npz", "r.parquet"):
        status, _, err = run_here("evaluate", "--out", drawn, "--reference", tmp_path / name)
        assert status == 0, err
    opened = saved_run(str(drawn))
    by_kind = {
        run.measurement.reference.kind: run.metrics() for run in evaluations(opened, opened.storage.find()).values()
    }
    for setting, row in own.items():
        assert by_kind["statistics"][setting]["fid"] == row["fid"]
        assert by_kind["statistics"][setting]["kid_mean"] is None
        for name in ("fid", "kid_mean", "precision", "recall"):
            assert by_kind["features"][setting][name] == row[name]


def test_an_extractor_that_the_test_registers(drawn, monkeypatch):
    toy_extractor.registered(monkeypatch)
    status, text, err = run_here("evaluate", "--out", drawn, "--extractor", "quarters")
    assert (status, "features of quarters" in text, "IS ↑" in text) == (0, True, True), err
    opened = saved_run(str(drawn))
    run = next(run for path, run in evaluations(opened, opened.storage.find()).items() if "quarters" in path)
    assert problems(drawn)[0] == []
    shard = run.shards()[0]
    found = read_features(run.storage, run.measurement.prefix + shard.path("features"))
    pixels, _ = read_images(run.storage, shard, shard.setting.fingerprint(run.identity))
    means = pixels[..., 0].reshape(-1, 2, 4, 2, 4).mean(axis=(2, 4)).reshape(-1, 4)  # of whole numbers, so exact
    assert found.features.tolist() == means.tolist()
    assert found.logits.tolist() == (torch.from_numpy(means).float() / 50).tolist()


def bad_of(out, results):
    return [problem for problem in problems(out)[0] if problem.path.startswith(f"{results.relative_to(out)}/")]


def made_by_an_earlier_release(results):
    """Turn an evaluation without logits into what earlier releases wrote: features again as logits, and their IS."""
    storage = Storage(str(results))

    def with_score(row):
        options = row["options"] | {"isc_splits": 10}
        return row | {"is_mean": 2.5, "is_std": 0.1, "is_se": 0.05, "options": options}

    for path in storage.find():
        if "setting=" in path and path.endswith(".parquet"):
            part = read_features(storage, path)
            write_features(storage, path, part.seeds[0], part.features, part.features, part.metadata)
        elif path.endswith("_metrics.json"):
            storage.write_json(path, with_score(storage.read_json(path)))
    rows = json.loads(storage.read("metrics.json"))
    storage.write("metrics.json", json.dumps([*map(with_score, rows)]).encode())


def test_without_logits_there_is_no_is_anywhere(drawn, one_layer):
    status, text, err = run_here("evaluate", "--out", drawn, "--extractor", one_layer)
    assert status == 0, err
    (results,) = (drawn / "evaluations").glob("one-layer-*")

    def assert_no_is(text, says):
        assert f"IS needs logits, and one-layer has features alone{says}." in text
        report = results / "report"
        for table in (text, (report / "table.md").read_text(), (report / "table.tex").read_text()):
            assert "FID" in table
            assert "IS ↑" not in table
            assert "IS $" not in table
        for row in csv.DictReader((report / "table.csv").open()):
            assert (row["is_mean"], row["is_std"], row["is_se"], float(row["fid"]) > 0) == ("", "", "", True)
        page = Page((report / "index.html").read_text())
        place = [column.key for column in columns()].index("is_mean") - len(columns())
        assert [row[place] for row in page.settings()] == ["–", "–"]
        numbers = json.loads((results / "metrics.json").read_text())
        assert [row["is_mean"] for row in numbers] == [row["is_std"] for row in numbers] == [None] * 2
        # of one layer with the digits classifier
        assert [row["fid"] for row in numbers] == [row["fid"] for row in saved_run(str(drawn)).metrics().values()]
        assert bad_of(drawn, results) == []

    assert_no_is(text, "")
    made_by_an_earlier_release(results)
    assert bad_of(drawn, results) == []
    next(results.rglob("_metrics.json")).unlink()  # as if interrupted
    before = {file: file.stat().st_mtime_ns for file in results.rglob("*.parquet")}
    status, text, err = run_here("evaluate", "--out", drawn, "--extractor", one_layer)
    assert status == 0, err
    assert {file: file.stat().st_mtime_ns for file in results.rglob("*.parquet")} == before
    assert_no_is(text, "; the IS that an earlier release wrote was made of features, and was none")
