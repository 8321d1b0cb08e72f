"""Second-hand numbers stand beside their own sampler, spacing and true calls, and nowhere else."""

import paper_tables
import pytest
from schedules import SCHEDULE

from pipeline.reporting import table
from pipeline.reporting.published import LATER_SAMPLERS, later_samplers, published_fid
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import settings

PUBLISHED = [
    ("ddim", "linear", (10, 20, 50), [18.77, 11.08, None]),
    ("ddim", "quadratic", (10, 20, 50), [None] * 3),
    ("ddim:eta=0.2", "linear", (10,), [None]),
    ("deis:variant=t", "time-quadratic", (10, 20, 50), [7.12, 4.53, 3.78]),
    ("deis", "time-quadratic", (10,), [None]),
    ("deis:variant=t,ab_order=2", "time-quadratic", (10,), [None]),
    ("dpm_solver:order=2", "logsnr", (12, 15, 20), [6.15, 5.23, 3.95]),  # 14 calls of 15
    ("dpm_solver:order=3", "logsnr", (12, 15, 20), [8.20, 5.21, 3.81]),
    ("dpm_solver:order=3", "karras", (12,), [None]),
    ("dpm_solver:end=zero", "logsnr", (12,), [None]),
    ("dpmpp_2m", "logsnr", (10, 20), [None, None]),
]


@pytest.mark.parametrize(("text", "spacing", "steps", "fids"), PUBLISHED)
def test_second_hand_numbers_stand_by_their_sampler_spacing_and_calls(text, spacing, steps, fids):
    config = SweepConfig(sampler=(text,), steps=steps, eta=None, spacing=(spacing,))
    assert [published_fid(setting) for setting in settings(config, SCHEDULE)] == fids
    clipped = config.model_copy(update={"clip": "always"})
    assert not any(published_fid(setting) for setting in settings(clipped, SCHEDULE))


def test_second_hand_numbers_are_marked_in_the_table():
    config = SweepConfig(sampler=("dpm_solver",), steps=(12, 20))
    numbers = {"fid": 1.0, "is_mean": 9.0, "is_std": 0.1, "images_per_second": 1.0}
    rows = {s: s.describe() | numbers | {"fid_published": published_fid(s)} for s in settings(config, SCHEDULE)}
    text = table.to_text(rows).splitlines()
    first = next(i for i, line in enumerate(text) if line.startswith("DPM-Solver-3"))
    assert text[first + 1].split() == ["published,", "second-hand", "8.20", "3.81"]


def test_later_samplers_are_those_of_the_second_transcription():
    assert paper_tables.read(paper_tables.LATER) == LATER_SAMPLERS
    lines = later_samplers().splitlines()
    assert "| DPM-Solver-3 |  | 8.20 |" in "\n".join(lines)
