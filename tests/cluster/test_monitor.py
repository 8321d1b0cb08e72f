"""What an operator sees of a stage: each setting's line, metrics, and the dashboard that shows them."""

import json
import re
from pathlib import Path

import pytest
from schedules import SCHEDULE

from pipeline.cluster import monitor, progress
from pipeline.cluster.task import Task, Tasks
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import settings
from pipeline.sweep.shards import plan_all

ROOT = Path(__file__).parents[2]
GRID = settings(SweepConfig(steps=(10, 50), eta=(0.0,)), SCHEDULE)
SHARDS = Tasks(plan_all(GRID, 100, 50), lambda s: Task(s, s.full_name, s.setting.slug, s.rows, s.cost))
TEN, FIFTY = "ddim-S10-eta0-linear", "ddim-S50-eta0-linear"


@pytest.fixture
def clock(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(monitor.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 1e9)
    return clock


@pytest.fixture
def fed():
    return []


@pytest.fixture
def watcher(clock, fed):
    published = []

    def make(kind, name, text):
        return lambda value, tags: fed.append((name, tags["setting"], value))

    watcher = monitor.Monitor("drawing", SHARDS, make, lambda: published.append(1), lambda *_: None)
    watcher.published = published
    return watcher


def test_settings_that_moved_have_a_line_a_minute(watcher, clock, capsys):
    watcher.started(SHARDS[2])
    watcher.started(SHARDS[3])
    clock[0] += 20
    watcher.done(SHARDS[2], None, 20.0)
    watcher.failed(SHARDS[3], "OSError", final=False)
    watcher.started(SHARDS[3])
    watcher.tick(0.0)
    assert capsys.readouterr().err == ""
    clock[0] += 40
    watcher.tick(0.0)
    assert capsys.readouterr().err.splitlines() == [
        f"  {FIFTY}: 50 of 100 images, 1 shards in flight, 0 failed, 0.8 images/s, 60 s left"
    ]
    clock[0] += 60
    watcher.tick(0.0)
    assert capsys.readouterr().err == ""  # nothing has moved
    assert len(watcher.published) == 2


def test_metrics_follow_the_shards(watcher, fed, clock):
    fed.clear()
    watcher.started(SHARDS[0])
    watcher.done(SHARDS[0], None, 7.5)
    watcher.started(SHARDS[1])
    watcher.failed(SHARDS[1], "OSError", final=True)
    in_flight = [value for name, _, value in fed if name == "ddim_shards_in_flight"]
    assert in_flight == [1, 0, 1, 0]
    assert [entry for entry in fed if entry[0] not in ("ddim_shards_in_flight", "ddim_images_left")] == [
        ("ddim_images_total", TEN, 50),
        ("ddim_shard_seconds", TEN, 7.5),
        ("ddim_shard_failures_total", TEN, 1),
    ]
    assert [entry for entry in fed if entry[0] == "ddim_images_left"][-1] == ("ddim_images_left", TEN, 50)
    assert watcher.summary()[TEN] == {"images": 100, "done": 50, "in_flight": 0, "failed": 1}


def test_a_cluster_without_workers_is_told_every_minute(watcher, clock, capsys):
    for seconds in range(0, 181):
        watcher.tick(float(seconds))
    lines = [line for line in capsys.readouterr().err.splitlines() if "no worker" in line]
    assert lines == [f"drawing: no worker for {n} s, waiting for the cluster" for n in (60, 120, 180)]


def test_the_dashboard_shows_what_is_exported_and_nothing_else():
    dashboard = json.loads((ROOT / "docs" / "grafana.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    named = {name for text in expressions for name in re.findall(r"\bray_(ddim_\w+)", text)}
    exported = {f"{name}_bucket" if kind == "histogram" else name for name, (kind, _) in monitor.METRICS.items()}
    assert named == exported
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert {name for text in expressions for name in re.findall(r"\$(\w+)", text)} <= variables
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
