"""The distance from the image at the largest S: its ends are known, and its error is that of resampling."""

import pytest
import torch

from pipeline.evaluation.consistency import consistency


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_same_images_are_at_0():
    features = normal(0, 100, 16)
    found = consistency(features, features.clone())
    assert (found.distance, found.score, found.score_se) == (0.0, 0.0, 0.0)
    assert found.control > 0


def test_images_that_have_nothing_in_common_are_at_1():
    """Over 200 runs of independent images: the mean is 1, and nine of ten 90 % intervals hold it."""
    scores = [consistency(normal(i, 200, 8), normal(1000 + i, 200, 8)) for i in range(200)]
    mean = sum(one.score for one in scores) / 200
    assert mean == pytest.approx(1, abs=4 * scores[0].score_se / 200**0.5)
    held = sum(abs(one.score - 1) < 1.645 * one.score_se for one in scores)
    assert 165 <= held <= 195  # 180 ± 3.5 standard deviations of a binomial


def test_the_distance_is_relative_to_another_seeds():
    """A tenth of the noise is new: in high dimension lengths concentrate, and the ratio is sqrt(0.1) to a percent."""
    base, fresh = normal(0, 2000, 512), normal(1, 2000, 512)
    features = 0.9**0.5 * base + 0.1**0.5 * fresh
    expected = (2 - 2 * 0.9**0.5) ** 0.5 / 2**0.5  # |f - g|² = 2 - 2·cov, and 2 for another seed
    assert consistency(features, base).score == pytest.approx(expected, rel=0.01)


def test_its_error_is_that_of_other_seeds():
    """The spread of the score over 300 fresh runs: 300 values know their own spread to 4 %."""

    def run(i):
        base = normal(i, 300, 8)
        return consistency(base + 0.5 * normal(5000 + i, 300, 8) * (1 + base[:, :1].abs()), base)

    runs = [run(i) for i in range(300)]
    spread = torch.tensor([one.score for one in runs]).std()
    mean_se = torch.tensor([one.score_se for one in runs]).mean()
    assert float(mean_se / spread) == pytest.approx(1, abs=0.15)


def test_a_scale_of_the_features_changes_nothing():
    one, other = normal(0, 50, 4), normal(1, 50, 4)
    assert consistency(10 * one, 10 * other).score == pytest.approx(consistency(one, other).score)


def test_a_ratio_that_is_the_same_for_every_seed_has_no_error():
    """All images at the largest S are one image, so each distance is its own control, however far it is."""
    found = consistency(normal(0, 100, 4), normal(1, 1, 4).expand(100, 4))
    assert (found.score, found.score_se) == (1.0, 0.0)
