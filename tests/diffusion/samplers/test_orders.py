"""Every sampler converges to the solution of the ODE at its order; those of first order are DDIM."""

import itertools
import math

import numpy as np
import pytest
import torch
from mixture import MIXTURE
from schedules import OURS, SCHEDULE

from pipeline.diffusion import samplers
from pipeline.diffusion.samplers.base import eps_step, phi, x0_step
from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.diffusion.samplers.deis import DEIS, WeightedNode

ORDERS = {
    "dpmpp_2m": 2,
    "dpmpp_2m_sde:eta=0,end=first": 2,
    "dpmpp_3m": 3,
    "dpmpp_3m:variant=common": 2,
    "unipc:order=1,corrector=off": 1,
    "unipc:order=2,corrector=off,lower_order_final=never": 2,
    "unipc:order=2,corrector=off,variant=bh1,lower_order_final=never": 2,
    "unipc:order=3,corrector=off,lower_order_final=never": 3,
    "unipc:order=1,lower_order_final=never": 2,
    "unipc:order=2,lower_order_final=never": 3,
    "unipc:order=3,lower_order_final=never": 4,
    "unipc:order=3,variant=bh1,lower_order_final=never": 4,
    "unipc:order=1": 2,
    "dpm_solver:order=2": 2,
    "dpm_solver:order=3": 3,
    "deis:ab_order=0": 1,
    "deis:ab_order=1": 2,
    "deis:ab_order=2": 3,
    "deis:ab_order=3": 4,
    "ipndm:order=1,end=first": 1,
    "ipndm:order=2,end=first": 2,
    "ipndm:order=3,end=first": 2,
    "ipndm:order=4,end=first": 2,
    "pndm:end=first": 2,
    "heun:end=first": 2,
}
"""Sampler → its order on nodes that are even in lam. Adams and Bashforth's weights are those of nodes even in time, so
they keep the second order only; the corrector of UniPC adds one. Lower orders at the end cost the orders above two."""


def randn(seed, count=64):
    return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(text):
    return samplers.make(*samplers.parse(text))


def walk(sampler, grid, x_T, noise=None):
    return sampler.sample(MIXTURE.predict, x_T, grid, noise or (lambda node: pytest.fail("asked for noise")))


def ddim_grid(tau):
    return SCHEDULE.nodes(tau)[:-1]  # DDIM ends at time 0; here where the others end


@pytest.fixture(scope="module")
def exact():
    return MIXTURE.solution(randn(0), SCHEDULE.node(999), SCHEDULE.node(0))


def slope(errors):
    return math.log2(errors[0] / errors[1])


def test_every_sampler_of_the_ode_is_here():
    assert {text.partition(":")[0] for text in ORDERS} | {"ddim", "dpm_fast"} == set(OURS)


@pytest.mark.parametrize(("text", "order"), ORDERS.items())
def test_it_converges_at_its_order(exact, text, order):
    errors = [
        (walk(make(text), make(text).nodes(SCHEDULE, SCHEDULE.tau("logsnr", steps + 1)), randn(0)) - exact).abs().max()
        for steps in (320, 640)
    ]
    # the next term of the error is a twentieth of the first here, and the start of a lower order adds to it
    assert slope(errors) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(
    ("text", "first", "last", "order"),
    [  # lower orders at the end: the last step errs by the square of its length, which shows where noise is left
        ("dpmpp_2m:lower_order_final=always", -5.06, 1.0, 2),
        ("dpmpp_3m:lower_order_final=always", -5.06, 1.0, 2),
        ("unipc:order=2", -5.06, 1.0, 2),
        ("unipc:order=3", -5.06, 1.0, 2),
        # lower orders at the start: in almost pure noise they cost nothing, later on they cost orders above two
        ("dpmpp_3m", -1.0, 4.6, 2),
        ("unipc:order=2,lower_order_final=never", -1.0, 4.6, 3),
        ("unipc:order=3,lower_order_final=never", -1.0, 4.6, 3),
    ],
)
def test_ends_of_lower_order_show_where_eps_changes(text, first, last, order):
    exact = MIXTURE.solution(randn(0), SCHEDULE.node_at(first), SCHEDULE.node_at(last))
    errors = []
    for steps in (640, 1280):
        grid = tuple(SCHEDULE.node_at(lam) for lam in np.linspace(first, last, steps + 1))
        errors.append((walk(make(text), grid, randn(0)) - exact).abs().max())
    assert slope(errors) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("spacing", ["logsnr", "karras", "time-quadratic", "time-linear"])
def test_ddim_converges_at_first_order(exact, spacing):
    errors = [
        (walk(DDIM(0.0), ddim_grid(SCHEDULE.tau(spacing, steps + 1)), randn(0)) - exact).abs().max()
        for steps in (320, 640)
    ]
    assert slope(errors) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(("budgets", "least"), [((161, 320), 2.5), ((159, 318), 1.85)])
