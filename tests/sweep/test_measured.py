"""Images a second of a setting: what a process that was stopped for a while does to them."""

import pytest
import torch

from pipeline.evaluation.features import Features
from pipeline.sweep.measured import images_per_second


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
