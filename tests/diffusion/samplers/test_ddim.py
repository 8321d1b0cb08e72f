"""The sampler against a float64 transcription of the paper, against diffusers, and against theory."""

import math

import numpy as np
import pytest
import torch
import walks
from diffusers import DDIMScheduler, DDPMScheduler
from schedules import SCHEDULE

from pipeline.diffusion import noise
from pipeline.diffusion.betas import alphas_cumprod, linear_betas
from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.diffusion.schedule import TIME_0
from pipeline.diffusion.spacing import make_tau
from pipeline.images.pixels import to_uint8

ALPHAS = alphas_cumprod(linear_betas())
ETAS = [0.0, 0.2, 0.5, 1.0, "hat"]


def model(x, t):
    """A smooth deterministic stand-in for a network: bounded, nonlinear, dependent on t and on neighbours."""
    return torch.tanh(x * (0.5 + t / 1000) + 0.3 * x.roll(1, -1)) + 0.1 * math.sin(t)


def step_noise(t):
    return torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(t), dtype=torch.float64)


def transcription(x, tau, eta, clip):
    """Eq. 9, 12 and 16 in numpy float64, index by index; sigma-hat as DDPM's posterior mean plus its larger noise."""
    alpha = lambda t: 1.0 if t < 0 else float(np.prod(1 - np.linspace(1e-4, 0.02, 1000)[: t + 1]))  # noqa: E731
    for i in reversed(range(len(tau))):
        t, prev = tau[i], tau[i - 1] if i > 0 else -1
        a, a_prev = alpha(t), alpha(prev)
        eps = model(torch.from_numpy(x), t).numpy()
        z = step_noise(t).numpy()
        x0 = (x - np.sqrt(1 - a) * eps) / np.sqrt(a)
        if clip:
            x0 = np.clip(x0, -1, 1)
        beta = 1 - a / a_prev
        if eta == "hat":
            mean = np.sqrt(a_prev) * beta / (1 - a) * x0 + np.sqrt(1 - beta) * (1 - a_prev) / (1 - a) * x
            x = mean + (np.sqrt(beta) * z if prev >= 0 else 0)
        else:
            if clip:
                eps = (x - np.sqrt(a) * x0) / np.sqrt(1 - a)
            sigma = eta * np.sqrt((1 - a_prev) / (1 - a)) * np.sqrt(beta)
            x = np.sqrt(a_prev) * x0 + np.sqrt(1 - a_prev - sigma**2) * eps + sigma * z
    return x


def x_start(dtype=torch.float64):
    return torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("spacing", ["linear", "quadratic", "paper-linear", "paper-quadratic", "0,3,500,999"])
@pytest.mark.parametrize("eta", ETAS)
@pytest.mark.parametrize("steps", [1, 2, 10, 30, 100])
@pytest.mark.parametrize("clip", [False, True])
def test_trajectories_against_a_transcription(spacing, eta, steps, clip):
    tau = [*map(int, SCHEDULE.tau(spacing, steps))]
    ours = walks.sample(model, x_start(), tau, ALPHAS, step_noise, eta, clip)
    expected = transcription(x_start().numpy(), tau, eta, clip)
    # α is a product of up to 1000 terms, each rounded to 2^-53; every step brings that error in once more, and what
    # later steps multiply it by they multiply the image by too
    bound = len(tau) * 1000 * 2**-53 * np.abs(expected).max()
    np.testing.assert_allclose(ours.numpy(), expected, atol=bound, rtol=0)


