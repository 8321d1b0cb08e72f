"""Where a search begins: ends, order and evenness of the named grids, on a table, one that ends in 0, and a flow."""

import itertools

import numpy as np
import pytest
from schedules import FLOW, SCHEDULE, zero_snr

from pipeline.tuning.grids import named

SCHEDULES = {"table": SCHEDULE, "zero terminal SNR": zero_snr(1000), "flow": FLOW}


@pytest.mark.parametrize("count", [1, 2, 4, 6, 11])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_every_grid_ascends_within_the_schedule_and_is_no_others(schedule, count):
    grids = named(schedule, count)
    assert len({*grids.values()}) == len(grids)
    for name, times in grids.items():
        assert len(times) == count, name
        assert all(a < b for a, b in itertools.pairwise(times)), name
        assert 0 <= times[0] <= times[-1] <= schedule.last, name


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_families_have_the_ends_that_their_names_say(schedule):
    lowered = {name: times for name, times in named(schedule, 6).items() if " = " in name}
    for name, times in lowered.items():
        assert times[0] == schedule.first
        _, _, start = name.partition(" from ")
        assert times[-1] == (pytest.approx(float(start)) if start else schedule.last), name
    starts = {times[-1] / schedule.last for times in lowered.values()}
    assert sorted(starts) == pytest.approx([0.6, 0.7, 0.8, 0.9, 1])


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_named_spacings_come_first_as_they_are_and_only_with_so_many_times(schedule):
    grids = named(schedule, 6)
    spacings = {name: grids[name] for name in schedule.spacings if name in grids}
    assert [*grids][: len(spacings)] == [*spacings]
    assert all([*times] == schedule.tau(name, 6) for name, times in spacings.items())
    assert {*schedule.spacings} - {*spacings} <= {"linear"}  # 1000 // 6 = 166 gives seven times
    assert "linear" in named(SCHEDULE, 5)
    assert "linear" not in named(SCHEDULE, 6)
    assert "quadratic" not in named(SCHEDULE, 50)  # 49 different ones


@pytest.mark.parametrize("start", ["", " from {:g}"])
@pytest.mark.parametrize("schedule", [SCHEDULE, FLOW], ids=["table", "flow"])
def test_each_family_is_even_in_what_its_parameter_says(schedule, start):
    grids = named(schedule, 7)
    last = 0.8 * schedule.last if start else schedule.last
    inner = 7 if start or schedule is SCHEDULE else 6  # the flow's last time has no signal, and stands alone

    def times(name):
        return np.array(grids[name + start.format(last)])[:inner]

    def lam(times):
        return np.array([schedule.node(t).lam for t in times])

    for rho in (3, 5, 10):
        assert_even(np.exp(-lam(times(f"karras ρ = {rho}")) / rho))
    for power in (1.5, 2.5, 3):
        assert_even(
            (np.array(grids[f"time power = {power:g}" + start.format(last)]) - schedule.time_0.t) ** (1 / power)
        )
    for shift in (-1, -0.5, 0.5, 1):
        lams = lam(times(f"logsnr shift = {shift:g}"))
        plain = np.linspace(lams[0], lams[-1], inner)
        np.testing.assert_allclose(lams[1:-1] - plain[1:-1], shift, atol=1e-5)


def assert_even(values):
    # nodes are rounded to 2^-21 of a timestep, which at time 0 moves lam by some 1e-6
    np.testing.assert_allclose(values, np.linspace(values[0], values[-1], len(values)), rtol=1e-5)


def test_a_shift_that_leads_beyond_an_end_gives_no_grid():
    """Even in 40 times, lam moves by 0.25 a time: a shift of 1 puts some of them beyond an end."""
    for schedule in (SCHEDULE, FLOW):
        assert not any("logsnr shift = 1" in name or "logsnr shift = -1" in name for name in named(schedule, 40))
        assert any("logsnr shift = 0 from" in name for name in named(schedule, 40))
