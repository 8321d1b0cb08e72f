"""How often a night without any change cries: by simulated nights of nine settings, from features to Holm's verdict."""

import math

import pytest
import torch
from scipy import stats
from simulated_nights import fids

from pipeline.evaluation.difference import paired
from pipeline.evaluation.metrics.fid import fid
from pipeline.evaluation.reference import Reference
from pipeline.regression.compared import ALPHA, Compared, at_holms_levels

NIGHTS, SETTINGS = 500, 9
SHARE = 1 - (1 - ALPHA / SETTINGS) ** SETTINGS
"""Of nights with a setting beyond noise, where settings are independent and all bounds exact: 4.9 %."""


def reference(d):
    return Reference.of(torch.randn(900, d, generator=torch.Generator().manual_seed(2)))


@pytest.mark.parametrize(("n", "d", "degrees"), [(40, 9, 19), (100, 2, math.inf)], ids=["groups", "influence"])
def test_a_night_without_a_change_cries_as_rarely_as_is_said(n, d, degrees):
    """The count is within what 499 of 500 such experiments give. The normal beside 20 groups makes it 54 for 24.

    The reference is far, so that FID is first order in the images, as its errors are. Near it they are too wide, and
    nights cry less.
    """
    one, other, _ = fids(NIGHTS * SETTINGS, n, reference(d), seed=0)
    differences = [paired(*sides) for sides in zip(one, other, strict=True)]
    assert {difference.degrees for difference in differences} == {degrees}
    compared = [Compared(0.0, 0.0, difference) for difference in differences]
    nights = [at_holms_levels(compared[i : i + SETTINGS]) for i in range(0, len(compared), SETTINGS)]
    cries = sum(any(fid.side != "around" for fid in night) for night in nights)
    alarms = sum(any(fid.side == "above" for fid in night) for night in nights)
    low, high = stats.binom(NIGHTS, SHARE).ppf([0.001, 0.999])
    assert low <= cries <= high
    assert alarms <= stats.binom(NIGHTS, SHARE / 2).ppf(0.999)


@pytest.mark.parametrize(("n", "d"), [(40, 9), (100, 2)])
def test_the_simulation_measures_as_the_pipeline_does(n, d):
    sides = fids(3, n, reference(d), seed=1)
    for simulated, features in zip(sides[:2], sides[2], strict=True):
        for one, x in zip(simulated, features.float(), strict=True):
            expected = fid(x, reference(d))
            # features and their mean are float32 there, with 2^-24 of FIDs about 50
            assert one.value == pytest.approx(expected.value, rel=1e-5)
            torch.testing.assert_close(one.left_out, expected.left_out, rtol=1e-5, atol=0)
            assert (one.influence is None) == (expected.influence is None)
            if one.influence is not None:
                torch.testing.assert_close(one.influence, expected.influence, rtol=1e-4, atol=1e-4)
