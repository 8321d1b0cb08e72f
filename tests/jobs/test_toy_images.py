"""A source of images that the test registers is a reference, is extracted by shards, and is reconstructed."""

import json

import pyarrow.parquet as pq
import pytest
import torch
import toy_images
from here import run_here

from pipeline.evaluation import reference_images
from pipeline.evaluation.extractors import make_extractor
from pipeline.evaluation.features import extract
from pipeline.evaluation.metrics import compute_metrics
from pipeline.evaluation.reference import Reference
from pipeline.images.registry import SOURCES
from pipeline.sweep.measured import measured_reference, read_setting
from pipeline.sweep.run import saved_run
from pipeline.sweep.shards import plan


@pytest.fixture(autouse=True)
def registered():
    SOURCES.append(toy_images.TOY)
    yield
    SOURCES.remove(toy_images.TOY)


def test_as_reference_and_features(tmp_path, monkeypatch):
    """As told by its name alone: in shards of 20, whose numbers are those of the plain functions on its images."""
    monkeypatch.setattr(reference_images, "SHARD_SIZE", 20)
    given = ["--steps", "2", "--eta", "0", "--num-images", "30", "--batch-size", "10", "--reference", "toy:45"]
    status, _, err = run_here("sweep", *given, "--out", tmp_path / "out")
    assert status == 0, err
    run = saved_run(str(tmp_path / "out"))
    (setting,) = run.settings
    extractor = make_extractor(run.measurement.extractor, "cpu")
    plain = extract(extractor, toy_images.toy_images(45), "cpu", 10)[0]
    assert torch.equal(measured_reference(run.storage, run.measurement).features, plain)
    _, whole = read_setting(run.storage, run.measurement, plan(setting, 30, run.config.shard_size))
    row = run.metrics()[setting]
    assert row["fid"] == compute_metrics(whole.features, whole.logits, Reference.of(plain))["fid"]
    assert (row["reference"]["source"], row["reference"]["num_images"]) == ("toy:45", 45)
    assert run_here("verify", "--out", tmp_path / "out")[0] == 0


def test_as_images_of_a_reconstruction(tmp_path):
    given = ["--images", "toy:12", "--steps", "2", "--out", tmp_path / "out"]
    status, _, err = run_here("reconstruct", *given)
    assert status == 0, err
    (row,) = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert row["num_images"] == 12
    status, _, err = run_here("reconstruct", "--images", "toy:1", "--out", tmp_path / "one")
    assert (status, err) == (2, "error: --images toy:1 has 1 image: an error needs two\n")


def test_what_it_gives_is_named_and_none_is_refused(tmp_path):
    status, _, err = run_here("sweep", "--reference", "toy:0", "--out", tmp_path / "out")
    assert (status, len(err.splitlines())) == (2, 1), err
    assert "--reference toy:0 has no images: give an .npz, a folder with some, Parquet, " in err
    assert err.endswith(", digits or toy:N\n")


def test_in_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr(reference_images, "SHARD_SIZE", 8)
    given = ["--reference", "toy:20", "--extractor", "digits-classifier", "--batch-size", "8"]
    status, text, err = run_here("reference", *given, "--to", tmp_path / "toy.parquet")
    assert status == 0, err
    assert pq.read_metadata(tmp_path / "toy.parquet").num_rows == 20
    assert json.loads(text.splitlines()[0])["shard_size"] == 8
