"""Differences of metrics: intervals by Student's t, against the bootstrap and fresh images, and Holm's levels."""

import math

import pytest
import torch
from bootstrap import fid_statistic, is_statistic, kid_statistic, paired_bootstrap
from scipy import stats
from torch_fidelity.metric_kid import kid_features_to_metric

from pipeline.evaluation.difference import Difference, holm, paired, unpaired
from pipeline.evaluation.metrics import measure
from pipeline.evaluation.metrics.fid import fid
from pipeline.evaluation.metrics.kid import kid_subsets
from pipeline.evaluation.reference import Reference
from pipeline.evaluation.uncertainty import Measured


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


REFERENCE = normal(2, 900, 8)
FEATURES, LOGITS = normal(0, 800, 8) * 1.3 + 0.5, normal(1, 800, 10) * 3
SIMILAR = FEATURES + 0.05 * normal(5, 800, 8)


def measured(features, logits=LOGITS):
    return measure(features, logits, Reference.of(REFERENCE))


@pytest.mark.parametrize("degrees", [5, 19, math.inf])
@pytest.mark.parametrize("level", [0.05, 0.05 / 56])
def test_intervals_and_p_values_are_students(degrees, level):
    difference = Difference(0.7, 0.25, degrees)
    t = stats.norm if math.isinf(degrees) else stats.t(degrees)
    low, high = difference.interval(level)
    assert (low, high) == pytest.approx((0.7 - t.ppf(1 - level / 2) * 0.25, 0.7 + t.ppf(1 - level / 2) * 0.25))
    assert difference.p_value == pytest.approx(2 * t.sf(0.7 / 0.25))
    edge = difference.p_value
    assert difference.interval(edge)[0] == pytest.approx(0, abs=1e-9)


def test_no_error_gives_no_interval_and_the_same_side_no_doubt():
    assert (Difference(1.0, None, math.inf).p_value, Difference(1.0, None, math.inf).interval(0.05)) == (1.0, None)
    assert (Difference(0.0, 0.0, 19).p_value, Difference(0.0, 0.0, 19).interval(0.05)) == (1.0, (0.0, 0.0))
    assert Difference(1e-9, 0.0, 19).p_value == 0.0
    one = measured(FEATURES)["fid"]
    assert (paired(one, one).value, paired(one, one).se) == (0.0, 0.0)


def test_the_jackknife_by_hand():
    """Three groups: the formulas of Quenouille and Tukey, worked out."""
    one = Measured(5.0, None, torch.tensor([4.0, 5.0, 6.6], dtype=torch.float64))
    other = Measured(3.0, None, torch.tensor([3.0, 3.5, 4.0], dtype=torch.float64))
    # d = 1, 1.5, 2.6, mean 1.7, and 2 in full: bias 2 (1.7 - 2); variance (0.49 + 0.04 + 0.81) / 2
    assert paired(one, other).value == pytest.approx(2 + 0.6)
    assert paired(one, other).se == pytest.approx(math.sqrt(4 / 3 * 1.34 / 2))
    assert paired(one, other).degrees == 2
    assert unpaired(one, other).se == pytest.approx(math.hypot(one.se, other.se))
    assert unpaired(one, other).value == pytest.approx(2 + 0.6)  # means are linear


@pytest.mark.parametrize("by_groups", [False, True], ids=["influence", "jackknife"])
def test_pairs_have_the_bootstraps_error(by_groups):
    """Within three relative errors of a jackknife of 20 groups, 16 % each; the influence function has less."""
    one, other = measured(SIMILAR)["fid"], measured(FEATURES)["fid"]
    if by_groups:
        one, other = (Measured(side.value, None, side.left_out) for side in (one, other))
    estimate = paired_bootstrap(fid_statistic(SIMILAR, REFERENCE), fid_statistic(FEATURES, REFERENCE), 800, 400)
    difference = paired(one, other)
    assert difference.degrees == (19 if by_groups else math.inf)
    assert difference.se == pytest.approx(estimate.std, rel=0.5 if by_groups else 0.15)
    assert difference.value == pytest.approx(estimate.delta - estimate.bias, abs=estimate.std)


def test_is_and_kid_have_the_bootstraps_error_too():
    shifted = FEATURES + 0.2 * normal(6, 800, 8) + 0.1
    sharper = LOGITS * 1.1 + 0.2 * normal(7, 800, 10)
    one, other = measured(shifted, sharper), measured(FEATURES)
    score = paired_bootstrap(is_statistic(sharper, 10), is_statistic(LOGITS, 10), 800, 400)
    assert paired(one["is"], other["is"]).se == pytest.approx(score.std, rel=0.15)
    kid = paired_bootstrap(kid_statistic(shifted, REFERENCE), kid_statistic(FEATURES, REFERENCE), 800, 400)
    without_subsets = [Measured(side["kid"].value, side["kid"].influence, None) for side in (one, other)]
    assert paired(*without_subsets).se == pytest.approx(kid.std, rel=0.15)


