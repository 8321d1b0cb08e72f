"""Every sampler on every kind of schedule: a table, one that ends in 0, and a flow; and the rule where alpha is 0."""

import math
from itertools import pairwise, product

import pytest
import torch
from schedules import FLOW, OURS, SCHEDULE, cosine, schedule, zero_snr
from scipy import stats

from pipeline.diffusion import samplers
from pipeline.diffusion.prediction import Prediction, predictor, v_prediction
from pipeline.diffusion.samplers.base import TooFewCallsError, network_calls
from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.diffusion.samplers.dpmpp import DPMpp2MSDE
from pipeline.diffusion.schedule import Discrete

SHORT = {"linear": schedule(24), "cosine": cosine(24), "zero": zero_snr(24), "flow": FLOW}
LONG = {"linear": SCHEDULE, "cosine": cosine(1000), "zero": zero_snr(1000), "flow": FLOW}
TEXTS = [*OURS, "ddim:eta=hat", "unipc:order=3", "dpm_solver:order=2", "deis:variant=t"]
ENDING_AT_0 = ("zero", "flow")
CASES = [(text, kind) for text, kind in product(TEXTS, SHORT) if text != "pndm" or kind not in ENDING_AT_0]


def make(text, **more):
    name, options = samplers.parse(text)
    return samplers.make(name, options | {option: more[option] for option in more if option not in options})


def counted(calls):
    """What samplers call, of a network that predicts v: finite at every node."""

    def network(x_t, node):
        calls.append(node)
        return 0.1 * x_t

    return predictor(network, v_prediction, clip=False)


def check(sampler, schedule, spacing, budget):
    """Walk, or be told that the budget is too small; return whether it was enough."""
    try:
        grid = sampler.grid(schedule, spacing, budget)
    except TooFewCallsError:
        return False
    x_T, calls = torch.tensor([1.0, -0.5], dtype=torch.float64), []
    walk = [*sampler.walk(counted(calls), x_T, grid, lambda node: x_T)]
    assert all(x.isfinite().all() for pair in walk for x in pair)
    assert len(calls) == network_calls(sampler, grid)
    published = sampler.name == "ddim" and spacing in ("linear", "quadratic")
    assert len(calls) <= budget or published
    assert published or all(a.t > b.t and a.alpha < b.alpha for a, b in pairwise(grid))
    if grid[0].alpha == 0:  # one call there, and no inner node
        assert [node.alpha for node in calls[:2]].count(0) == 1
        assert calls[1:2] in ([], [grid[1]])
    return True


@pytest.mark.parametrize(("text", "kind"), CASES)
@pytest.mark.parametrize(
    ("schedules", "budgets"),
    [(SHORT, (1, 2, 3, 10, 24)), pytest.param(LONG, (1, 2, 3, 7, 10, 600, 999, 1000), marks=pytest.mark.slow)],
    ids=["24", "1000"],
)
def test_grids_fall_and_walks_are_finite_and_take_the_calls_that_are_counted(text, kind, schedules, budgets):
    for end in ("first", "zero"):
        sampler = make(text, end=end)
        for spacing in schedules[kind].spacings:
            enough = [check(sampler, schedules[kind], spacing, budget) for budget in budgets]
            assert enough == sorted(enough)
            assert enough[-1]


@pytest.mark.parametrize(("text", "kind"), [case for case in CASES if case[0] in OURS and case[1] != "linear"])
def test_budgets_as_large_as_a_table_of_1000_are_walked(text, kind):
    for budget in (600, 1000) if kind == "zero" else (999,):
        assert check(make(text), LONG[kind], "time-quadratic", budget)


def test_tables_of_few_timesteps_are_walked_too():
    for total in (2, 3):
        for spacing in SCHEDULE.spacings:
            assert check(DDIM(), zero_snr(total), spacing, total)


def test_a_start_of_runge_and_kutta_is_refused_in_one_line():
    for kind in ENDING_AT_0:
        with pytest.raises(ValueError, match=r"^pndm starts with Runge and Kutta's steps, .*use another sampler.*$"):
            make("pndm").grid(SHORT[kind], "time-linear", 30)


