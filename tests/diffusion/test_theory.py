"""What the paper proves, tested where the best eps is known in closed form: Gaussian data, and a mixture."""

import math

import numpy as np
import pytest
import torch
import walks
from scipy import stats

from pipeline.diffusion.betas import alphas_cumprod, linear_betas
from pipeline.diffusion.spacing import make_tau

ALPHAS = alphas_cumprod(linear_betas())
MEAN, STD = 0.4, 0.6
N = 20_000


def gaussian_eps(x, t):
    """E[ε | x_t] for data N(MEAN, STD²)."""
    a = ALPHAS[t].item()
    return math.sqrt(1 - a) * (x - math.sqrt(a) * MEAN) / (a * STD**2 + 1 - a)


def mixture_eps(x, t):
    """E[ε | x_t] for data that is -1 or +0.5, weights 1/3 and 2/3, each with a spread of 0.1."""
    a = ALPHAS[t].item()
    variance = a * 0.01 + 1 - a
    logits = torch.stack([math.log(w) - (x - math.sqrt(a) * m) ** 2 / (2 * variance) for w, m in MIXTURE])
    weights = logits.softmax(0)
    score = sum(w * (math.sqrt(a) * m - x) / variance for w, (_, m) in zip(weights, MIXTURE, strict=True))
    return -math.sqrt(1 - a) * score


MIXTURE = [(1 / 3, -1.0), (2 / 3, 0.5)]


def randn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noise(t):
    return randn(t + 1, N, 1, 1, 1)


@pytest.mark.parametrize("eta", [0.0, 0.3, 0.7, 1.0])
def test_marginals_of_eq_7_hold_for_every_sigma(eta):
    """With the true x_0 in place of its prediction, x_t → x_prev keeps q(x_t | x_0) = N(√α_t x_0, 1-α_t)."""
    x_0 = 0.7
    t = 800
    x = math.sqrt(ALPHAS[t].item()) * x_0 + math.sqrt(1 - ALPHAS[t].item()) * noise(5000)
    for t_prev in (500, 499, 100, 3):
        a, a_prev = ALPHAS[t].item(), ALPHAS[t_prev].item()
        eps = (x - math.sqrt(a) * x_0) / math.sqrt(1 - a)
        x, _ = walks.step(x, eps, a, a_prev, eta, False, lambda t=t: noise(t))
        z = (x - math.sqrt(a_prev) * x_0) / math.sqrt(1 - a_prev)
        # a right sampler fails this for one seed in ten thousand, and the seed is fixed
        assert stats.kstest(z.numpy().ravel(), "norm").pvalue > 1e-4, t_prev
        t = t_prev


def test_sigma_hat_breaks_the_marginals():
    """The reason why it fails at few steps: more noise goes in than eps makes room for."""
    a, a_prev = ALPHAS[800].item(), ALPHAS[400].item()
    x = math.sqrt(1 - a) * noise(5000)
    x, _ = walks.step(x, x / math.sqrt(1 - a), a, a_prev, "hat", False, lambda: noise(1))
    assert x.var().item() > 1.05 * (1 - a_prev)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_full_chain_draws_the_data_distribution(eta):
    x = walks.sample(gaussian_eps, noise(5000), list(range(1000)), ALPHAS, noise, eta)
    # the discretisation of 1000 steps moves the std by under 1 %; the sampling error of both is STD/√N = 0.004
    assert x.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert x.std().item() == pytest.approx(STD, rel=0.01)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_mixture_keeps_its_weights(eta):
    x = walks.sample(mixture_eps, noise(5000), list(range(1000)), ALPHAS, noise, eta)
    share = (x < -0.25).double().mean().item()
    # binomial error √(2/9/N) = 0.0033, three of them; the spread of each mode shrinks by the discretisation,
    # first order in 1/S: 11 % at 250 steps, so 3 % here
    assert share == pytest.approx(1 / 3, abs=0.01)
    for weight_side, mean in ((x < -0.25, -1.0), (x >= -0.25, 0.5)):
        assert x[weight_side].mean().item() == pytest.approx(mean, abs=0.01)
        assert x[weight_side].std().item() == pytest.approx(0.1, rel=0.05)


