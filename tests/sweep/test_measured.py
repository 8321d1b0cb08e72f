"""What is read of a setting: images a second, though a process was stopped, and the largest S of the same sampler."""

import pytest
import torch
from schedules import SCHEDULE

from pipeline.evaluation.features import Features
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import settings
from pipeline.sweep.measured import images_per_second, largest_of


def part(seconds, rows=20):
    nothing = torch.zeros(rows, 1)
    return Features([*range(rows)], nothing, nothing, {"seconds": seconds})


@pytest.mark.parametrize(("sound", "stopped"), [(4, 0), (3, 1), (2, 2), (1, 1)])
def test_files_that_were_stopped_leave_the_rate_as_it_is(sound, stopped):
    """A night of suspension in up to half of the files, in any of them."""
    parts = [part(2.0)] * sound + [part(30_000.0)] * stopped
    assert images_per_second(parts) == images_per_second(parts[::-1]) == 10.0


def test_a_last_file_of_few_images_leaves_the_rate_as_it_is():
    """It took a whole batch for them."""
    assert images_per_second([part(2.0), part(2.0, rows=1)]) == 10.0


def test_the_largest_is_of_the_same_sampler_spacing_and_clipping():
    config = {"sampler": ("ddim:eta=0", "ddim:eta=1", "heun"), "eta": None, "spacing": ("linear", "karras")}
    plain = settings(SweepConfig(**config, steps=(20, 5, 10)), SCHEDULE)
    clipped = settings(SweepConfig(**config, steps=(50,), clip="always"), SCHEDULE)
    largest = largest_of([*plain, *clipped])
    assert len(largest) == 2 * 3 * 2
    for setting, other in largest.items():
        assert (other.sampler, other.spacing, other.clip) == (setting.sampler, setting.spacing, False)
        assert (setting.steps in (5, 10), other.steps) == (True, 20)