def test_fast_keeps_the_order_of_its_last_step_but_one(exact, budgets, least):
    """With a rest of two calls the last step is of order 2, whose error counts once; with none it is of order 1."""
    errors = []
    for budget in budgets:
        grid = make("dpm_fast").grid(SCHEDULE, "logsnr", budget)
        assert len(grid) - 1 == budget
        errors.append((walk(make("dpm_fast"), grid, randn(0)) - exact).abs().max())
    assert slope(errors) > least


FIRST_ORDER = ["unipc:order=1,corrector=off", "deis:ab_order=0", "deis:ab_order=0,variant=t", "ipndm:order=1,end=first"]


@pytest.mark.parametrize("text", [*FIRST_ORDER, "dpmpp_2m_sde:order=1,eta=0,end=first"])
@pytest.mark.parametrize("spacing", ["linear", "logsnr", "karras"])
def test_those_of_first_order_are_ddim(text, spacing):
    tau = SCHEDULE.tau(spacing, 12)
    ours = walk(make(text), make(text).nodes(SCHEDULE, tau), randn(1))
    torch.testing.assert_close(ours, walk(DDIM(0.0), ddim_grid(tau), randn(1)), atol=1e-12, rtol=0)


@pytest.mark.parametrize("text", ["unipc:order=1,corrector=off,end=zero", "ipndm:order=1", "deis:ab_order=0,end=zero"])
def test_they_are_ddim_to_time_0_too(text):
    grid = make(text).nodes(SCHEDULE, SCHEDULE.tau("logsnr", 12))
    torch.testing.assert_close(
        walk(make(text), grid, randn(1)), walk(DDIM(0.0), SCHEDULE.nodes(SCHEDULE.tau("logsnr", 12)), randn(1))
    )


@pytest.mark.parametrize("step", [eps_step, x0_step])
def test_both_forms_of_the_step_are_ddims(step):
    for node, prev in itertools.pairwise(SCHEDULE.nodes(SCHEDULE.tau("logsnr", 12))):
        x_t = randn(2)
        pred_x0, eps, _ = MIXTURE.predict(x_t, node)
        ours = step(x_t, eps if step is eps_step else pred_x0, node, prev)
        theirs = prev.alpha * pred_x0 + prev.sigma * eps
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


def test_unip_3_is_the_exact_3m():
    for spacing in ("logsnr", "time-quadratic"):
        grid = make("dpmpp_3m").nodes(SCHEDULE, SCHEDULE.tau(spacing, 12))
        unip = "unipc:order=3,corrector=off,lower_order_final=10"
        ours, theirs = (walk(make(text), grid, randn(1)) for text in ("dpmpp_3m", unip))
        # from the fourth call on; the step of two values has the authors' weight ½ in UniP, as in 2M
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
        assert (walk(make("dpmpp_3m:variant=common"), grid, randn(1)) - ours).abs().max() > 1e-3


def test_unip_2_is_2m():
    grid = make("dpmpp_2m").nodes(SCHEDULE, SCHEDULE.tau("karras", 12))
    unip = "unipc:order=2,corrector=off,lower_order_final=10"
    ours, theirs = (walk(make(text), grid, randn(1)) for text in ("dpmpp_2m", unip))
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)


@pytest.mark.parametrize("z", [1e-9, 1e-3, 0.3, 0.999, 1.001, 5.0])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_phi_is_the_integral_that_defines_it(k, z, sign):
    points, weights = np.polynomial.legendre.leggauss(40)
    t = (points + 1) / 2  # phi_k(z) = ∫ exp((1 - t) z) t^(k-1) / (k-1)! dt over [0, 1]
    integral = float(np.exp((1 - t) * sign * z) * t ** (k - 1) / math.factorial(k - 1) @ weights / 2)
    # from the recursion, which begins at |z| = 1, each of up to three differences loses a factor of k! / |z|
    assert phi(k, sign * z) == pytest.approx(integral, rel=1e-13)


@pytest.mark.parametrize("variant", ["lam", "t"])
def test_the_weights_of_deis_are_the_integrals_of_its_polynomials(variant):
    """By trapezoids that are fine enough, in sigma / alpha: another variable than the code's."""
    grid = DEIS(ab_order=3, variant=variant).nodes(SCHEDULE, SCHEDULE.tau("time-quadratic", 8))
    for i in range(2, len(grid)):
        last, prev = grid[max(0, i - 4) : i][::-1], grid[i]
        kappa = np.linspace(math.exp(-last[0].lam), math.exp(-prev.lam), 200_001)
        at = SCHEDULE.times_at(-np.log(kappa)) if variant == "t" else -np.log(kappa)
        of = [node.t if variant == "t" else node.lam for node in last]
        for j in range(1, len(of)):
            values = np.prod([(at - of[k]) / (of[j] - of[k]) for k in range(len(of)) if k != j], axis=0)
            assert isinstance(prev, WeightedNode)
            # trapezoids err by the square of their width, 200,000 of them: 1e-10 of the largest value, times 200
            scale = np.abs(values).max() * abs(kappa[-1] - kappa[0])
            assert prev.weights[j - 1] == pytest.approx(np.trapezoid(values, kappa), abs=2e-8 * scale)