@pytest.mark.parametrize("eta", ETAS)
@pytest.mark.parametrize("t_index", range(10))
@pytest.mark.parametrize("spacing", ["linear", "quadratic"])
def test_one_step_in_float32(eta, t_index, spacing):
    tau = make_tau(spacing, 10)[: t_index + 1]
    clip = eta == "hat"
    noise = lambda t: step_noise(t).float()  # noqa: E731
    ours, _ = next(walks.trajectory(model, x_start(torch.float32), tau, ALPHAS, noise, eta, clip))
    a, a_prev = ALPHAS[tau[-1]].item(), ALPHAS[tau[-2]].item() if t_index else 1.0
    expected, _ = walks.step(x_start(), model(x_start(), tau[-1]), a, a_prev, eta, clip, lambda: step_noise(tau[-1]))
    # pred_x0 has 8 roundings (x's, five of the network's, a product, a difference) of 2^-24 of the largest |x|, and
    # goes on times √(α_prev / α); the rest of the step has as many
    bound = 8 * 2**-24 * x_start().abs().max().item() * (1 + math.sqrt(a_prev / a))
    torch.testing.assert_close(ours.double(), expected, atol=bound, rtol=0)


def rounding(steps, x):
    """Bound on float64's: α is one and the same, so a step has 16 operations, each rounded to 2^-53 of the image."""
    return steps * 16 * 2**-53 * x.abs().max().item()


@pytest.mark.parametrize("eta", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("steps", [10, 50, 100, 1000])
def test_against_diffusers_ddim(eta, steps):
    scheduler = DDIMScheduler(1000, clip_sample=False, set_alpha_to_one=True, timestep_spacing="leading")
    scheduler.alphas_cumprod = ALPHAS  # theirs is rounded to float32
    scheduler.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    scheduler.set_timesteps(steps)
    x = x_start()
    for t in scheduler.timesteps.tolist():
        x = scheduler.step(model(x, t), t, x, eta=eta, variance_noise=step_noise(t)).prev_sample
    ours = walks.sample(model, x_start(), make_tau("linear", steps), ALPHAS, step_noise, eta)
    torch.testing.assert_close(ours, x, atol=rounding(steps, x), rtol=0)


@pytest.mark.parametrize("steps", [10, 50, 100, 1000])
@pytest.mark.parametrize(("variance", "eta"), [("fixed_small", 1.0), ("fixed_large", "hat")])
def test_against_diffusers_ddpm(variance, eta, steps, monkeypatch):
    scheduler = DDPMScheduler(1000, variance_type=variance, clip_sample=eta == "hat", timestep_spacing="leading")
    scheduler.alphas_cumprod = ALPHAS
    scheduler.one = torch.tensor(1.0, dtype=torch.float64)
    scheduler.set_timesteps(steps)
    x = x_start()
    for t in scheduler.timesteps.tolist():
        monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, t=t, **__: step_noise(t))
        x = scheduler.step(model(x, t), t, x).prev_sample
    ours = walks.sample(model, x_start(), make_tau("linear", steps), ALPHAS, step_noise, eta, clip=eta == "hat")
    torch.testing.assert_close(ours, x, atol=rounding(steps, x), rtol=0)


def test_clipping_twice_changes_nothing_in_the_eta_form_of_sigma_hat():
    """Eq. 12 with eps derived anew equals the posterior mean, so sigma-hat has one form."""
    a, a_prev = ALPHAS[500].item(), ALPHAS[400].item()
    x, eps = x_start() * 3, model(x_start(), 500)
    ours, pred_x0 = walks.step(x, eps, a, a_prev, "hat", True, lambda: torch.zeros_like(x))
    beta = 1 - a / a_prev
    mean = math.sqrt(a_prev) * beta / (1 - a) * pred_x0 + math.sqrt(1 - beta) * (1 - a_prev) / (1 - a) * x
    assert pred_x0.abs().max() == 1
    torch.testing.assert_close(ours, mean)


def test_repeated_timesteps_are_identity_steps():
    for eta in ETAS:
        once = walks.sample(model, x_start(), [0, 5, 300], ALPHAS, step_noise, eta)
        twice = walks.sample(model, x_start(), [0, 0, 5, 300, 300], ALPHAS, step_noise, eta)
        torch.testing.assert_close(once, twice, atol=rounding(5, twice), rtol=0)


