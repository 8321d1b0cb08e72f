"""The proof on made-up metrics: who wins and at which level, how many images would settle it, and the gap closed."""

import math

import numpy as np
import pytest
import torch
from finalists import mean_of, normals, setting, sides
from scipy import stats

from pipeline.evaluation.metrics import measure
from pipeline.evaluation.metrics.fid import fid
from pipeline.evaluation.reference import Reference
from pipeline.evaluation.uncertainty import Measured
from pipeline.tuning.proof import POWER, gap_closed, prove


def adjusted(finalists, defaults):
    """Holm's adjusted p-values of the largest over the defaults, from numbers (N, settings), by another formula.

    It is multiplied by how many are not smaller, and is at least that of each smaller one. Its p-value to lower FID is
    two-sided: twice that of one side, and 1 on the other.
    """
    largest = []
    for mine in finalists.T.numpy():
        tails = []
        for theirs in defaults.T.numpy():
            difference = mine - theirs
            z = difference.mean() / (difference.std(ddof=1) / math.sqrt(len(difference)))
            tails.append(2 * stats.norm.cdf(z) if z < 0 else 1.0)
        largest.append(max(tails))
    p = np.array(largest)
    return [max(q * (p >= q).sum() for q in p[p <= own]) for own in p]


@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_who_wins_is_holms_over_the_largest_p_values(alpha):
    wins = []
    for i in range(150):
        m, k = 1 + i % 4, 1 + i % 3
        finalists = normals(i, 40, m) - 0.25 * torch.arange(m)
        defaults = normals(1000 + i, 40, k) - 0.1 * torch.arange(k)
        proof = prove(sides(finalists), sides(defaults, first=9), 40, alpha)
        expected = [p < alpha for p in adjusted(finalists, defaults)]
        assert [one.wins for one in proof.finalists] == expected
        wins += expected
        for one in proof.finalists:
            below = [one.interval(default)[1] < 0 for default in proof.defaults]
            assert one.wins == all(below)
            assert one.difference.value == pytest.approx(
                one.measured["fid"].value - proof.defaults[one.hardest]["fid"].value
            )
            tail = one.difference.p_value if one.difference.value < 0 else 1.0
            assert one.p_value == tail
    assert 0.1 < np.mean(wins) < 0.9  # both happen


def test_a_finalist_that_loses_to_one_default_does_not_win():
    noise = normals(0, 200, 4)
    defaults = sides(noise[:, :2] + torch.tensor([5.0, 0.0]), first=5)
    better, worse = noise[:, 2:3] + 1, noise[:, 3:4] - 1
    proof = prove(sides(better), defaults, 200)
    (loser,) = proof.finalists
    assert loser.interval(setting(5))[1] < 0  # beyond noise better than one
    assert (loser.p_value, loser.wins, loser.hardest) == (1.0, False, setting(6))
    assert (proof.best, proof.closest, proof.best_default) == (None, loser, setting(6))
    both = prove(sides(torch.cat([better, worse], 1)), defaults, 200)
    assert both.best is both.finalists[1]
    assert both.best.wins
    assert both.closest is both.finalists[0]
    assert (both.images_needed, both.unsettled) == (None, None)


def test_of_two_better_defaults_the_harder_is_the_one_that_is_better_by_more():
    x = normals(0, 50)
    (one,) = prove(sides(x[:, None]), sides(torch.stack([x - 1, x - 3, x - 2], 1), first=5), 50).finalists
    assert one.hardest == setting(6)
    assert one.difference.value == pytest.approx(3)


def test_of_several_winners_the_best_is_the_one_with_the_lowest_fid():
    """Without bias: of two that are alike in FID it is that with the larger bias."""
    finalists = sides(normals(0, 50, 3) - torch.tensor([20.0, 31.0, 30.0]))
    proof = prove(finalists, sides(normals(1, 50, 2) + torch.tensor([0.0, 3.0]), first=5), 50)
    assert [one.wins for one in proof.finalists] == [True] * 3
    assert proof.best.setting == setting(1)
    assert proof.best_default == setting(5)
    assert proof.closest is None
    low = finalists[setting(2)]["fid"]
    finalists[setting(2)] = {"fid": Measured(low.value, low.influence, low.left_out + 1)}  # a bias of 19
    assert prove(finalists, proof.defaults, 50).best.setting == setting(2)


def test_other_metrics_stand_beside_fid_and_decide_nothing():
    reference = Reference.of(normals(0, 300, 4).float())
    near, far = (measure(x.float(), 3 * x.float(), reference) for x in (normals(1, 200, 4), normals(2, 200, 4) + 2))
    (one,) = prove({setting(0): near}, {setting(1): far}, 200).finalists
    assert list(one.against[setting(1)]) == ["fid", "is", "kid"]
    for name, metric in near.items():
        low, high = one.interval(setting(1), name)
        assert low < one.against[setting(1)][name].value < high
        se = math.hypot(
            float((metric.influence - far[name].influence).std()) / math.sqrt(200), (metric - far[name]).noise
        )
        assert high - low == pytest.approx(2 * stats.norm.ppf(0.975) * se)
    worse = {name: metric if name == "fid" else far[name] for name, metric in near.items()}
    assert prove({setting(0): worse}, {setting(1): far}, 200).best.p_value == one.p_value


