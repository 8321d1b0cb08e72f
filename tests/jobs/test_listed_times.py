"""Real-valued times as a spacing: drawn, resumed under one name, verified, compared and reported."""

import json

import pyarrow.parquet as pq
import pytest
from here import run_here

TIMES = "0,39.5,95.25,313,452,774"
SLUG = "unipc-S5-tauc3f65339"
SMALL = ["--sampler", "unipc", "--steps", "5", "--num-images", "30", "--batch-size", "10", "--shard-size", "20"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("listed") / "out"
    status, text, err = run_here("sweep", *SMALL, "--spacing", TIMES, "time-quadratic", "--out", out)
    assert status == 0, err
    return out, text


def test_the_network_sees_the_times_and_the_table_names_them(drawn):
    out, text = drawn
    listed, named = json.loads((out / "metrics.json").read_text())
    assert (listed["spacing"], listed["steps"], listed["nfe"]) == (TIMES, 5, 5)
    assert (named["spacing"], named["nfe"]) == ("time-quadratic", 5)
    assert 0 < listed["fid"] != named["fid"] > 0
    file = next((out / "images" / f"setting={SLUG}").glob("*.parquet"))
    setting = json.loads(pq.ParquetFile(file).metadata.metadata[b"ddim"])["setting"]
    assert (setting["slug"], setting["tau"]) == (SLUG, [39.5, 95.25, 313, 452, 774])  # time 0 is shown to no network
    assert f"FID ↓, {TIMES} τ" in text


def test_it_is_resumed_under_the_same_name_however_it_is_written(drawn):
    out, text = drawn
    for arguments in (
        [*SMALL, "--spacing", "0.0,39.50,95.25,313,4.52e2,774", "time-quadratic"],
        ["--config", out / "sweep.json"],
    ):
        status, again, err = run_here("sweep", *arguments, "--out", out)
        assert (status, "nothing to do" in err) == (0, True), err
        assert again == text
    names = {folder.name for folder in (out / "images").iterdir()}
    assert names == {f"setting={SLUG}", "setting=unipc-S5-time-quadratic"}
    status, said, _ = run_here("verify", "--out", out)
    assert (status, "0 problems" in said) == (0, True), said


def test_it_is_compared(drawn):
    out, _ = drawn
    status, text, err = run_here("compare", f"{out}#{SLUG}", f"{out}#unipc-S5-time-quadratic")
    assert (status, err) == (0, "")
    assert text.count(SLUG) > 1
