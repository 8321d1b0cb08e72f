"""The gate's decisions: beyond noise and beyond the limit, to the worse, on one device."""

import math
from dataclasses import replace

import pytest
from nights import HERE, THERE, comparison, metric

from pipeline import UserError
from pipeline.regression.gate import Limits, check_extractor, first_difference, judge

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
    low, high = verdicts[0].comparison.fid.interval
    assert (low <= 0 <= high) == (quality == "noise")


@pytest.mark.parametrize(("degrees", "quality"), [(math.inf, "worse"), (19, "noise")])
def test_an_error_by_groups_has_students_interval(degrees, quality):
    """At 0.05/4 the normal's bound is 2.50 errors and Student's of 19 degrees 2.77."""
    verdicts = judge([comparison(0, 0.26, 0.1, [3], degrees=degrees), *(comparison(i) for i in (1, 2, 3))], LIMITS)
    assert verdicts[0].quality == quality


def test_too_few_images_are_no_verdict_and_take_no_part_in_the_correction():
    verdicts = judge([comparison(0, 0.23, 0.1, [3]), comparison(1, 0.5, None, [3])], LIMITS)
    assert [(verdict.quality, verdict.failed) for verdict in verdicts] == [("worse", True), ("unknown", False)]
    assert verdicts[1].comparison.fid.interval is None


def test_logits_that_differ_alone_are_not_the_same():
    assert judge([replace(comparison(0), equal_features=False)], LIMITS)[0].quality == "noise"


def test_the_correction_grows_with_the_grid():
    alone = judge([comparison(0, 0.1, 0.045, [0])], LIMITS)[0]
    among_four = judge([comparison(0, 0.1, 0.045, [0]), *(comparison(i) for i in (1, 2, 3))], LIMITS)[0]
    assert (alone.quality, among_four.quality) == ("worse", "noise")
    assert among_four.comparison.fid.interval[0] < alone.comparison.fid.interval[0]


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
        check_extractor([fine, replace(fine, metrics={"fid": metric(1.3)})], "there")
