"""What is assumed of a model is said wherever its numbers are: run, plan, report, footers and studies."""

import json
import shutil

import pyarrow.parquet as pq
from here import run_here

from pipeline.sweep.model import model_folder

ASSUMED = "assumed DDPM's, linear β from 0.0001 to 0.02, T = 1,000 and ε"


def test_an_assumed_schedule_is_said_in_everything_that_is_made_with_it(tmp_path):
    shutil.copytree(model_folder("digits") / "unet", tmp_path / "model")
    options = ["--model", tmp_path / "model", "--out", tmp_path / "out", "--steps", "2", "--eta", "0"]
    options += ["--num-images", "40", "--shard-size", "20", "--batch-size", "20"]
    status, plan, err = run_here("sweep", *options, "--dry-run")
    assert (status, plan.count(ASSUMED), err) == (0, 1, "")
    status, text, err = run_here("sweep", *options)
    assert (status, text.count(ASSUMED), err.count(ASSUMED)) == (0, 1, 1), err
    out = tmp_path / "out"
    assert ASSUMED in (out / "report" / "table.md").read_text()
    page = (out / "report" / "index.html").read_text()
    assert ASSUMED.replace("'", "&#39;") in page[page.index('id="protocol"') :]
    (notes,) = json.loads((out / "sweep.json").read_text())["model"]["notes"]
    assert ASSUMED in notes
    footers = [json.loads(pq.read_metadata(file).metadata[b"ddim"]) for file in out.glob("images/*/*.parquet")]
    assert [notes in str(footer) for footer in footers] == [True, True]


def test_a_study_says_it_too(tmp_path):
    shutil.copytree(model_folder("digits") / "unet", tmp_path / "model")
    options = ["--model", tmp_path / "model", "--out", tmp_path / "out", "--steps", "2", "--num-images", "4"]
    status, text, err = run_here("reconstruct", *options)
    assert (status, text.count(ASSUMED), err.count(ASSUMED)) == (0, 1, 1), err
    (report,) = (tmp_path / "out" / "report").glob("*.txt")
    assert ASSUMED in report.read_text()


def test_the_embedded_model_needs_no_word(tmp_path):
    status, text, err = run_here("sweep", "--dry-run", "--out", tmp_path / "out")
    assert (status, "model:" in text, err) == (0, False, "")
