"""The text of a status: each number under its head, the whole by calls and not by images, the other stages."""

import math

from measured_rows import GRID

from pipeline.reporting.status import SettingStatus, Status, to_text

STAGES = {
    "drawing": {GRID[0].slug: {"images": 900, "done": 5, "in_flight": 4, "failed": 2}},
    "extracting": {GRID[0].slug: {"images": 700, "done": 310}, GRID[1].slug: {"images": 650, "done": 45}},
    "measuring": {},
}
RESULT = {
    **{"settings": 2, "images": 2100, "images_drawn": 5, "gpu_hours": 1.25, "cpu_hours": 0.5},
    **{"stages": STAGES, "failures": {}},
}
# 8 calls an image, 30 images in 5 s; 31 calls an image, 120 in 20 s and 60 s later than the first
FOUND = [
    SettingStatus(GRID[0], 900, 250, [(100.0, 40), (102.0, 10), (105.0, 20)]),
    SettingStatus(GRID[2], 1200, 480, [(160.0, 60), (170.0, 50), (180.0, 70)]),
]


def lines(state="running", age=17.0, found=FOUND, result=RESULT):
    return to_text(Status(state, age, result, found)).splitlines()


def test_every_number_is_under_its_head():
    head, one, other, whole, extracting, *_ = lines()
    names = ["setting", "done", "of", "in flight", "failed", "images/s", "left"]
    assert [head[at:end].strip() for at, end in COLUMNS] == names
    assert cells(one) == [GRID[0].slug, "250", "900", "4", "2", "6.0", "108 s"]  # 650 at 30 / 5 a second
    assert cells(other) == [GRID[2].slug, "480", "1,200", "0", "0", "6.0", "120 s"]  # 720 at 120 / 20
    # images: 210 after the first in 80 s. Calls: 30 · 8 + 180 · 31 = 5,820 in 80 s, of 650 · 8 + 720 · 31 = 27,520
    assert cells(whole) == ["drawn in all", "730", "2,100", "", "", "2.6", f"{27_520 / (5_820 / 80):,.0f} s"]
    assert cells(extracting) == ["extracting", "355", "1,350", "", "", "", ""]


COLUMNS = [(0, 34), (34, 46), (46, 58), (58, 68), (68, 75), (75, 85), (85, 95)]


def cells(line):
    return [line[at:end].strip() for at, end in COLUMNS]


def test_the_end_has_the_costs_and_the_last_sign():
    assert lines()[5:] == [
        "2 settings, 2,100 images (5 drawn now), 0 failures, 1.25 GPU hours, 0.50 CPU core hours",
        "running (last sign 17 s ago)",
    ]
    failed = lines("failed", found=FOUND[:1], result=RESULT | {"failures": {"a/b": "OSError: full"}})
    assert failed[-3:-1] == [
        "a/b: OSError: full",
        "2 settings, 2,100 images (5 drawn now), 1 failures, 1.25 GPU hours, 0.50 CPU core hours",
    ]


def test_what_does_not_run_has_nothing_in_flight_and_no_time_left():
    stopped = lines("stopped")
    assert cells(stopped[1]) == [GRID[0].slug, "250", "900", "0", "2", "6.0", "–"]
    assert cells(stopped[3])[-1] == "–"
    unknown = lines("unknown", math.nan, [SettingStatus(GRID[0], 900, 0, [])], {})
    assert cells(unknown[1]) == [GRID[0].slug, "0", "900", "0", "0", "–", "–"]
    assert unknown[-1].endswith("or an earlier version wrote this")
