"""Which setting is the largest S of which others: those of the same sampler, spacing and clipping."""

from schedules import SCHEDULE

from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import settings
from pipeline.sweep.measured import largest_of


def test_the_largest_is_of_the_same_sampler_spacing_and_clipping():
    config = {"sampler": ("ddim:eta=0", "ddim:eta=1", "heun"), "eta": None, "spacing": ("linear", "karras")}
    plain = settings(SweepConfig(**config, steps=(20, 5, 10)), SCHEDULE)
    clipped = settings(SweepConfig(**config, steps=(50,), clip="always"), SCHEDULE)
    largest = largest_of([*plain, *clipped])
    assert len(largest) == 2 * 3 * 2
    for setting, other in largest.items():
        assert (other.sampler, other.spacing, other.clip) == (setting.sampler, setting.spacing, False)
        assert (setting.steps in (5, 10), other.steps) == (True, 20)
