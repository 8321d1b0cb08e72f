"""The ladder: at how many calls the best default is as good as what was tuned, by as few draws as that takes."""

from dataclasses import dataclass

import pytest
from schedules import SCHEDULE
from tuned_answers import measured, setting

from pipeline.tuning.cost import same_quality
from pipeline.tuning.rounds import LADDER, Budget


@dataclass(frozen=True)
class Reciprocal(Budget):
    """FID of the best default at n calls is 1 / n."""

    def _best_default(self, calls):
        yield []
        return setting("ddim:eta=0", "time-linear", calls)

    def _measured(self, settings):
        yield []
        return {one: {"fid": measured(1 / one.nfe, 0.01, one.nfe)} for one in settings}


def walked(calls, fid):
    rounds = Reciprocal(calls, ("ddim",), SCHEDULE, 100, lambda count: None)._ladder(measured(fid, 0.01, 0))
    try:
        next(rounds)
        while True:
            rounds.send([])
    except StopIteration as end:
        return {one.nfe: metrics["fid"] for one, metrics in end.value.items()}


@pytest.mark.parametrize("calls", [2, 3, 5, 10])
def test_it_ends_at_the_fewest_calls_that_are_enough_and_skips_what_says_nothing(calls):
    for enough in range(calls + 1, calls + LADDER[-1] + 1):
        fid = (1 / enough + 1 / (enough - 1)) / 2  # between the last that is not enough and the first that is
        ladder = walked(calls, fid)
        assert same_quality(measured(fid, 0.01, 0), ladder) == enough
        assert enough == calls + 1 or enough - 1 in ladder  # so that it is known that fewer do not do
        assert len(ladder) <= len(LADDER) + 2  # steps of four calls at most, which two draws halve
        assert [*ladder] == sorted(ladder)


def test_where_no_default_is_as_good_it_ends_with_its_last_step():
    assert [*walked(5, 0.001)] == [5 + more for more in LADDER]
    assert [*walked(45, 0.001)] == [46, 48]  # the teacher has 50