def test_eta_0_asks_for_no_noise_and_the_last_step_never_does():
    asked = []

    def counted(t):
        asked.append(t)
        return step_noise(t)

    walks.sample(model, x_start(), [0, 100, 200], ALPHAS, counted, 0.0)
    assert asked == []
    for eta in (0.2, 1.0, "hat"):
        asked.clear()
        walks.sample(model, x_start(), [0, 100, 200], ALPHAS, counted, eta)
        assert asked == [200, 100]


def test_the_network_is_called_once_a_step_and_pred_x0_comes_with_each():
    calls = []

    def counted(x, t):
        calls.append(t)
        return model(x, t)

    tau = make_tau("quadratic", 50)
    steps = list(walks.trajectory(counted, x_start(), tau, ALPHAS, step_noise))
    assert calls == tau[::-1]
    assert len(steps) == 50
    torch.testing.assert_close(*steps[-1])  # at time 0 the image is pred_x0


def test_to_uint8_rounds_as_the_authors_do():
    levels = torch.arange(256)
    assert torch.equal(to_uint8(levels / 127.5 - 1), levels.to(torch.uint8))
    between = (levels[:-1] + 0.4) / 127.5 - 1
    assert torch.equal(to_uint8(between), levels[:-1].to(torch.uint8))
    assert torch.equal(to_uint8(between + 0.2 / 127.5), levels[1:].to(torch.uint8))
    assert to_uint8(torch.tensor([-9.0, 9.0])).tolist() == [0, 255]


def test_encoding_with_clipping_is_finite_and_leaves_images_within_the_range_alone():
    """At time 0 an image is its own pred_x0, so clipping has nothing to do there but to eps, which keeps its value."""
    grid = DDIM().grid(SCHEDULE, "linear", 10)
    x_0 = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 1.8 - 0.9
    shown = []

    def network(x, t):
        shown.append(t)
        return model(x, t)

    x_T = DDIM().encode(walks.predictor(network, clip=True), x_0, grid)
    assert x_T.isfinite().all()
    assert len(shown) == 10
    first = SCHEDULE.nodes([*make_tau("linear", 10)])[-2]
    one = DDIM().encode(walks.predictor(model, clip=True), x_0, (first, TIME_0))
    torch.testing.assert_close(one, first.alpha * x_0 + first.sigma * model(x_0, 0.0))


def test_slerp_keeps_the_norms_law():
    a, b = (torch.randn(500, 3, 8, 8, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in (0, 1))
    torch.testing.assert_close(noise.slerp(a, b, 0.0), a)
    torch.testing.assert_close(noise.slerp(a, b, 1.0), b)
    unit_a, unit_b = (x / x.flatten(1).norm(dim=1).view(-1, 1, 1, 1) for x in (a, b))
    norms = noise.slerp(unit_a, unit_b, 0.3).flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones_like(norms))
    # ‖x‖² of a slerp of two independent normals stays near chi-square with d = 192: mean d, std √(2d), 500 draws
    mean = (noise.slerp(a, b, 0.5) ** 2).flatten(1).sum(1).mean().item()
    assert abs(mean - 192) < 4 * math.sqrt(2 * 192 / 500)
    linear = (((a + b) / 2) ** 2).flatten(1).sum(1).mean().item()
    assert linear < 110  # what a straight line would do


@pytest.mark.parametrize("a", [0.1, 0.5, 0.9])
def test_slerp_is_eq_67(a):
    x, y = (torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in (0, 1))
    u, v = x.numpy().ravel(), y.numpy().ravel()
    theta = np.arccos(u @ v / (np.linalg.norm(u) * np.linalg.norm(v)))
    expected = np.sin((1 - a) * theta) / np.sin(theta) * u + np.sin(a * theta) / np.sin(theta) * v
    # sums of 18 products in another order, each rounded to 2^-53
    bound = 18 * 2**-53 * np.abs(expected).max()
    np.testing.assert_allclose(noise.slerp(x, y, a).numpy().ravel(), expected, atol=bound, rtol=0)
