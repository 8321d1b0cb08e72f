"""The bootstrap's metrics are torch-fidelity's on resampled images, and its intervals cover."""

import math

import bootstrap
import pytest
import torch
from bootstrap import Estimate, fid_statistic, is_statistic, kid_statistic, paired_bootstrap
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from pipeline.evaluation.metrics import compute_metrics
from pipeline.evaluation.reference import Reference


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def resamples(n, count):
    return torch.randint(n, (count, n), generator=torch.Generator().manual_seed(9))


def whole(n):
    return torch.arange(n)[None]


FEATURES, LOGITS, REFERENCE = normal(0, 203, 8) * 1.3 + 0.5, normal(1, 203, 10) * 3, normal(2, 307, 8)


def test_without_resampling_they_are_the_numbers_of_metrics_json():
    measured = compute_metrics(FEATURES, LOGITS, Reference.of(REFERENCE))
    fid = fid_statistic(FEATURES, REFERENCE)(whole(203))
    assert fid.item() == pytest.approx(measured["fid"], rel=1e-5)  # theirs takes the mean in float32
    splits = measured["options"]["isc_splits"]
    score = is_statistic(LOGITS, splits)(whole(203)).item()
    assert score == pytest.approx(measured["is_mean"], rel=1e-12)  # float64's sums of 203 rows in another order


def test_resampled_they_are_torch_fidelitys_of_the_repeated_rows(monkeypatch):
    monkeypatch.setattr(bootstrap, "_ELEMENTS_AT_ONCE", 5000)  # several parts
    index = resamples(203, 7)
    fids, scores = fid_statistic(FEATURES, REFERENCE)(index), is_statistic(LOGITS, 10)(index)
    reference = fid_features_to_statistics(REFERENCE)
    for rows, fid, score in zip(index, fids.tolist(), scores.tolist(), strict=True):
        theirs = fid_statistics_to_metric(fid_features_to_statistics(FEATURES[rows]), reference, verbose=False)
        # as above: a mean in float32, and float64's sums in another order
        assert fid == pytest.approx(theirs["frechet_inception_distance"], rel=1e-5)
        assert score == pytest.approx(isc_features_to_metric(LOGITS[rows])["inception_score_mean"], rel=1e-12)


def test_kid_is_what_torch_fidelitys_subsets_average_to():
    kernel = (REFERENCE.double() @ REFERENCE.double().T / 8 + 1) ** 3
    of_reference = (kernel.sum() - kernel.trace()) / (307 * 306)
    ours = kid_statistic(FEATURES, REFERENCE)(whole(203)) + of_reference
    theirs = kid_features_to_metric(FEATURES, REFERENCE, kid_subsets=4000, kid_subset_size=40, verbose=False)
    error = theirs["kernel_inception_distance_std"] / math.sqrt(4000)
    assert ours.item() == pytest.approx(theirs["kernel_inception_distance_mean"], abs=4 * error)


def test_kid_of_many_images_compares_them_within_blocks(monkeypatch):
    monkeypatch.setattr(bootstrap, "KID_BLOCK", 50)
    x, y = FEATURES.double(), REFERENCE.double()
    pairs = [(i, j) for i in range(203) for j in range(203) if i != j and i // 50 == j // 50]
    within = sum(((x[i] @ x[j]) / 8 + 1) ** 3 for i, j in pairs) / len(pairs)
    across = ((x @ y.T / 8 + 1) ** 3).mean()
    # float64's sums of 60,000 products in another order: it came to 1e-14
    ours = kid_statistic(FEATURES, REFERENCE)(whole(203)).item()
    assert ours == pytest.approx((within - 2 * across).item(), rel=1e-12)


def test_repeats_do_not_raise_kid():
    """Mean over resamples of an unbiased statistic is its value; repeats counted as pairs would raise it."""
    statistic = kid_statistic(FEATURES, REFERENCE)
    resampled = statistic(resamples(203, 4000))
    error = resampled.std().item() / math.sqrt(4000)
    assert resampled.mean().item() == pytest.approx(statistic(whole(203)).item(), abs=4 * error)


def test_equal_sides_have_no_difference_and_no_doubt():
    statistic = fid_statistic(FEATURES, REFERENCE)
    estimate = paired_bootstrap(statistic, fid_statistic(FEATURES.clone(), REFERENCE), 203, 50)
    assert estimate == Estimate(0.0, 0.0, 0.0)
    assert estimate.interval(0.05) == (0.0, 0.0)


def test_pairs_are_far_tighter_than_independent_images():
    similar = FEATURES + 0.05 * normal(5, 203, 8)
    fids = [fid_statistic(x, REFERENCE) for x in (similar, FEATURES, FEATURES.flip(0))]
    paired = paired_bootstrap(fids[0], fids[1], 203, 300).std
    unpaired = paired_bootstrap(fids[0], fids[2], 203, 300).std
    assert unpaired > 10 * paired


def population_fid(mu, variance, reference):
    """FID of N(mu, variance · I), known in closed form, to the statistics of a reference sample."""
    theirs = fid_features_to_statistics(reference)
    roots = torch.linalg.eigvalsh(torch.from_numpy(theirs["sigma"])).sqrt()
    distance = ((torch.from_numpy(theirs["mu"]).double() - mu) ** 2).sum()
    return (distance + (math.sqrt(variance) - roots).square().sum()).item()


@pytest.mark.parametrize("dependence", [0.95, 0.0], ids=["paired", "unrelated"])
def test_intervals_cover_the_true_difference(dependence):
    """Of 300 experiments 95 % must cover: within 4 standard errors, or above, as the interval is a cautious one.

    Candidate and baseline have different variances, so that their FIDs' biases differ and do not cancel. The
    percentile interval of the same resamples covers less: that is why it is not used.
    """
    d, n, experiments, scale = 8, 120, 300, 1.3
    reference = normal(100, 1000, d)
    truth = population_fid(0.2, scale**2, reference) - population_fid(0.0, 1.0, reference)
    covered = percentiles = 0
    for i in range(experiments):
        z, other = normal(1000 + i, n, d), normal(5000 + i, n, d)
        candidate = scale * (dependence * z + math.sqrt(1 - dependence**2) * other) + 0.2
        estimate = paired_bootstrap(fid_statistic(candidate, reference), fid_statistic(z, reference), n, 200)
        low, high = estimate.interval(0.05)
        covered += low <= truth <= high
        around = estimate.delta + estimate.bias
        half = 1.96 * estimate.std
        percentiles += around - half <= truth <= around + half
    assert covered >= experiments * (0.95 - 4 * math.sqrt(0.95 * 0.05 / experiments))
    assert covered > percentiles
