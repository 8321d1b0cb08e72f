"""The number for the smoothness of a line: its ends are known, and lerp ends at its ends."""

import pytest
import torch

from pipeline.evaluation.smoothness import feature_steps, lerp, smoothness


def test_an_even_walk_is_1_and_a_jump_is_the_number_of_steps():
    even = torch.arange(6.0)[:, None] * torch.tensor([3.0, 4.0])
    jump = torch.tensor([0.0, 0, 0, 1, 1, 1])[:, None].expand(6, 2)
    lines = torch.stack([even, jump])
    steps = feature_steps(lines)
    assert steps[0].tolist() == [5.0] * 5
    assert smoothness(steps).tolist() == pytest.approx([1.0, 5.0])


def test_a_long_way_in_small_steps_is_as_smooth_as_a_short_one():
    """A half circle and its chord, both evenly walked."""
    at = torch.linspace(0, torch.pi, 9)
    circle, chord = torch.stack([at.cos(), at.sin()], 1), torch.stack([torch.linspace(1, -1, 9), torch.zeros(9)], 1)
    assert smoothness(feature_steps(torch.stack([circle, chord]))).tolist() == pytest.approx([1.0, 1.0], rel=1e-5)


def test_lerp_is_exact_at_its_ends_and_loses_the_norm_of_noise_between_them():
    one, other = (torch.randn(500, 192, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    assert torch.equal(lerp(one, other, 0.0), one)
    assert torch.equal(lerp(one, other, 1.0), other)
    middle = lerp(one, other, 0.5)
    torch.testing.assert_close(middle, (one + other) / 2)
    # of independent normals the mean has variance 1/2; 500 × 192 values know it to 0.5 %
    assert float(middle.square().mean()) == pytest.approx(0.5, rel=0.02)
