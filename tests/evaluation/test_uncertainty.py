"""Errors of the metrics, against derivatives by finite differences, resampling, and what torch-fidelity says itself."""

import math

import numpy as np
import pytest
import torch
from bootstrap import fid_statistic, is_statistic, kid_statistic, paired_bootstrap
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from pipeline.evaluation.metrics import compute_metrics, measure
from pipeline.evaluation.metrics.fid import fid
from pipeline.evaluation.metrics.inception_score import inception_score_influence
from pipeline.evaluation.metrics.kid import kid_influence
from pipeline.evaluation.metrics.precision_recall import recall_left_out
from pipeline.evaluation.reference import Reference
from pipeline.evaluation.uncertainty import (
    GROUPS,
    Measured,
    groups,
)


def normal(n, seed, d=16, scale=1.0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * scale


REFERENCE = Reference.of(normal(1500, 1))
SKEWED = (normal(600, 2) * torch.linspace(0.5, 1.5, 16)).exp() * 0.5
"""Features that are far from normal."""


def theirs(features, reference):
    statistics = {"mu": reference.mu, "sigma": reference.sigma}
    found = fid_statistics_to_metric(fid_features_to_statistics(features), statistics, verbose=False)
    return found["frechet_inception_distance"]


@pytest.mark.parametrize(("n", "d", "rel"), [(600, 16, 1e-9), (200, 64, 1e-9), (50, 64, 1e-6)])
def test_fid_is_torch_fidelitys(n, d, rel):
    """Where there are fewer images than features its root is of a singular matrix, and keeps half of the digits."""
    features, reference = normal(n, 3, d, 1.3), Reference.of(normal(700, 4, d))
    assert fid(features, reference).value == pytest.approx(theirs(features, reference), rel=rel)


@pytest.mark.parametrize(("n", "d", "rel"), [(600, 16, 1e-7), (60, 64, 1e-6)])
def test_without_a_group_it_is_torch_fidelitys_of_the_others(n, d, rel):
    """Theirs has the mean in float32, 2^-24 of it; where images are few, its root is of a singular matrix."""
    features, reference = normal(n, 3, d, 1.3), Reference.of(normal(700, 4, d))
    found = fid(features, reference).left_out.tolist()
    others = [torch.cat([features[: part.start], features[part.stop :]]) for part in groups(n)]
    assert found == pytest.approx([theirs(some, reference) for some in others], rel=rel)


def test_the_influence_on_fid_is_its_derivative_by_an_images_weight():
    """FID of a weighted sample, with a little more weight on one image."""
    x = SKEWED.double()
    n = len(x)
    found = fid(SKEWED, REFERENCE)
    root, mu_r = REFERENCE.root, torch.as_tensor(REFERENCE.mu).double()

    def weighted(weights):
        mu = weights @ x
        sigma = (x - mu).T @ ((x - mu) * weights[:, None]) * n / (n - 1)
        eigenvalues = torch.linalg.eigvalsh(root @ sigma @ root)
        traces = sigma.trace() + float(REFERENCE.sigma.trace())
        return float((mu - mu_r).square().sum() + traces - 2 * eigenvalues.sqrt().sum())

    even = torch.full((n,), 1 / n, dtype=torch.float64)
    for i in (0, 7, 599):
        one = torch.zeros(n, dtype=torch.float64)
        one[i] = 1
        step = 1e-5
        slope = (weighted(even + step * (one - even)) - weighted(even - step * (one - even))) / (2 * step)
        # mu is a float32, 2^-24 of it; the spread that the sample's covariance has over n - 1 is 1/n of the influence
        assert found.influence[i].item() == pytest.approx(slope, rel=1e-3 + 2 / n, abs=1e-3)
    assert abs(found.influence.mean().item()) < 1e-9


def test_the_influence_on_is_is_its_derivative_by_an_images_weight():
    logits, splits = normal(400, 5, 10, 2.0), 4
    influence = inception_score_influence(logits, splits)
    order = np.random.RandomState(2020).permutation(400)  # torch-fidelity's seed
    p = logits.double().softmax(1)[torch.from_numpy(order)]

    def score(weights):
        scores = []
        for part, w in zip(p.split(100), weights.split(100), strict=True):
            q = w @ part / w.sum()
            scores.append(((w @ (part * (part.log() - q.log())).sum(1)) / w.sum()).exp())
        return torch.stack(scores).mean().item()

    even = torch.full((400,), 1 / 400, dtype=torch.float64)
    assert score(even) == pytest.approx(isc_features_to_metric(logits, splits=splits)["inception_score_mean"], rel=1e-9)
    for place in (0, 150, 399):
        one = torch.zeros(400, dtype=torch.float64)
        one[place] = 1
        slope = (score(even + 1e-6 * one) - score(even - 1e-6 * one)) / 2e-6
        # a little more weight in one split is diluted by none of the others: its mean is that split's own
        assert influence[order[place]].item() == pytest.approx(slope, rel=1e-4, abs=1e-4)


def test_standard_errors_are_those_of_the_bootstrap():
    """The bootstrap resamples images; its own error of 1,000 resamples is 2 %, and it is of higher order in 1/N."""
    logits = normal(600, 6, 10, 2.0)
    found = measure(SKEWED, logits, REFERENCE)
    zero = lambda index: torch.zeros(len(index), dtype=torch.float64)  # noqa: E731
    for name, statistic in {
        "fid": fid_statistic(SKEWED, REFERENCE.features),
        "is": is_statistic(logits, 10),
        "kid": kid_statistic(SKEWED, REFERENCE.features),
    }.items():
        oracle = paired_bootstrap(statistic, zero, 600, 1000).std
        se = found[name].se if name != "kid" else Measured(0.0, found[name].influence, None).se
        assert se == pytest.approx(oracle, rel=0.1), name


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_jackknife_has_the_error_and_the_bias_of_fresh_images(shift):
    """Over 300 fresh sets: the spread of FID, and its excess over the distance of the two laws."""
    truth = Reference(np.full(16, shift, np.float32), np.eye(16), None)
    found = [fid(normal(200, 100 + i), truth) for i in range(300)]
    fids = torch.tensor([one.value for one in found])
    biases = [one.bias for one in found]
    # three standard errors of the means over 300 sets, and a tenth for the next order, 1/N²
    excess, sem = fids.mean().item() - 16 * shift**2, fids.std().item() / math.sqrt(300)
    assert np.mean(biases) == pytest.approx(excess, rel=0.1, abs=3 * math.hypot(sem, np.std(biases) / math.sqrt(300)))
    se = np.mean([Measured(one.value, None, one.left_out).se for one in found])
    if shift:
        assert se == pytest.approx(fids.std().item(), rel=0.1)  # a spread over 300 sets errs by 4 %
    else:
        # where both laws are the same FID has no first order, and the error is too wide, never too small
        assert 0.95 * fids.std().item() < se < 1.5 * fids.std().item()


def test_recall_without_a_group_is_torch_fidelitys_on_the_others():
    features, reference = normal(300, 7, 8), normal(250, 8, 8, 1.2)
    found = recall_left_out(features, reference, 3)
    for part, value in zip(groups(300), found.tolist(), strict=True):
        others = torch.cat([features[: part.start], features[part.stop :]])
        options = {"prc_neighborhood": 3, "prc_batch_size": 1000, "save_cpu_ram": True, "verbose": False}
        assert value == pytest.approx(prc_features_to_metric(others, reference, **options)["recall"], abs=1e-6)


def test_kids_influence_uses_all_pairs_of_the_first_images_but_an_image_with_itself():
    features, reference = normal(50, 9, 4), normal(40, 10, 4)
    kernel = lambda x, y: (x.double() @ y.double().T / 4 + 1) ** 3  # noqa: E731
    within = kernel(features, features).fill_diagonal_(0).sum(1) / 49
    expected = 2 * (within - kernel(features, reference).mean(1))
    # float32 products of up to 10^3
    torch.testing.assert_close(kid_influence(features, reference), expected - expected.mean(), rtol=1e-4, atol=1e-3)


def test_groups_are_all_images_once_and_none_where_they_are_too_few():
    for n, count in ((10, 5), (39, 19), (41, GROUPS), (1999, GROUPS)):
        assert [i for part in groups(n) for i in range(n)[part]] == [*range(n)]
        assert len(groups(n)) == count
        assert min(part.stop - part.start for part in groups(n)) >= 2
    assert groups(9) == []


def test_a_difference_is_that_of_pairs():
    a, b = fid(SKEWED, REFERENCE), fid(SKEWED + 0.01 * normal(600, 11), REFERENCE)
    difference = a - b
    assert difference.value == a.value - b.value
    assert difference.se < 0.1 * a.se
    torch.testing.assert_close(difference.influence, a.influence - b.influence)
    assert difference.bias == pytest.approx(a.bias - b.bias)
    nothing = a - a
    assert (nothing.value, nothing.se, nothing.bias) == (0, 0, 0)
    coarse = fid(normal(60, 0), REFERENCE)  # fewer than five images a feature
    assert coarse.influence is None
    assert coarse.se == pytest.approx(math.sqrt(19**2 / 20 * coarse.left_out.var().item()))


def test_a_feature_that_never_changes_has_no_part_in_the_error():
    dead = torch.zeros(600, 1)
    with_it = fid(
        torch.cat([SKEWED, dead], 1), Reference.of(torch.cat([REFERENCE.features, dead[:1].expand(1500, 1)], 1))
    )
    assert with_it.se == pytest.approx(fid(SKEWED, REFERENCE).se, rel=1e-6)


def test_the_row_has_them_all():
    row = compute_metrics(SKEWED, normal(600, 6, 10), REFERENCE)
    found = measure(SKEWED, normal(600, 6, 10), REFERENCE)
    assert row["options"]["fid_se"] == "influence function"
    assert (row["fid_se"], row["is_se"], row["kid_se"]) == (found["fid"].se, found["is"].se, found["kid"].se)
    assert row["fid_inf"] == row["fid"] - row["fid_bias"]
    assert row["precision_se"] == pytest.approx(math.sqrt(row["precision"] * (1 - row["precision"]) / 600))
    assert row["jackknife"]["fid"] == found["fid"].left_out.tolist()
    assert compute_metrics(SKEWED[:70], normal(70, 6, 10), REFERENCE)["options"]["fid_se"] == "jackknife of 20 groups"
