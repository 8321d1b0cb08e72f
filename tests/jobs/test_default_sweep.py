"""The default sweep shows the paper's pattern in real numbers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_default_table_has_the_papers_shape(tmp_path):
    command = [sys.executable, "jobs/sweep.py", "--out", str(tmp_path / "out")]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    rows = json.loads((tmp_path / "out" / "metrics.json").read_text())
    fid = {(row["eta"], row["steps"]): row["fid"] for row in rows}
    for steps in (5, 10):
        others = [fid[eta, steps] for eta in (0.0, 0.2, 0.5, 1.0)]
        assert fid["hat", steps] > 2 * max(others)
        assert fid[1.0, steps] > fid[0.0, steps]
    for eta in (0.0, 0.2, 0.5, 1.0, "hat"):
        # to S = 20 by far more than FID's noise, a fifth of its value at 2,000 images
        assert fid[eta, 5] > fid[eta, 10] > fid[eta, 20] > fid[eta, 50]
    gain_of_last_50 = fid[0.0, 50] - fid[0.0, 100]
    assert gain_of_last_50 < 0.1 * (fid[0.0, 10] - fid[0.0, 100])
    calls = {row["nfe"]: row["images_per_second"] * row["nfe"] for row in rows if row["eta"] == 0.0}
    assert calls.keys() == {5, 10, 20, 50, 100}
