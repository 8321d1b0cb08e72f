"""The plan covers every seed once, and what is pending follows from the listing alone."""

import pytest
from schedules import SCHEDULE

from pipeline.storage.store import Storage
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import settings
from pipeline.sweep.shards import Shard, pending, plan, plan_all

SETTINGS = settings(SweepConfig(steps=(5, 10), eta=(0.0,)), SCHEDULE)


@pytest.mark.parametrize(("num_images", "shard_size"), [(2000, 500), (90, 25), (2, 1000), (7, 1), (100, 100)])
def test_the_plan_covers_every_seed_once(num_images, shard_size):
    shards = plan(SETTINGS[0], num_images, shard_size)
    assert [seed for shard in shards for seed in range(shard.first, shard.end)] == list(range(num_images))
    assert all(0 < shard.rows <= shard_size for shard in shards)


def test_names_and_costs():
    shard = Shard(SETTINGS[1], 1000, 1500)
    assert shard.path("images") == "images/setting=ddim-S10-eta0-linear/seeds-000001000-000001500.parquet"
    assert (shard.rows, shard.cost) == (500, 5000)


def test_pending_is_planned_minus_found(tmp_path):
    storage = Storage(str(tmp_path))
    shards = plan_all(SETTINGS, 90, 25)
    storage.write(shards[1].path("images"), b"x")
    storage.write(shards[4].path("images"), b"x")
    storage.write(shards[5].path("images"), b"")  # an empty file is not a finished one
    storage.write("images/setting=ddim-S5-eta0-linear/seeds-000000000-000000090.parquet", b"of another plan")
    assert [*pending(storage, "images", shards)] == [shards[i] for i in (0, 2, 3, 5, 6, 7)]


def test_one_listing_a_setting(tmp_path, monkeypatch):
    storage = Storage(str(tmp_path))
    listed = []
    monkeypatch.setattr(storage, "ls", lambda folder: listed.append(folder) or {})
    shards = plan_all(SETTINGS, 1000, 10)
    assert len(pending(storage, "images", shards)) == 200
    assert len(listed) == 2


def test_shards_of_many_settings_are_a_sequence():
    shards = plan_all(SETTINGS, 90, 25)
    listed = [shard for s in SETTINGS for shard in plan(s, 90, 25)]
    assert [*shards] == [shards[i] for i in range(len(shards))] == listed
    assert [*reversed(shards)] == listed[::-1]
    assert (shards[-1], shards[2:5]) == (listed[-1], listed[2:5])
    with pytest.raises(IndexError):
        shards[8]
    assert not plan_all([], 90, 25)
