"""A flow and tables that end in 0: times, noise keys, what is refused, and other people's arithmetic."""

import itertools
import random
from functools import partial

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler
from schedules import FLOW, SCHEDULE, cosine, zero_snr

from pipeline.diffusion import noise, samplers
from pipeline.diffusion.prediction import PARAMETRIZATIONS, flow_prediction, predictor
from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.diffusion.samplers.deis import DEIS
from pipeline.diffusion.schedule import Discrete
from pipeline.diffusion.spacing import INTEGER_SPACINGS, REAL_SPACINGS

LABELS_STEP = 0x7FFF_FFFF
UNIT = 2**31 - 2
X_T = torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def model(x, t):
    """A smooth deterministic stand-in for a network."""
    return torch.tanh(x * (0.5 + t / 1000) + 0.3 * x.roll(1, -1))


def test_a_node_of_the_flow_is_its_definition():
    for u in (0.0001, 0.001, 0.25, 0.5, 0.9, 0.999, 1.0):
        node = FLOW.node(u)
        assert node.t == pytest.approx(u, abs=0.5 / UNIT)
        # x_u = (1 - u) x_0 + u eps, divided by the root of the sum of squares; 1 - alpha_cumprod of 1e-6 is rounded
        assert node.alpha / (node.alpha + node.sigma) == pytest.approx(1 - node.t, abs=1e-9)
        if u < 1:
            assert FLOW.node_at(node.lam).t == pytest.approx(node.t, abs=1 / UNIT)
    assert (FLOW.node(1).alpha, FLOW.node(1).sigma, FLOW.node(1).lam) == (0, 1, -np.inf)
    assert FLOW.node(0) == FLOW.time_0
    assert (FLOW.time_0.alpha, FLOW.time_0.lam) == (1, np.inf)
    assert FLOW.node_at(-np.inf).t == 1


