"""Time against calls: exact lines have no deviation, and a start-up cost is seen."""

import pytest
from measured_rows import by_setting

from pipeline.reporting import timing
from pipeline.sweep.method import labels


def row(nfe, seconds, eta=0.0):
    """A row of so many calls; S is another number."""
    return {
        **{"sampler": "ddim", "eta": eta, "steps": nfe - 1, "nfe": nfe, "spacing": "linear"},
        "images_per_second": 1 / seconds,
    }


def proportions(rows):
    return timing.proportions(by_setting(rows))


def names_of(found):
    return labels((one.method for one in found), short=True)


def to_line(found):
    return timing.to_line(found, names_of(found))


def test_a_line_through_the_origin_has_no_deviation():
    (found,) = proportions([row(s, 0.002 * s) for s in (5, 10, 50)])
    assert (found.seconds_a_call, found.points) == (pytest.approx(0.002), 3)
    assert found.deviation == pytest.approx(0, abs=1e-12)


def test_a_cost_that_does_not_grow_with_calls_is_a_deviation():
    """2 ms a call and 20 ms besides: relative least squares solved by hand for the rates 1/0.006 and 1/0.0024."""
    (found,) = proportions([row(5, 0.03), row(50, 0.12)])
    rates = 5 / 0.03, 50 / 0.12
    slope = sum(rates) / sum(rate**2 for rate in rates)
    assert found.seconds_a_call == pytest.approx(slope)
    assert found.deviation == pytest.approx(max(0.03 / (5 * slope) - 1, 1 - 0.12 / (50 * slope)))

    # no other slope has smaller squares of relative distances to it
    def squares(k):
        return sum((1 - k * rate) ** 2 for rate in rates)

    assert squares(slope) < min(squares(1.01 * slope), squares(0.99 * slope))


def test_each_sampler_has_its_line_and_one_budget_has_none():
    rows = [row(5, 0.01), row(10, 0.02), row(5, 0.03, eta=1.0), row(10, 0.06, eta=1.0), row(5, 1.0, eta=0.5)]
    found = proportions(rows)
    assert [(names_of(found)[one.method], round(one.seconds_a_call, 6)) for one in found] == [
        ("η = 0.0", 0.002),
        ("η = 1.0", 0.006),
    ]
    # 10 % more at one of two budgets: a slope of 2.09 ms, from which the times are up to 5 % off; by hand
    (text,) = to_line(proportions([*rows, row(5, 0.01, eta=0.2), row(10, 0.022, eta=0.2)]))
    assert text == (
        "Time follows calls: 2 ms to 6 ms a network call and image of one worker; measured times are within 5% of a "
        "line through the origin (η = 0.2)."
    )
    assert to_line(proportions(rows[-1:])) == []
