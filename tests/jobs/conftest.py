"""A finished sweep, and a copy of it to damage."""

import shutil

import pytest
from drawn import CONFIG
from here import run_here
from places import GRID, Place, draw_and_measure

from pipeline.sweep.run import open_run
from pipeline.work.draw import Draw, DrawWorker


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished sweep, and another one of another seed. Tests change copies, and add outputs beside them."""
    base = tmp_path_factory.mktemp("finished")
    draw_and_measure(base / "other", seed=1)
    draw_and_measure(base / "out")
    status, _, err = run_here("sweep", *GRID, "--out", base / "out")  # metrics.json and the report
    assert (status, "nothing to do" in err) == (0, True), err
    return base


@pytest.fixture
def place(finished, tmp_path):
    shutil.copytree(finished / "out", tmp_path / "out")
    return Place(str(tmp_path / "out"))


@pytest.fixture(scope="session")
def expected(tmp_path_factory):
    """The digests that one plain worker draws, without Ray, last shard first."""
    opened = open_run(CONFIG.model_copy(update={"out": str(tmp_path_factory.mktemp("plain"))}))
    worker = DrawWorker("cpu", Draw(opened).arguments)
    return {shard.path("images"): worker.do(shard).end().digest for shard in reversed(opened.shards())}
