"""`--spacing tuned`: rows, reports and studies of grids that ship for a model; and what is not in the table."""

import json

import pytest
from here import run_here

from pipeline.diffusion import model
from pipeline.sweep.model import read_model

GRIDS = {
    "unipc": {3: (0, 45, 338, 688), 5: (0, 39.5, 95, 313, 452, 774)},
    "ddim": {4: (10, 139.5, 400, 800)},
}
IMAGES = ["--num-images", "20", "--batch-size", "10", "--shard-size", "10"]
SWEEP = ["sweep", "--sampler", "unipc", "--steps", "3", "4", "5", "--spacing", "tuned", *IMAGES]


@pytest.fixture
def ships(monkeypatch):
    """Let a table ship for the embedded model."""
    digest = read_model("digits").info.digest

    def ship(**of_unipc):
        changed = GRIDS | {"unipc": GRIDS["unipc"] | {int(s[1:]): tau for s, tau in of_unipc.items()}}
        monkeypatch.setattr(model, "tuned_grids", lambda asked: changed if asked == digest else {})

    ship()
    return ship


def test_a_sweep_is_drawn_verified_and_not_mixed_with_one_of_other_times(tmp_path, ships):
    out = ["--out", tmp_path / "out"]
    status, text, err = run_here(*SWEEP, *out)
    assert (status, "not 4, in spacing tuned: no cell at S = 4" in err) == (0, True), err
    rows = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert [(row["spacing"], row["steps"], row["nfe"]) for row in rows] == [("tuned", 3, 3), ("tuned", 5, 5)]
    assert "FID ↓, tuned τ" in text
    assert "tuned" in (tmp_path / "out" / "report" / "index.html").read_text()
    status, said, err = run_here("verify", *out)
    assert (status, "0 problems" in said) == (0, True), said
    status, again, err = run_here(*SWEEP, *out)
    assert (status, again) == (0, text), err
    ships(S5=(0, 39.5, 95, 313, 452, 775))
    file = tmp_path / "out" / "images" / "setting=unipc-S5-tuned" / "seeds-000000000-000000010.parquet"
    status, text, err = run_here(*SWEEP, *out)
    assert (status, text) == (1, "")
    assert f"error: {file}: it has fingerprint " in err
    status, said, err = run_here("verify", *out)
    assert status == 1
    assert f"bad      {file}: it has fingerprint " in said
    assert "setting=unipc-S3-tuned" not in said


@pytest.mark.usefixtures("ships")
def test_studies_walk_it(tmp_path):
    for job, *arguments in (
        ("trajectory", "--sampler", "unipc", "--steps", "5", "--seeds", "0", "1"),
        ("interpolate", "--sampler", "unipc", "--steps", "3", "--seeds", "0", "1", "2", "3", "--count", "3"),
        ("reconstruct", "--sampler", "ddim", "--steps", "4", *IMAGES),
    ):
        out = ["--out", tmp_path / job]
        status, _, err = run_here(job, *arguments, "--spacing", "tuned", "--batch-size", "10", *out)
        assert status == 0, err
        assert any("-tuned" in str(file.relative_to(tmp_path)) for file in (tmp_path / job).rglob("*.parquet"))
        status, said, _ = run_here("verify", *out)
        assert (status, "0 problems" in said) == (0, True), said


def test_what_the_table_has_not_is_one_line_and_nothing_is_written(tmp_path, ships, tiny_model):
    for arguments, says in {
        (
            "--sampler",
            "unipc",
            "--steps",
            "7",
            "9",
        ): "--steps: UniPC-2 has tuned grids at S = 3, 5 on this model, not 9",
        ("--sampler", "heun", "--steps", "5"): "--spacing: Heun has no tuned grids on this model, which has those of",
        ("--sampler", "unipc", "--model", tiny_model): "--spacing: this model has no tuned grids: jobs/tune.py finds",
    }.items():
        status, text, err = run_here("sweep", *arguments, "--spacing", "tuned", "--out", tmp_path / "out")
        assert (status, text, err.count("\n")) == (2, "", 1)
        assert says in err
    assert not (tmp_path / "out").exists()