@pytest.mark.parametrize("errors", [0.5, 1.5])
def test_with_so_many_images_four_fifths_of_proofs_settle_it(errors):
    """1,000 fresh proofs of a difference that is the measured one, of two finalists: ± 4 binomial errors."""
    n, trials = 100, 1000
    x = normals(0, n)
    x = (x - x.mean()) / x.std()
    none = torch.zeros(n, dtype=torch.float64)
    # the first is `errors` standard errors better than the hardest default, and far better than the other
    pilot = torch.stack([x - errors / math.sqrt(n), x + 1, none, none + 3], 1)
    proof = prove(sides(pilot[:, :2]), sides(pilot[:, 2:], first=5), n)
    assert proof.best is None
    assert proof.closest.setting == setting(0)
    assert proof.closest.difference.value / proof.closest.difference.se == pytest.approx(-errors)
    needed, claims = proof.images_needed, 0
    assert needed > n
    assert proof.unsettled is None
    for i in range(trials):
        y, zero = normals(100 + i, needed), torch.zeros(needed, dtype=torch.float64)
        fresh = torch.stack([y - errors / math.sqrt(n), y + 1, zero, zero + 3], 1)
        claims += prove(sides(fresh[:, :2]), sides(fresh[:, 2:], first=5), needed).best is not None
    assert claims / trials == pytest.approx(POWER, abs=4 * math.sqrt(POWER * (1 - POWER) / trials))


def test_images_needed_by_hand():
    """A normal's quantiles 1.96 and 0.8416: 2.8016² = 7.849 times the images for a difference of one error."""
    x = normals(0, 100)
    x = (x - x.mean()) / x.std()
    proof = prove({setting(0): {"fid": mean_of(x - 0.1)}}, {setting(1): {"fid": mean_of(0 * x)}}, 100)
    assert proof.images_needed == 785


def test_what_no_number_of_images_settles():
    x = normals(0, 8)
    worse = prove({setting(0): {"fid": mean_of(x - x.mean() + 0.1)}}, {setting(1): {"fid": mean_of(0 * x)}}, 8)
    assert worse.images_needed is None
    assert worse.unsettled.startswith("its FID is not below that of ddim-S2-")
    same = prove({setting(0): {"fid": mean_of(x)}}, {setting(1): {"fid": mean_of(x)}}, 8)
    assert (same.best, same.images_needed) == (None, None)
    assert "not below" in same.unsettled
    few = prove({setting(0): {"fid": Measured(1.0)}}, {setting(1): {"fid": Measured(2.0)}}, 8)
    assert (few.best, few.images_needed) == (None, None)
    assert few.unsettled == "there are too few images for a standard error"


SHIFTS = 0.5, 1.0, 0.3
"""By how much features of a tuned setting, a default and the teacher are off: FIDs are the squares, twice."""


def test_the_share_of_the_gap_that_is_closed_is_covered():
    """By 95 % of the intervals of 250 repetitions, ± 3 binomial errors, and on the mean it is the truth."""
    reference, trials = Reference(np.zeros(2, np.float32), np.eye(2), None), 250
    truth, covered, values = (1 - 0.25) / (1 - 0.09), [], []
    for i in range(trials):
        common, own = normals(i, 200, 2), normals(1_000_000 + i, 3, 200, 2)
        features = [s + math.sqrt(0.9) * common + math.sqrt(0.1) * x for s, x in zip(SHIFTS, own, strict=True)]
        fids = [fid(x.float(), reference) for x in features]
        by_groups = [Measured(one.value, None, one.left_out) for one in fids]
        shares = [gap_closed(*fids), gap_closed(*by_groups)]
        assert [share.degrees for share in shares] == [math.inf, 19]
        covered.append([low <= truth <= high for low, high in (share.interval(0.05) for share in shares)])
        values.append(shares[0].value)
    assert np.mean(covered, 0) == pytest.approx([0.95, 0.95], abs=3 * math.sqrt(0.95 * 0.05 / trials))
    assert np.mean(values) == pytest.approx(truth, abs=4 * np.std(values) / math.sqrt(trials))


def test_no_share_of_a_gap_that_is_not_beyond_noise():
    x, own = normals(0, 200, 2).T
    own = (own - own.mean()) / own.std()  # a difference by it has an error of 1/√200 = 0.0707
    default, tuned = mean_of(1 + x), mean_of(0.5 + x)
    assert gap_closed(tuned, default, mean_of(1 + x + own - 1.9 * 0.0707)) is None
    assert gap_closed(tuned, default, mean_of(1 + x + own - 2.0 * 0.0707)) is not None
    assert gap_closed(tuned, default, mean_of(1 + x + own + 5.0 * 0.0707)) is None
    teacher = mean_of(x + own)
    assert gap_closed(default, default, teacher).value == 0
    assert gap_closed(teacher, default, teacher).interval(0.05) == pytest.approx((1, 1))
