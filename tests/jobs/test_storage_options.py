"""Storage options may hold a secret: bad ones are one line that does not repeat them, and no file has them."""

import json

import pytest
from here import run_here
from locked import OPTIONS
from places import draw_and_measure
from s3 import SECRET

from pipeline.regression.baseline import write_baseline
from pipeline.storage.store import Storage

TEXTS = {
    f'["{SECRET}"]': "must be a JSON object",
    f'"{SECRET}"': "must be a JSON object",
    f'{{"secret": "{SECRET}"': "is not JSON",
    f'{{"secret": {SECRET}}}': "is not JSON",
    SECRET: "is not JSON",
    "[1]": "must be a JSON object",
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("job", ["sweep", "status", "verify", "evaluate", "export", "report", "nightly", "compare"])
def test_bad_options_are_one_line_that_does_not_repeat_them(tmp_path, job, text):
    more = ["--setting", "x", "--png", tmp_path / "png"] if job == "export" else []
    where = [tmp_path, tmp_path] if job == "compare" else ["--out", tmp_path / "out"]
    arguments = [*where, *more, "--storage-options", text]
    status, out, err = run_here(job, *arguments)
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert f"error: --storage-options {TEXTS[text]}" in err
    assert text not in err
    assert SECRET not in err
    assert list(tmp_path.iterdir()) == []


def test_every_job_opens_what_it_reads_and_writes_by_them(tmp_path, locked):
    """A store that refuses who has them not: one opening without them would end the job."""
    grid = {"steps": (2,), "num_images": 20, "batch_size": 10, "shard_size": 10}
    out, baseline = f"{locked}/out", f"{locked}/baseline"
    slug = draw_and_measure(out, OPTIONS, **grid).settings[0].slug
    (tmp_path / "sweep.json").write_bytes(Storage(out, OPTIONS).read("sweep.json"))
    for job, *arguments in (
        ("sweep", "--config", tmp_path / "sweep.json", "--out", out),
        ("status", "--out", out),
        ("verify", "--out", out, "--repair"),
        ("evaluate", "--out", out),
        ("export", "--out", out, "--setting", slug, "--png", tmp_path / "png"),
        ("report", "--out", out),
        ("compare", out, out),
        ("nightly", "--update-baseline", "--baseline", baseline, "--out", out),
        ("nightly", "--baseline", baseline, "--out", f"{locked}/nights", "--speed-tolerance", "0.99"),
        ("reconstruct", "--steps", "2", "--num-images", "4", "--out", f"{locked}/reconstruction"),
        ("trajectory", "--steps", "2", "--sampler", "ddim", "--seeds", "0", "--out", f"{locked}/trajectory"),
    ):
        status, _, err = run_here(job, *arguments, "--storage-options", json.dumps(OPTIONS))
        assert status == 0, (job, err)
        status, text, err = run_here(job, *arguments)
        assert (status, text, len(err.splitlines()), "it is locked" in err) == (2, "", 1, True), (job, err)


def test_no_file_has_the_options(tmp_path):
    options = {"secret": SECRET}
    grid = {"steps": (5,), "num_images": 20, "batch_size": 10, "shard_size": 10}
    opened = draw_and_measure(tmp_path / "out", options, **grid)
    assert opened.storage_options == options
    # all is drawn, so the job claims the output again, says how the run ended, and writes the report
    arguments = ["--config", tmp_path / "out" / "sweep.json", "--out", tmp_path / "out"]
    status, out, err = run_here("sweep", *arguments, "--storage-options", json.dumps(options))
    assert status == 0, err
    write_baseline(Storage(str(tmp_path / "baseline"), options), opened)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    names = {file.name for file in files}
    assert {"sweep.json", "result.json", "metrics.json", "table.md", "baseline.json"} <= names
    assert len([name for name in names if name.endswith(".parquet")]) > 2
    assert [file for file in files if SECRET.encode() in file.read_bytes()] == []
    assert SECRET not in out + err
