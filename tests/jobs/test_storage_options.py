"""Storage options may hold a secret: bad ones are one line that does not repeat them, and no file has them."""

import json

import pytest
from here import run_here
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
