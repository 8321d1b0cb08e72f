"""Nodes that die or come in the middle of a sweep: every image is there once, as if nothing had happened."""

import json
import subprocess
import sys

import pytest
from cluster_sweep import GRID, SHARDS, digests
from clusters import ENVIRONMENT, authentication
from processes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    "scenario",
    ["one", "all", "late"],
    ids=["one of two dies", "both die and one comes", "one comes late"],
)
def test_images_do_not_tell_what_nodes_went_through(scenario, undisturbed, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, str(ROOT / "tests" / "helpers" / "nodes.py"), scenario, str(out), *GRID]
    environment = ENVIRONMENT | authentication(tmp_path) | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=800)
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout.splitlines()[-1])
    assert said["status"] == 0, said["err"]
    assert 8 <= said["at"] < SHARDS  # it happened in the middle
    assert said["last_was_used"]
    assert digests(out) == undisturbed
    assert "finished: 2 settings, 1,920 images (1,920 drawn now), 0 failures" in said["err"]
