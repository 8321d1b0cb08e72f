"""The line: each task as soon as the files that it needs are there, whatever an earlier run has left."""

from pathlib import Path

import pytest
from in_process import InProcess

from pipeline.sweep.run import open_run
from pipeline.sweep.shards import Shard
from pipeline.work.draw import DrawWorker
from pipeline.work.extract import THE_REFERENCE, ExtractWorker
from pipeline.work.flow import flow
from pipeline.work.perform import IncompleteError


class Recorded(InProcess):
    """A cluster of one worker that remembers what it was given, as (work, setting, first seed)."""

    def __init__(self):
        super().__init__()
        self.log = []

    def submit(self, worker, task):
        name, own = task.item
        # of features and metrics with the paths of the measurements, of which there is one
        item = own.item if name == "drawing" else own.item[name == "metrics"]
        self.log.append((name, item) if isinstance(item, str) else (name, *_named(item)))
        super().submit(worker, task)


def _named(item):
    return (item.setting.slug, item.first) if hasattr(item, "setting") else (item.slug,)


FIRSTS = (0, 25, 50, 75)


def done(run):
    cluster = Recorded()
    flow(run, cluster)
    return cluster.log


def of(work, setting, firsts=FIRSTS):
    return [(work, setting.slug, first) for first in firsts]


def whole(setting):
    """Each shard's features follow its images, and the row follows the last."""
    both = zip(of("drawing", setting), of("features", setting), strict=True)
    return [step for pair in both for step in pair] + [("metrics", setting.slug)]


@pytest.fixture
def begun(small):
    return open_run(small)


@pytest.fixture
def finished(begun):
    flow(begun, InProcess())
    return begun


def lose(run, *paths):
    for path in paths:
        (Path(run.config.out) / path).unlink()


def test_a_setting_is_measured_before_the_next_is_drawn(begun):
    """Also where its last shard is short and the next setting costs as much; the reference comes before all."""
    eta0, hat = begun.settings
    assert done(begun) == [("features", THE_REFERENCE), *whole(eta0), *whole(hat)]
    assert len(begun.metrics()) == 2
    assert done(begun) == []


def test_what_is_lost_is_made_again_and_nothing_else(finished):
    run, eta0 = finished, finished.settings[0]
    shard = Shard(eta0, 25, 50)
    image, features, row = shard.path("images"), shard.path("features"), run.paths.row(eta0.slug)
    draw, extract, measure = ("drawing", eta0.slug, 25), ("features", eta0.slug, 25), ("metrics", eta0.slug)
    for lost, expected in (
        ([image], [draw]),
        ([features], [extract]),
        ([row], [measure]),
        ([image, row], [draw, measure]),
        ([features, row], [extract, measure]),
        ([image, features], [draw, extract]),
        ([image, features, row], [draw, extract, measure]),
        ([run.paths.reference], [("features", THE_REFERENCE)]),
        ([run.paths.reference, row], [("features", THE_REFERENCE), measure]),
    ):
        lose(run, *lost)
        assert done(run) == expected, lost
        assert len(run.metrics()) == 2
        assert done(run) == []


def test_missing_features_come_before_images_of_another_setting(finished):
    run = finished
    eta0, hat = run.settings
    lose(run, Shard(hat, 75, 90).path("features"), run.paths.row(hat.slug), Shard(eta0, 0, 25).path("images"))
    assert done(run) == [("features", hat.slug, 75), ("metrics", hat.slug), ("drawing", eta0.slug, 0)]


def failing(monkeypatch, worker, breaks):
    do = worker.do

    def broken(self, item):
        if breaks(item):
            raise ValueError("not this one")
        return do(self, item)

    monkeypatch.setattr(worker, "do", broken)


def test_a_shard_that_fails_costs_its_own_setting_alone(begun, monkeypatch):
    eta0, hat = begun.settings
    failing(monkeypatch, DrawWorker, lambda shard: (shard.setting, shard.first) == (eta0, 25))
    cluster = Recorded()
    with pytest.raises(IncompleteError) as error:
        flow(begun, cluster)
    assert error.value.failures == {f"{eta0.slug}/seeds-000000025-000000050.parquet": "ValueError: not this one"}
    assert [*begun.metrics()] == [hat]
    assert set(of("features", eta0, (0, 50, 75))) <= set(cluster.log)
    assert ("features", eta0.slug, 25) not in cluster.log
    monkeypatch.undo()
    assert done(begun) == [("drawing", eta0.slug, 25), ("features", eta0.slug, 25), ("metrics", eta0.slug)]


def test_without_a_reference_all_else_is_done(begun, monkeypatch):
    failing(monkeypatch, ExtractWorker, lambda item: item[0] == THE_REFERENCE)
    cluster = Recorded()
    with pytest.raises(IncompleteError, match="the reference: ValueError: not this one"):
        flow(begun, cluster)
    assert [len([step for step in cluster.log if step[0] == name]) for name in ("drawing", "metrics")] == [8, 0]
    monkeypatch.undo()
    assert [name for name, *_ in done(begun)] == ["features", "metrics", "metrics"]
