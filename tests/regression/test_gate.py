"""The gate's decisions: beyond noise and beyond the limit, to the worse, on one device."""

from dataclasses import replace

import pytest
from nights import HERE, THERE, comparison

from pipeline import UserError
from pipeline.regression.gate import Limits, check_extractor, first_difference, judge
from pipeline.regression.statistics import Estimate

LIMITS = Limits(0.02, 0.3)


@pytest.mark.parametrize(
    ("delta", "std", "quality", "failed"),
    [
        (0.10, 0.01, "worse", True),
        (0.10, 0.05, "noise", False),  # two standard deviations: not beyond noise among four settings
        (0.019, 0.001, "small", False),
        (-0.10, 0.01, "better", False),
        (-0.019, 0.001, "small", False),
    ],
)
def test_quality(delta, std, quality, failed):
    verdicts = judge([comparison(0, delta, std, [3]), *(comparison(i) for i in (1, 2, 3))], LIMITS)
    assert (verdicts[0].quality, verdicts[0].failed) == (quality, failed)
    assert [verdict.quality for verdict in verdicts[1:]] == ["same"] * 3
    low, high = verdicts[0].interval
    assert (low <= 0 <= high) == (quality == "noise")


@pytest.mark.parametrize("side", [1, -1])
def test_a_change_on_one_side_and_an_interval_on_the_other_are_no_verdict(side):
    """A small number of images: the bootstrap's bias is larger than the change."""
    odd = replace(comparison(0, side * 0.05, 0, [3]), fid=Estimate(side * 0.05, side * 0.2, 0.01))
    (verdict,) = judge([odd], LIMITS)
    low, high = verdict.interval
    assert (high < 0) if side > 0 else (low > 0)
    assert (verdict.quality, verdict.failed) == ("small", False)


def test_the_correction_grows_with_the_grid():
    alone = judge([comparison(0, 0.1, 0.045, [0])], LIMITS)[0]
    among_four = judge([comparison(0, 0.1, 0.045, [0]), *(comparison(i) for i in (1, 2, 3))], LIMITS)[0]
    assert (alone.quality, among_four.quality) == ("worse", "noise")
    assert among_four.interval[0] < alone.interval[0]


def test_other_features_of_the_same_pixels_are_judged_too():
    assert judge([comparison(0, 0.1, 0.001)], LIMITS)[0].quality == "worse"


@pytest.mark.parametrize(
    ("before", "share", "devices", "verdict"),
    [
        (0.8, 0.57, (HERE, HERE), "ok"),
        (0.8, 0.55, (HERE, HERE), "slower"),
        (0.8, 1.0, (HERE, HERE), "ok"),
        (0.8, 0.1, (THERE, HERE), "not compared"),
        (0.8, 0.1, (HERE + THERE, HERE + THERE), "not compared"),  # which shard ran where is not the same
        (None, 0.1, (HERE, HERE), "not compared"),  # the baseline is of an earlier release
        (0.8, None, (HERE, HERE), "not compared"),
    ],
)
def test_speed(before, share, devices, verdict):
    judged = judge([comparison(0, before=before, share=share, devices=devices)], LIMITS)[0]
    assert (judged.speed, judged.failed) == (verdict, verdict == "slower")
    assert judged.share_limit == (None if verdict == "not compared" else pytest.approx(0.7 * before))


def test_the_first_difference_is_that_of_the_grids_order():
    assert first_difference([comparison(0), comparison(1, differing=[7, 9]), comparison(2, differing=[1])]) == (
        "ddim-S20-eta0-linear",
        7,
    )
    assert first_difference([comparison(0)]) is None


def test_a_changed_extractor_makes_the_baseline_unusable():
    fine = comparison(0, 0.5, 0.1, [0])
    check_extractor([fine], "there")
    with pytest.raises(UserError, match=r"--baseline there: FID of ddim-S10-eta0-linear is 1 in it and 1.3 beside"):
        check_extractor([fine, replace(fine, baseline_fid=1.3)], "there")
