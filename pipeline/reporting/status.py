"""The progress of a sweep, read only from its output: result.json and one listing per setting."""

import math
from dataclasses import dataclass
from typing import Any

from pipeline.storage.store import Storage
from pipeline.sweep.grid import Setting
from pipeline.sweep.layout import RESULT, folder
from pipeline.sweep.result import FAILED, FINISHED, RUNNING, STOPPED, seconds_of, summary
from pipeline.sweep.shards import Shards
from pipeline.text_table import text_table

SECONDS_UNTIL_KILLED = 300.0
"""Age of result.json at which a running sweep counts as killed: it writes the file about once a minute."""
KILLED, INCOMPLETE, UNKNOWN = "killed", "incomplete", "unknown"

_MEANING = {
    RUNNING: "running",
    FINISHED: "finished",
    FAILED: "failed: the same command tries again what is missing",
    STOPPED: "stopped: the same command goes on",
    KILLED: "killed, it says nothing any more: the same command goes on",
    INCOMPLETE: "finished, but images have gone since: the same command draws them",
    UNKNOWN: "there is no result.json: no sweep has got to its first image, or an earlier version wrote this",
}


@dataclass(frozen=True)
class SettingStatus:
    """What the listing of a setting's images shows."""

    setting: Setting
    images: int
    """Images planned."""
    done: int
    """Images in files that are there."""
    recent: list[tuple[float, int]]
    """(Time written in seconds since 1970, number of images) of each file of the last run, in order of time."""


@dataclass(frozen=True)
class Status:
    """A sweep's state and its settings."""

    state: str
    age: float
    """Seconds since result.json was written; nan if there is none."""
    result: dict[str, Any]
    """Content of result.json; {} if there is none."""
    drawn: list[SettingStatus]


def read_status(storage: Storage, shards: Shards, now: float) -> Status:
    """Return the status of the sweep in an output.

    Args:
        storage: the output.
        shards: the whole plan.
        now: seconds since 1970.

    Raises:
        DamagedFileError: result.json is broken.

    """
    result = storage.read_json(RESULT) if RESULT in storage.names() else {}
    started = seconds_of(result["started"]) if result else -math.inf
    drawn = []
    for setting, firsts in shards.parts:
        dated = storage.dated(folder("images", setting.slug))
        of_setting = Shards([(setting, firsts)], shards.num_images, shards.shard_size)
        files = sorted((dated[s.name][1], s.rows) for s in of_setting if dated.get(s.name, (0, 0.0))[0])
        recent = [file for file in files if file[0] >= started]
        drawn.append(SettingStatus(setting, shards.num_images, sum(rows for _, rows in files), recent))
    state = result.get("state", UNKNOWN)
    age = now - seconds_of(result["updated"]) if result else math.nan
    if state == RUNNING and age > SECONDS_UNTIL_KILLED:
        state = KILLED
    if state == FINISHED and any(one.done < one.images for one in drawn):
        state = INCOMPLETE
    return Status(state, age, result, drawn)


def rate(files: list[tuple[float, int]]) -> float:
    """Return the amount per second of (time, amount), in order of time, after the first; nan if no time passes."""
    seconds = files[-1][0] - files[0][0] if files else 0.0
    return sum(amount for _, amount in files[1:]) / seconds if seconds > 0 else math.nan


def to_text(status: Status) -> str:
    """Return the status as lines: one per setting, the totals, and the state."""
    stages = status.result.get("stages", {})
    table = [["setting", "done", "of", "in flight", "failed", "images/s", "left"]]
    for one in status.drawn:
        said = stages.get("drawing", {}).get(one.setting.slug, {})
        in_flight = said.get("in_flight", 0) if status.state == RUNNING else 0
        speed = rate(one.recent)
        left = _left((one.images - one.done) / speed, status.state) if speed else "–"
        counts = [f"{one.done:,}", f"{one.images:,}", f"{in_flight}", f"{said.get('failed', 0)}"]
        table.append([one.setting.slug, *counts, _number(speed), left])
    done, images = sum(one.done for one in status.drawn), sum(one.images for one in status.drawn)
    cost = sum((one.images - one.done) * one.setting.nfe for one in status.drawn)
    recent = sorted((time, rows, rows * one.setting.nfe) for one in status.drawn for time, rows in one.recent)
    speed = rate([(time, rows) for time, rows, _ in recent])
    calls = rate([(time, cost) for time, _, cost in recent])
    left = _left(cost / calls, status.state) if calls else "–"
    table.append(["drawn in all", f"{done:,}", f"{images:,}", "", "", _number(speed), left])
    others = {name: states for name, states in stages.items() if name != "drawing" and states}
    for name, states in others.items():
        table.append([name, *(f"{sum(state[key] for state in states.values()):,}" for key in ("done", "images"))])
    lines = [text_table(table, least=(34, 11, 11, 9, 6, 9, 9), gap=" ")]
    lines += [f"{name}: {error}" for name, error in status.result.get("failures", {}).items()]
    if status.result:
        lines.append(summary(status.result))
    sign = "" if math.isnan(status.age) else f" (last sign {status.age:,.0f} s ago)"
    return "\n".join([*lines, _MEANING[status.state] + sign])


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:,.1f}"


def _left(seconds: float, state: str) -> str:
    return f"{seconds:,.0f} s" if state == RUNNING and not math.isnan(seconds) else "–"