def test_kids_subsets_are_torch_fidelitys():
    theirs = kid_features_to_metric(FEATURES, REFERENCE, kid_subset_size=100, verbose=False)
    ours = kid_subsets(FEATURES, REFERENCE, 100)
    assert len(ours) == 100
    assert ours.mean().item() == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-12)
    assert ours.std(correction=0).item() == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-12)


def test_pairs_have_the_same_subsets_of_kid():
    """Drawn anew many times, their difference varies as its noise says, and each side as its own: far more."""
    one, other = measured(SIMILAR)["kid"], measured(FEATURES)["kid"]
    size, subsets = 100, 2000
    sides = [
        kid_features_to_metric(x, REFERENCE, kid_subsets=subsets, kid_subset_size=size, rng_seed=7, verbose=False)
        for x in (SIMILAR, FEATURES)
    ]
    anew = sides[0]["kernel_inception_distance_mean"] - sides[1]["kernel_inception_distance_mean"]
    assert (one - other).value == pytest.approx(anew, abs=4 * (one - other).noise)
    assert (one - other).noise < 0.2 * math.hypot(one.noise, other.noise)
    assert paired(one, one).se == 0
    assert unpaired(one, other).se > math.hypot(one.noise, other.noise)


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_errors_by_groups_the_fewer_count(turned):
    """Images that are no pairs, of which one side has 10 images in 5 groups: 4 degrees of freedom, and not 19."""
    few, many = fid(normal(6, 10, 8), Reference.of(REFERENCE)), measured(FEATURES[:39])["fid"]
    none = measured(FEATURES)["fid"]
    order = reversed if turned else list
    assert [len(side.left_out) for side in (few, many, none)] == [5, 19, 20]
    assert unpaired(*order([few, many])).degrees == 4
    assert unpaired(*order([none, few])).degrees == 4
    assert unpaired(*order([none, many])).degrees == 18
    assert unpaired(none, none).degrees == math.inf


def test_pairs_are_far_tighter_than_independent_images():
    one, other = measured(SIMILAR)["fid"], measured(FEATURES)["fid"]
    assert unpaired(one, other).se > 5 * paired(one, other).se
    assert unpaired(one, other).value == pytest.approx(paired(one, other).value)


def test_sides_may_have_other_numbers_of_images():
    """FID of 100 images is too high beside 800 of the same distribution; without their bias the two agree."""
    reference = Reference.of(REFERENCE)
    pairs = [(fid(normal(10 + i, 100, 8), reference), fid(normal(50 + i, 800, 8), reference)) for i in range(20)]
    plain = torch.tensor([few.value - many.value for few, many in pairs])
    free = torch.tensor([unpaired(few, many).value for few, many in pairs])
    assert plain.mean() > 0.2
    assert free.mean().abs() < 0.2 * plain.mean()
    too_few = fid(normal(9, 9, 8), reference)
    assert unpaired(too_few, pairs[0][1]).se is None


def test_intervals_cover():
    """Of 100 experiments of 400 images 95 % cover a difference of 0, ± 4 errors: the two sides are exchangeable."""
    reference = Reference.of(REFERENCE[:, :4])
    covered = 0
    for i in range(100):
        z, noise = normal(1000 + i, 400, 4), normal(5000 + i, 400, 4)
        sides = [fid(0.9 * z + math.sqrt(0.19) * part, reference) for part in (noise, -noise)]
        low, high = paired(*(Measured(side.value, None, side.left_out) for side in sides)).interval(0.05)
        covered += low <= 0 <= high
    assert covered == pytest.approx(95, abs=4 * math.sqrt(100 * 0.95 * 0.05))


def test_holm_by_hand():
    # sorted: 0.005 < 0.05/4, 0.01 < 0.05/3, 0.03 > 0.05/2: the last two have the level of the one that failed
    rejected, levels = holm([0.01, 0.04, 0.03, 0.005], 0.05)
    assert rejected == [True, False, False, True]
    assert levels == [0.05 / 3, 0.05 / 2, 0.05 / 2, 0.05 / 4]
    assert holm([], 0.05) == ([], [])
    assert holm([0.2, 0.01], 0.05)[0] == [False, True]


def test_holm_keeps_its_promise():
    """Ten true hypotheses with independent uniform p-values: any is rejected in 5 % of 4000 trials, ± 4 errors."""
    p_values = torch.rand(4000, 10, generator=torch.Generator().manual_seed(0))
    share = sum(any(holm(row, 0.05)[0]) for row in p_values.tolist()) / 4000
    assert share == pytest.approx(1 - (1 - 0.005) ** 10, abs=4 * math.sqrt(0.05 * 0.95 / 4000))
