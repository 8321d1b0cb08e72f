"""The sampler of the SDE on Gaussian data, where every step is linear and its law is known in closed form."""

import itertools
import math

import numpy as np
import pytest
import torch
from mixture import MIXTURE, Mixture
from schedules import SCHEDULE

from pipeline.diffusion.prediction import Prediction
from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.diffusion.samplers.dpmpp import DPMpp2M, DPMpp2MSDE

MEAN, STD = 0.4, 0.6
GAUSSIAN = Mixture(STD, (1.0, MEAN))
N = 40_000


def normals(seed, count=N):
    return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noise(node):
    return normals(1 + round(node.t * 1000))


def law(grid, eta, order, std=STD):
    """(mean, variance) of the result: moments of (x_t, the pred_x0 before), carried along by the paper's eq. 14 and 18.

    pred_x0 is linear in x_t for Gaussian data, so a step is an affine map of the pair, and noise that is added.
    """
    mean, cov, before = np.array([0.0, 0.0]), np.diag([1.0, 0.0]), None
    for node, prev in itertools.pairwise(grid):
        gain = node.alpha * std**2 / (node.alpha**2 * std**2 + node.sigma**2)
        of_x, shift = gain, MEAN - gain * node.alpha * MEAN  # pred_x0 = of_x · x_t + shift
        if prev.sigma == 0:
            return of_x * mean[0] + shift, of_x**2 * cov[0, 0]
        h = prev.lam - node.lam
        decay = prev.sigma / node.sigma * math.exp(-eta * h)
        weight = prev.alpha * (1 - math.exp(-(1 + eta) * h))
        ahead = h / (node.lam - before) / 2 if before is not None and order == 2 else 0.0
        a = np.array([[decay + weight * (1 + ahead) * of_x, -weight * ahead], [of_x, 0.0]])
        b = np.array([weight * (1 + ahead) * shift, shift])
        added = prev.sigma**2 * (1 - math.exp(-2 * eta * h))
        mean, cov, before = a @ mean + b, a @ cov @ a.T + np.diag([added, 0.0]), node.lam
    return mean[0], cov[0, 0]


@pytest.mark.parametrize("end", ["first", "zero"])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("eta", [0.3, 1.0])
@pytest.mark.parametrize("steps", [5, 20])
def test_mean_and_variance_are_those_of_the_closed_form(eta, order, end, steps):
    sampler = DPMpp2MSDE(eta=eta, order=order, end=end)
    grid = sampler.nodes(SCHEDULE, SCHEDULE.tau("logsnr", steps))
    x = sampler.sample(GAUSSIAN.predict, normals(0), grid, noise)
    mean, variance = law(grid, eta, order)
    # four standard errors: a right sampler fails once in 16,000, and the seeds are fixed
    assert x.mean().item() == pytest.approx(mean, abs=4 * math.sqrt(variance / N))
    assert x.var().item() == pytest.approx(variance, rel=4 * math.sqrt(2 / N))


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_the_covariance_of_correlated_data_is_that_of_the_closed_form(eta):
    """Two pixels with standard deviations 0.6 and 0.2 along axes that are turned: each axis has its own law."""
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    axes = [Mixture(std, (1.0, MEAN)) for std in (STD, 0.2)]

    def predict(x_t, node):
        along = x_t @ turn
        both = [axis.predict(along[:, i], node) for i, axis in enumerate(axes)]
        return Prediction(*(torch.stack(parts, 1) @ turn.T for parts in list(zip(*both, strict=True))[:2]))

    sampler = DPMpp2MSDE(eta=eta)
    grid = sampler.nodes(SCHEDULE, SCHEDULE.tau("logsnr", 10))
    pixels = [lambda node, i=i: normals(7 * i + 1 + round(node.t * 1000)) for i in range(2)]
    x_T = torch.stack([normals(0), normals(5)], 1)
    x = sampler.sample(predict, x_T, grid, lambda node: torch.stack([draw(node) for draw in pixels], 1))
    variances = torch.tensor([law(grid, eta, 2, std)[1] for std in (STD, 0.2)], dtype=torch.float64)
    expected = turn @ variances.diag() @ turn.T
    # four standard errors of a covariance: √((σ_i² σ_j² + σ_ij²) / N)
    error = (expected.diag().outer(expected.diag()) + expected**2).sqrt() / math.sqrt(N)
    assert ((torch.cov(x.T) - expected).abs() < 4 * error).all()


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_with_many_steps_it_draws_the_data(eta):
    sampler = DPMpp2MSDE(eta=eta)
    grid = sampler.nodes(SCHEDULE, SCHEDULE.tau("logsnr", 200))
    mean, variance = law(grid, eta, 2)
    assert mean == pytest.approx(MEAN, abs=1e-3)
    # of second order: 0.6 % at 50 steps and a sixteenth of that at 200; the start at λ = -5.06 leaves 1e-5
    assert math.sqrt(variance) == pytest.approx(STD, rel=2e-3)


def test_of_first_order_with_eta_1_it_is_ddim_with_eta_1():
    sampler = DPMpp2MSDE(order=1)
    for spacing in ("logsnr", "linear", "time-quadratic"):
        grid = sampler.nodes(SCHEDULE, SCHEDULE.tau(spacing, 10))
        ours = sampler.sample(MIXTURE.predict, normals(0, 64), grid, lambda node: noise(node)[:64])
        theirs = DDIM(1.0).sample(MIXTURE.predict, normals(0, 64), grid, lambda node: noise(node)[:64])
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)


def test_with_eta_between_it_is_another_sampler_than_ddim():
    grid = DPMpp2MSDE(order=1).nodes(SCHEDULE, SCHEDULE.tau("logsnr", 10))
    ours, theirs = (
        sampler.sample(MIXTURE.predict, normals(0, 64), grid, lambda node: noise(node)[:64])
        for sampler in (DPMpp2MSDE(eta=0.5, order=1), DDIM(0.5))
    )
    assert (ours - theirs).abs().max() > 1e-2


def test_without_noise_it_is_2m():
    for end in ("first", "zero"):
        grid = DPMpp2M(end=end).nodes(SCHEDULE, SCHEDULE.tau("karras", 10))
        ours = DPMpp2MSDE(eta=0.0, end=end).sample(MIXTURE.predict, normals(0, 64), grid, pytest.fail)
        theirs = DPMpp2M("never", end).sample(MIXTURE.predict, normals(0, 64), grid, pytest.fail)
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)


def test_no_noise_is_added_by_the_step_into_time_0():
    asked = []
    grid = DPMpp2MSDE().nodes(SCHEDULE, [0.0, 100.5, 900.0])
    DPMpp2MSDE().sample(GAUSSIAN.predict, normals(0, 4), grid, lambda node: asked.append(node.t) or normals(1, 4))
    assert asked == [900.0, 100.5]
