"""What a search costs, and after how many images it is repaid."""

import pytest
import torch
from finalists import mean_of, normals

from pipeline.evaluation.uncertainty import Measured
from pipeline.tuning.cost import Cost, Repaid, repaid, same_quality

COST = Cost(search=900_001, proof=100_000)


@pytest.mark.parametrize(("calls", "images"), [(6, 1_000_001), (8, 333_334), (5, None), (4, None), (None, None)])
def test_each_image_saves_the_calls_of_a_default_that_is_as_good(calls, images):
    """It is the first number of images whose saved calls are no fewer than those paid."""
    assert repaid(COST, 5, calls, [20, 5, 6, 8]) == Repaid(images, calls, (5, 6, 8, 20))
    if images:
        assert images * (calls - 5) >= COST.total > (images - 1) * (calls - 5)


def test_the_same_quality_is_the_fewest_calls_with_no_higher_fid():
    x = normals(0, 50)
    ladder = {20: mean_of(x - 3), 8: mean_of(x), 6: mean_of(x + 0.5), 5: mean_of(x + 2)}
    assert same_quality(mean_of(x + 0.6), ladder) == 6
    assert same_quality(mean_of(x), ladder) == 8
    assert same_quality(mean_of(x - 1), ladder) == 20
    assert same_quality(mean_of(x - 4), ladder) is None


def test_quality_is_without_bias():
    """A FID that is higher by its bias alone is as good."""
    few = Measured(2.0, None, torch.full((20,), 2.1, dtype=torch.float64))  # a bias of 19 × 0.1
    none = Measured(1.0, None, torch.full((20,), 1.0, dtype=torch.float64))
    assert same_quality(none, {9: few}) == 9
    assert same_quality(few, {9: none}) is None
