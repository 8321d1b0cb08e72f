"""The page of a sweep that runs: there before the sweep ends, never in the way of it."""

import threading
import time
from pathlib import Path

import pytest
from in_process import InProcess

from pipeline.cluster import monitor
from pipeline.storage.store import StorageError
from pipeline.sweep.run import open_run
from pipeline.work import growing
from pipeline.work.draw import DrawWorker
from pipeline.work.flow import flow
from pipeline.work.growing import growing_page
from pipeline.work.perform import IncompleteError

WAIT = 60
"""Seconds, far beyond what a busy machine takes, after which what has not happened never will."""


def until(true):
    deadline = time.monotonic() + WAIT
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()


@pytest.fixture
def begun(small):
    return open_run(small)


def test_the_page_grows_with_the_sweep(begun, monkeypatch):
    """The last setting's last image is drawn only when the page has the first setting."""
    monkeypatch.setattr(monitor, "SECONDS_BETWEEN_STATES", 0.0)
    page, do, seen = Path(begun.config.out) / "report" / "index.html", DrawWorker.do, []

    def slow(self, shard):
        if (shard.setting, shard.first) == (begun.settings[1], 75):
            # the page that was being written when the first row came may lack it: ask for another
            seen.append(until(lambda: write() or (page.exists() and "1 of 2 settings measured" in page.read_text())))
        return do(self, shard)

    monkeypatch.setattr(DrawWorker, "do", slow)
    with growing_page(begun, {}) as write:
        flow(begun, InProcess(), on_minute=write)
    assert seen == [True]


def test_before_the_first_minute_nothing_is_written(begun, monkeypatch):
    monkeypatch.setattr(monitor, "SECONDS_BETWEEN_STATES", float("inf"))
    with growing_page(begun, {}) as write:
        flow(begun, InProcess(), on_minute=write)
    assert not (Path(begun.config.out) / "report").exists()


def test_a_sweep_that_fails_leaves_the_page_of_what_it_has(begun, monkeypatch):
    do = DrawWorker.do

    def broken(self, shard):
        if shard.setting == begun.settings[0]:
            raise ValueError("not this setting")
        return do(self, shard)

    monkeypatch.setattr(DrawWorker, "do", broken)
    with pytest.raises(IncompleteError), growing_page(begun, {}) as write:
        flow(begun, InProcess(), on_minute=write)
    assert "1 of 2 settings measured" in (Path(begun.config.out) / "report" / "index.html").read_text()


def test_one_page_is_written_at_a_time_and_none_after_the_end(begun, monkeypatch):
    """A slow store keeps nobody waiting, and a lost one is for the work to find out."""
    go, pages = threading.Event(), []

    def slow(runs, seen):
        assert (
            runs[0].storage.patience == 0
        )  # else the run's end would wait for a lost store, as long as its own requests
        pages.append(len(seen))
        seen[f"{len(seen)}"] = None
        assert go.wait(WAIT)
        raise StorageError("the store is gone")

    monkeypatch.setattr(growing, "write_page", slow)
    with growing_page(begun, {}) as write:
        for _ in range(3):
            write()
        assert until(lambda: pages == [0])
        go.set()
        assert until(lambda: write() or len(pages) > 1)
    assert pages == [*range(len(pages))]