def endpoint_error(eps_model, steps):
    x_T = randn(0, 200, 1, 1, 1)
    exact = walks.sample(eps_model, x_T, list(range(1000)), ALPHAS, noise)
    return (walks.sample(eps_model, x_T, make_tau("paper-linear", steps), ALPHAS, noise) - exact).abs().mean().item()


@pytest.mark.parametrize("eps_model", [gaussian_eps, mixture_eps])
def test_ddim_is_a_first_order_method(eps_model):
    steps = [20, 40, 80, 160]
    slope = np.polyfit(np.log(steps), np.log([endpoint_error(eps_model, s) for s in steps]), 1)[0]
    # Euler's order is 1; against the finest chain there is (1000) instead of the limit, the slope reads steeper
    assert -1.4 < slope < -0.8


def test_ddim_on_gaussian_data_is_the_known_line():
    """The probability-flow ODE of a Gaussian is linear: x_0 = MEAN + STD / √(α STD² + 1-α) · (x_T - √α MEAN)."""
    x_T = randn(0, 100, 1, 1, 1)
    a = ALPHAS[999].item()
    exact = MEAN + STD * (x_T - math.sqrt(a) * MEAN) / math.sqrt(a * STD**2 + 1 - a)
    errors = [
        (walks.sample(gaussian_eps, x_T, make_tau("paper-linear", s), ALPHAS, noise) - exact).abs().max().item()
        for s in (50, 100, 1000)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1.1 * errors[0] * 50 / 1000  # Euler's order is 1; a tenth for the higher ones


def test_full_chain_with_eta_1_is_the_ddpm_posterior():
    """Each step has DDPM's posterior mean and variance β̃ = (1-ᾱ_prev)/(1-ᾱ) β (Ho et al., eq. 6 and 7)."""
    betas = linear_betas()
    x, eps = randn(1, 5, 1, 4, 4), randn(2, 5, 1, 4, 4)
    for t in (1, 2, 10, 500, 999):
        a, a_prev, beta = ALPHAS[t].item(), ALPHAS[t - 1].item(), betas[t].item()
        mean, pred_x0 = walks.step(x, eps, a, a_prev, 1.0, False, lambda: torch.zeros_like(x))
        ones, _ = walks.step(x, eps, a, a_prev, 1.0, False, lambda: torch.ones_like(x))
        expected = math.sqrt(a_prev) * beta / (1 - a) * pred_x0 + math.sqrt(1 - beta) * (1 - a_prev) / (1 - a) * x
        # β here and 1 - α_t/α_prev there differ by α's rounding, 2^-53, over the least β, 1e-4; a few of those
        rounding = 8 * 2**-53 / 1e-4
        torch.testing.assert_close(mean, expected, atol=rounding, rtol=0)
        variance = (ones - mean) ** 2
        torch.testing.assert_close(variance, torch.full_like(x, (1 - a_prev) / (1 - a) * beta), atol=0, rtol=rounding)


@pytest.mark.parametrize("eps_model", [gaussian_eps, mixture_eps])
def test_encode_then_decode_returns_x_0_better_with_more_steps(eps_model):
    x_0 = randn(3, 200, 1, 1, 1) * 0.1 + 0.5
    errors = []
    for steps in (10, 50, 100, 500, 1000):
        tau = make_tau("linear", steps)
        x_T = walks.encode(eps_model, x_0, tau, ALPHAS)
        errors.append(((walks.sample(eps_model, x_T, tau, ALPHAS, noise) - x_0) ** 2).mean().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 2 * errors[2] * (100 / 1000) ** 2  # of order 1, so its square of order 2; measured 1.05 and 1.2


@pytest.mark.parametrize("tau", [[0, 9, 39, 800], [5, 6], [999]])
def test_encode_shows_the_network_the_timestep_that_it_leaves(tau):
    seen = []

    def counted(x, t):
        seen.append(t)
        return gaussian_eps(x, t)

    walks.encode(counted, randn(3, 5, 1, 2, 2), tau, ALPHAS)
    assert seen == [0, *tau[:-1]]  # time 0 is none that it knows


def test_encode_inverts_exactly_where_eps_is_constant():
    def constant(x, t):
        return torch.full_like(x, 0.3)

    x_0 = randn(3, 5, 1, 2, 2)
    tau = make_tau("quadratic", 20)
    x_T = walks.encode(constant, x_0, tau, ALPHAS)
    torch.testing.assert_close(walks.sample(constant, x_T, tau, ALPHAS, noise), x_0)