@pytest.mark.parametrize(("text", "kind"), [case for case in CASES if case[1] in ENDING_AT_0])
def test_noise_alone_is_left_as_ddim_leaves_it_and_the_rest_is_a_walk_of_its_own(text, kind):
    """By hand: a step of DDIM, and the sampler's walk from where it leads, over the grid of the other times."""
    sampler, table = make(text, end="zero"), LONG[kind]
    x_T = torch.randn(4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def noise(node):
        return torch.full_like(x_T, 0.1 + node.t)

    grid = sampler.grid(table, "logsnr", 14)
    top, second = grid[:2]
    assert (top, second) == (table.node(table.last), table.node(table.last_with_signal))
    predict = counted([])
    pred_x0, eps, _ = predict(x_T, top)
    torch.testing.assert_close(eps, x_T)
    if sampler.name == "ddim":
        start = sampler.step(eps, pred_x0, top, second, lambda: noise(top))
    elif sampler.injects_noise:
        start = second.alpha * pred_x0 + second.sigma * noise(top)
    else:
        start = second.alpha * pred_x0 + second.sigma * x_T
    *_, (expected, _) = sampler.trajectory(predict, start, grid[1:], noise)
    assert torch.equal(sampler.sample(predict, x_T, grid, noise), expected)
    if sampler.name not in ("ddim", "dpm_fast"):  # these refine no listed times
        taus = [table.tau("logsnr", count) for count in range(2, 16)]
        (tau,) = [tau for tau in taus if sampler.nodes(table, tau) == grid]
        assert grid[1:] == sampler.nodes(table, tau[:-1])


@pytest.mark.parametrize("kind", ENDING_AT_0)
@pytest.mark.parametrize(
    "sampler", [*map(DDIM, (0.0, 0.3, 1.0)), *(DPMpp2MSDE(eta=eta, end="first") for eta in (0.0, 0.3, 1.0))], ids=repr
)
def test_marginals_hold_from_noise_alone_on(sampler, kind):
    """With the true x_0 in place of its prediction, every x_t of the walk is N(alpha x_0, sigma²)."""
    x_0, count, table = 0.7, 20_000, LONG[kind]

    def normals(seed):
        return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def truth(x_t, node):
        return Prediction(torch.full_like(x_t, x_0), (x_t - node.alpha * x_0) / node.sigma)

    grid = sampler.grid(table, "logsnr", 6)
    assert grid[0].alpha == 0
    walk = sampler.walk(truth, normals(0), grid, lambda node: normals(1 + round(1000 * node.t)))
    for node, (x_t, _) in zip(grid[1:], walk, strict=True):
        if node.sigma:
            # a right sampler fails this for one seed in ten thousand, and the seeds are fixed
            assert stats.kstest(((x_t - node.alpha * x_0) / node.sigma).numpy(), "norm").pvalue > 1e-4, node


def test_the_larger_variance_of_ddpm_is_1_there():
    """√(1 - α_t/α_prev) of eq. 16 is 1 where α_t is 0: all of x_T is replaced, and more goes in than there is room."""
    top, prev = zero_snr(1000).node(999), zero_snr(1000).node(500)
    x_T, z = torch.tensor([1.0, -2.0]), torch.tensor([0.3, 0.4])
    x_prev = DDIM("hat").step(x_T, torch.full_like(x_T, 0.7), top, prev, lambda: z)
    torch.testing.assert_close(x_prev, prev.alpha * 0.7 + z)


@pytest.mark.parametrize("text", ["dpmpp_2m_sde", "dpmpp_2m_sde:eta=0.3", "dpmpp_2m_sde:eta=0", "dpmpp_2m", "unipc"])
def test_the_rule_is_the_limit_of_the_samplers_own_step(text):
    """At an alpha_cumprod of 1e-300, lam is -345, and exp(-0.3 · 340) is 1e-44."""
    table, sampler, x_T = zero_snr(40).alphas_cumprod, make(text), torch.tensor([1.0, -0.5], dtype=torch.float64)
    almost = Discrete((*table[:-1], 1e-300))
    first = [
        next(sampler.walk(counted([]), x_T, (schedule.node(39), *schedule.nodes([0, 20])), lambda node: 2 * x_T))
        for schedule in (almost, zero_snr(40))
    ]
    torch.testing.assert_close(first[0], first[1], atol=1e-12, rtol=0)


@pytest.mark.parametrize(("text", "kind"), [case for case in CASES if not make(case[0]).injects_noise])
def test_walks_converge_to_the_closed_form_of_gaussian_data(text, kind):
    """x_0 is MEAN + STD (x_T - alpha MEAN) / √(alpha² STD² + sigma²), by a network that predicts v."""
    mean, std, table, sampler = 0.4, 0.6, LONG[kind], make(text, end="zero")

    def network(x_t, node):
        a, s = node.alpha, node.sigma
        return -s * mean + a * s * (1 - std**2) / (a**2 * std**2 + s**2) * (x_t - a * mean)

    x_T = torch.linspace(-2, 2, 5, dtype=torch.float64)
    errors = []
    for budget in (50, 100):
        grid = sampler.grid(table, "logsnr", budget)
        a, s = grid[0].alpha, grid[0].sigma
        exact = mean + std * (x_T - a * mean) / math.sqrt(a**2 * std**2 + s**2)
        images = sampler.sample(predictor(network, v_prediction, False), x_T, grid, pytest.fail)
        errors.append((images - exact).abs().max().item())
    # of first order, the error halves; what the last step into time 0 leaves of it stays
    assert errors[1] < 0.05
    assert errors[1] < 0.6 * errors[0] or errors[1] < 2e-3