def test_each_time_of_the_flow_has_a_key_of_its_own_that_is_never_x_Ts_or_the_labels():
    units = {0, 1, 2, UNIT // 2, UNIT - 2, UNIT - 1, UNIT, *random.Random(0).choices(range(UNIT), k=1000)}
    keys = {FLOW.noise_step(FLOW.node(unit / UNIT)) for unit in units}
    assert keys == {noise.FRACTIONAL | unit for unit in units}
    assert max(keys) == noise.X_T_STEP - 1
    assert min(keys) > LABELS_STEP


@pytest.mark.parametrize("total", [2, 3, 1000, 1024, 4000])
def test_no_time_of_a_table_has_the_key_of_x_T_or_of_the_labels(total):
    table = cosine(total)
    last = [table.node(t) for t in (total - 1, total - 1 - table.resolution, total - 2, table.resolution)]
    keys = [table.noise_step(node) for node in last]
    assert keys[:2] == [total - 1, noise.FRACTIONAL | round((total - 1) / table.resolution - 1)]
    assert len({*keys}) == 4 or total == 2
    assert noise.X_T_STEP > keys[1] > noise.FRACTIONAL > LABELS_STEP > keys[0]


def test_the_flows_grids_are_their_formulas():
    even = {
        "logsnr": lambda node: node.lam,
        "karras": lambda node: (node.sigma / node.alpha) ** (1 / 7),
        "time-linear": lambda node: node.t,
        "time-quadratic": lambda node: node.t**0.5,
    }
    for spacing in REAL_SPACINGS:
        tau = FLOW.tau(spacing, 12)
        ends = (0.001, 0.999, 1) if spacing in ("logsnr", "karras") else (0.001, tau[-2], 1)
        assert (tau[0], tau[-2], tau[-1]) == ends
        values = [even[spacing](FLOW.node(t)) for t in tau if t < 1 or spacing.startswith("time")]
        # times are rounded to 2^-31, and lam moves by a thousand a unit of time at the ends
        np.testing.assert_allclose(np.diff(values), np.diff(values).mean(), rtol=0, atol=1e-6)
        assert (FLOW.tau(spacing, 1), FLOW.tau(spacing, 2)[1]) == ([1], 1)


def test_grids_even_in_lam_begin_before_the_end_of_a_table_that_ends_in_0():
    table = zero_snr(1000)
    for spacing in ("logsnr", "karras"):
        assert [table.tau(spacing, count) for count in (1, 2, 3)] == [[999], [998, 999], [0, 998, 999]]
        nodes = [table.node(t) for t in table.tau(spacing, 12)[:-1]]
        even = [node.lam if spacing == "logsnr" else np.exp(-node.lam / 7) for node in nodes]
        # times are rounded to 2^-21, and lam moves by 3 a timestep at most; the root of sigma / alpha by as much
        np.testing.assert_allclose(np.diff(even), np.diff(even).mean(), rtol=0, atol=1e-5)
    assert table.tau("time-linear", 3) == [0, 499.5, 999]
    assert table.node(999).lam == -np.inf
    assert table.node_at(-np.inf).t == 999
    assert table.node_at(-60).t == 998


@pytest.mark.parametrize("spacing", INTEGER_SPACINGS)
def test_whole_timesteps_on_a_flow_are_refused_in_one_line(spacing):
    says = "has whole timesteps, and the model's time is continuous: use logsnr, karras, time-linear, time-quadratic"
    with pytest.raises(ValueError, match=f"^spacing '{spacing}' {says}$"):
        FLOW.tau(spacing, 10)
    with pytest.raises(ValueError, match="unknown spacing 'cosine'"):
        FLOW.tau("cosine", 10)


def test_listed_times_of_a_flow_are_above_0_and_at_most_1():
    assert FLOW.tau("0.0001,0.25,0.5,1", 9) == pytest.approx([0.0001, 0.25, 0.5, 1], abs=0.5 / UNIT)
    for spacing, says in {
        "0,0.5,1": "has time 0, where the model's images are: begin above it",
        "0.5,1.5": "has a time above 1, the model's last",
        "0,250,500": "has a time above 1, the model's last",
        "1e-9,0.5": "has times that the model rounds to the same noise, 0 and 1e-09: move them apart",
        "0.5,0.5000000001": "has times that the model rounds to the same noise, 0.5 and 0.5000000001: move them apart",
    }.items():
        with pytest.raises(ValueError, match=f"^spacing '{spacing}' {says}$"):
            FLOW.tau(spacing, 10)


@pytest.mark.parametrize("text", ["ddim", "unipc", "dpm_solver:order=2", "deis:variant=t", "heun:end=first"])
def test_samplers_walk_listed_times_of_a_flow_below_the_first_of_its_grids(text):
    """A walk that ends at its first time ends at the lowest that is listed, or at 0.001 if that is above it."""
    sampler = samplers.make(*samplers.parse(text))
    for listed, lowest in [("0.0001,0.0005,0.3,0.8", 0.0001), ("0.2,0.3,0.8", 0.001)]:
        grid = sampler.grid(FLOW, listed, 20)
        times = [node.t for node in grid]
        assert times == sorted({*times}, reverse=True)
        if sampler.end == "first":
            assert times[-1] == pytest.approx(lowest, abs=0.5 / UNIT)
        predict = predictor(lambda x_t, node: torch.ones_like(x_t), PARAMETRIZATIONS["epsilon"], False)
        x_0 = sampler.sample(predict, X_T, grid, pytest.fail)
        # for an eps that is the same everywhere each of them is exact: x_t / alpha moves by eps sigma / alpha
        start, last = grid[0], grid[-1]
        moved = last.sigma / last.alpha - start.sigma / start.alpha
        # sigma² is 1 - alpha_cumprod, of which 6 digits are left at u = 0.0001, and lam is of it
        torch.testing.assert_close(x_0, last.alpha * (X_T / start.alpha + moved), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "table", [(0.9, 0.9, 0.1), (1.0, 0.5), (0.9, -0.1), (0.0,), (0.9, float("nan")), (0.5, 0.0, 0.0)]
)
def test_a_table_that_does_not_fall_is_refused_in_one_line(table):
    with pytest.raises(ValueError, match=r"^alphas_cumprod must fall strictly.* not so at timestep [012]$"):
        Discrete(table)


@pytest.mark.parametrize("spacing", REAL_SPACINGS)
def test_ddims_step_on_a_flow_is_eulers(spacing):
    """dx/dt = v, from t to the next, on x_t = (1 - t) x_0 + t eps."""
    grid = DDIM().grid(FLOW, spacing, 12)
    shown = []

    def network(x_t, node):
        shown.append(x_t / (node.alpha + node.sigma))
        return model(shown[-1], 1000 * node.t)

    walk = DDIM().trajectory(predictor(network, flow_prediction, False), X_T, grid, pytest.fail)
    x = X_T
    for (node, prev), (x_t, pred_x0) in zip(itertools.pairwise(grid), walk, strict=True):
        v = model(x, 1000 * node.t)
        # sigma² is 1 - alpha_cumprod, which has 10 digits at u = 0.001
        torch.testing.assert_close(shown[-1], x, atol=1e-9, rtol=0)
        torch.testing.assert_close(pred_x0, x - node.t * v, atol=1e-9, rtol=0)
        x = x + (prev.t - node.t) * v
        torch.testing.assert_close(x_t / (prev.alpha + prev.sigma), x, atol=1e-9, rtol=0)


@pytest.mark.parametrize("steps", [1, 2, 10, 50])
def test_time_linear_on_a_flow_is_diffusers(steps):
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(steps)
    x = X_T
    for t in scheduler.timesteps:
        x = scheduler.step(model(x, t.item()), t, x).prev_sample
    grid = DDIM().grid(FLOW, "time-linear", steps)
    assert [1000 * node.t for node in grid[:-1]] == pytest.approx(scheduler.timesteps.tolist(), rel=1e-6)

    def network(x_t, node):
        return model(x_t / (node.alpha + node.sigma), 1000 * node.t)

    ours = DDIM().sample(predictor(network, flow_prediction, False), X_T, grid, pytest.fail)
    # theirs are times and steps in float32, with as many roundings of 2^-24 of 1 as there are steps, and a few each
    torch.testing.assert_close(ours, x.double(), atol=8 * steps * 2**-24 * x.abs().max().item(), rtol=0)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", ["v_prediction", "sample"])
@pytest.mark.parametrize("rescale", [True, False])
def test_tables_that_end_in_0_are_diffusers(name, rescale, eta):
    """On the same nodes, the last one included: theirs are T - 1, T - 1 - T / S, …, and then time 0."""
    kind = partial(DDIMScheduler, prediction_type=name, rescale_betas_zero_snr=rescale)
    scheduler = kind(1000, clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing")
    scheduler.set_timesteps(10)
    table = zero_snr(1000) if rescale else SCHEDULE
    # theirs are float32: roots of a product of 1000 terms, each rounded to 2^-24, less the last
    theirs = scheduler.alphas_cumprod.double()
    torch.testing.assert_close(torch.tensor(table.alphas_cumprod).double(), theirs, atol=1000 * 2**-24, rtol=0)
    scheduler.alphas_cumprod = torch.tensor(table.alphas_cumprod, dtype=torch.float64)
    scheduler.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    tau = sorted(scheduler.timesteps.tolist())
    assert (tau[0], tau[-1], len(tau)) == (99, 999, 10)

    def step_noise(t):
        return torch.randn(X_T.shape, generator=torch.Generator().manual_seed(int(t)), dtype=torch.float64)

    x = X_T
    for t in scheduler.timesteps.tolist():
        x = scheduler.step(model(x, t), t, x, eta=eta, variance_noise=step_noise(t)).prev_sample
    predict = predictor(lambda x_t, node: model(x_t, node.t), PARAMETRIZATIONS[name], clip=False)
    ours = DDIM(eta).sample(predict, X_T, table.nodes(tau), lambda node: step_noise(node.t))
    assert x.abs().max() > 0.1
    torch.testing.assert_close(ours, x, atol=1e-13, rtol=0)


@pytest.mark.parametrize("kind", [SCHEDULE, zero_snr(1000), FLOW], ids=["linear", "zero", "flow"])
@pytest.mark.parametrize("name", ["v_prediction", "flow_prediction"])
def test_encoding_and_decoding_returns_images_better_with_more_steps(name, kind):
    """By the best network of Gaussian data."""
    mean, std = 0.4, 0.6

    def network(x_t, node):
        a, s = node.alpha, node.sigma
        of_x0, of_eps = (-s, a) if name == "v_prediction" else (-1, 1)
        return of_x0 * mean + (of_x0 * a * std**2 + of_eps * s) / (a**2 * std**2 + s**2) * (x_t - a * mean)

    predict = predictor(network, PARAMETRIZATIONS[name], clip=False)
    x_0 = torch.linspace(-1, 1, 9, dtype=torch.float64)
    errors = []
    for steps in (20, 40, 80):
        grid = DDIM().grid(kind, "time-linear", steps)
        x_T = DDIM().encode(predict, x_0, grid)
        errors.append((DDIM().sample(predict, x_T, grid, pytest.fail) - x_0).abs().max().item())
    assert errors[0] < 0.5
    assert errors[1] < 0.65 * errors[0]  # of first order
    assert errors[2] < 0.65 * errors[1]


def test_encoding_with_a_network_that_predicts_the_image_is_refused_in_one_line():
    predict = predictor(lambda x_t, node: x_t, PARAMETRIZATIONS["sample"], clip=False)
    with pytest.raises(ValueError, match="^a network that predicts the image says nothing of the noise at time 0"):
        DDIM().encode(predict, X_T, DDIM().grid(FLOW, "time-linear", 5))


@pytest.mark.parametrize("variant", ["lam", "t"])
def test_the_weights_of_deis_on_a_flow_are_the_integrals_of_its_polynomials(variant):
    """By trapezoids that are fine enough, in sigma / alpha: another variable than the code's."""
    grid = DEIS(ab_order=2, variant=variant).nodes(FLOW, FLOW.tau("time-quadratic", 8))[1:]
    for i in range(2, len(grid)):
        last, prev = grid[max(0, i - 3) : i][::-1], grid[i]
        kappa = np.exp(np.linspace(-last[0].lam, -prev.lam, 200_001))
        at = kappa / (1 + kappa) if variant == "t" else -np.log(kappa)
        of = [node.t if variant == "t" else node.lam for node in last]
        for j in range(1, len(of)):
            values = np.prod([(at - of[k]) / (of[j] - of[k]) for k in range(len(of)) if k != j], axis=0)
            scale = np.abs(values).max() * abs(kappa[-1] - kappa[0])
            assert prev.weights[j - 1] == pytest.approx(np.trapezoid(values, kappa), abs=1e-8 * scale)


def test_samplers_of_higher_order_beat_ddim_on_a_flow():
    """On data whose best network is known: what a grid or a step done wrongly would cost them."""
    mean, std = 0.4, 0.1

    def network(x_t, node):
        a, s = node.alpha, node.sigma
        return -mean + (s - a * std**2) / (a**2 * std**2 + s**2) * (x_t - a * mean)

    predict, x_T = predictor(network, flow_prediction, False), torch.linspace(-2, 2, 5, dtype=torch.float64)
    errors = {}
    for text in ("ddim", "dpmpp_2m:end=zero", "unipc:end=zero", "deis:end=zero", "dpm_solver:end=zero"):
        sampler = samplers.make(*samplers.parse(text))
        images = sampler.sample(predict, x_T, sampler.grid(FLOW, "logsnr", 40), pytest.fail)
        errors[text] = (images - (mean + std * x_T)).abs().max().item()
    ddim = errors.pop("ddim")
    assert all(error < ddim / 2 for error in errors.values()), (ddim, errors)
