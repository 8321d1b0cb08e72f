"""S is a budget of network calls: what every sampler asks of the network, on every grid, for every budget."""

import itertools

import pytest
import torch
from schedules import OURS, SCHEDULE, schedule

from pipeline.diffusion import samplers
from pipeline.diffusion.prediction import Prediction
from pipeline.diffusion.samplers import ALIASES
from pipeline.diffusion.samplers.base import Sampler, TooFewCallsError, network_calls
from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.diffusion.schedule import TIME_0
from pipeline.diffusion.spacing import SPACINGS, make_tau

TEXTS = [
    *("ddim", "ddim:eta=1", "dpmpp_2m", "dpmpp_3m", "dpmpp_2m_sde", "unipc:order=1", "unipc:order=3"),
    *("dpm_solver:order=2", "dpm_solver:order=3", "dpm_fast", "deis", "deis:variant=t", "ipndm", "pndm", "heun"),
]
BUDGETS = (*range(1, 15), 17, 29, 50)  # pndm, which needs most, takes 13


def both_ends(text):
    """The sampler with each end that it can have."""
    name, options = samplers.parse(text)
    ends = [{"end": end} for end in ("first", "zero")] if "end" in samplers.option_names(name) else [{}]
    return [samplers.make(name, options | end) for end in ends]


class Network:
    """Counts its calls, and records the nodes that it is shown."""

    def __init__(self):
        self.nodes = []

    def __call__(self, x_t, node):
        self.nodes.append(node)
        return Prediction((x_t - 0.1 * node.sigma * x_t) / node.alpha, 0.1 * x_t)


def walked(sampler, grid):
    network, x_T = Network(), torch.ones(1, 1, 1, 1)
    x_0 = sampler.sample(network, x_T, grid, lambda node: x_T)
    assert x_0.isfinite().all(), grid
    return network.nodes


def test_every_sampler_is_here():
    assert {samplers.parse(text)[0] for text in TEXTS} == set(OURS)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("text", TEXTS)
def test_the_network_is_called_as_often_as_nfe_says_and_the_budget_pays(text, spacing):
    for sampler in both_ends(text):
        refused = []
        for budget in BUDGETS:
            try:
                grid = sampler.grid(SCHEDULE, spacing, budget)
            except TooFewCallsError as error:
                refused.append((budget, str(error)))
                continue
            shown = walked(sampler, grid)
            assert len(shown) == network_calls(sampler, grid)
            assert len(shown) <= budget or (isinstance(sampler, DDIM) and spacing == "linear")
            assert all(0 <= node.t <= 999 for node in shown)
            assert shown[0] == grid[0]
            assert [node.t for node in grid] == sorted({node.t for node in grid}, reverse=True) or text[:4] == "ddim"
            assert (grid[-1].t == TIME_0.t) == (sampler.end == "zero")
            assert grid[-1].t in (-1, 0)
        assert [budget for budget, _ in refused] == [*range(1, 1 + len(refused))]  # once a budget is enough, more is
        assert all(f"not {budget}" in text for budget, text in refused)


@pytest.mark.parametrize("spacing", ["logsnr", "karras", "time-linear", "time-quadratic"])
@pytest.mark.parametrize("text", TEXTS)
def test_the_grid_is_the_largest_that_the_budget_pays_for(text, spacing):
    """What is left of it is less than a step more would take."""
    a_step = {"dpm_solver:order=2": 2, "dpm_solver:order=3": 3, "heun": 2}.get(text, 1)
    for sampler in both_ends(text):
        for budget in (15, 16, 17, 60):
            assert budget - network_calls(sampler, sampler.grid(SCHEDULE, spacing, budget)) < a_step


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("text", [text for text in TEXTS if not text.startswith("ddim")])
def test_no_number_of_times_makes_more_calls_within_the_budget(text, spacing):
    """All numbers of times are tried. Integers repeat from few times on where the schedule is short."""
    short = schedule(total := 18)
    taus = [sorted({*short.tau(spacing, count)}) for count in range(1, total + 1)]
    for sampler in both_ends(text):
        if text == "dpm_fast":  # a third of its calls are steps, and one step is for the rest
            last = int(sampler.end == "zero")
            steps = {len(grid) - 1 - last for tau in taus if (grid := Sampler.nodes(sampler, short, tau))}
            possible = {n + last for n in range(total + 1 - last) if (n // 3 + 1 if n else 0) in steps} - {0}
        else:
            possible = {network_calls(sampler, grid) for tau in taus if (grid := sampler.nodes(short, tau))}
        for budget in range(1, 2 * total):
            best = max((calls for calls in possible if calls <= budget), default=None)
            try:
                assert network_calls(sampler, sampler.grid(short, spacing, budget)) == best
            except TooFewCallsError:
                assert best is None


@pytest.mark.parametrize(("text", "spacing", "budget"), [("unipc", "quadratic", 29), ("ipndm", "quadratic", 57)])
def test_the_budget_is_used_up_where_times_repeat(text, spacing, budget):
    sampler = samplers.make(text, {})
    assert network_calls(sampler, sampler.grid(SCHEDULE, spacing, budget)) == budget


@pytest.mark.parametrize("text", [text for text in TEXTS if text != "dpm_fast"])
def test_a_list_of_a_grids_times_is_that_grid(text):
    for sampler in both_ends(text):
        tau = SCHEDULE.tau("time-quadratic", 9)
        listed = sampler.grid(SCHEDULE, ",".join(map(repr, tau)), 100)
        assert listed == sampler.nodes(SCHEDULE, tau)
        ours = [0, 39.5, 95.25, 313, 452, 774]
        shown = walked(sampler, sampler.grid(SCHEDULE, "0,39.5,95.25,313,452,774", 100))
        # the lowest is the end of walks that end at the first timestep
        assert {*ours[sampler.end == "first" :]} <= {node.t for node in shown}


def test_times_too_near_for_inner_points_are_one_line():
    near = f"0,500,{500 + SCHEDULE.resolution!r}"
    with pytest.raises(ValueError, match="^the grid has times so near each other that the inner points of a step are"):
        samplers.make("dpm_solver", {}).grid(SCHEDULE, near, 100)
    assert len(samplers.make("unipc", {}).grid(SCHEDULE, near, 100)) == 3


def test_budgets_that_are_too_small_name_the_least():
    for text, budget, least in [("pndm", 12, 13), ("dpm_solver:order=3", 2, 3), ("heun:end=first", 1, 2)]:
        sampler = samplers.make(*samplers.parse(text))
        with pytest.raises(
            TooFewCallsError, match=f"{sampler.name} takes {least} network calls at least, not {budget}"
        ):
            sampler.grid(SCHEDULE, "logsnr", budget)
        assert network_calls(sampler, sampler.grid(SCHEDULE, "logsnr", least)) == least


@pytest.mark.parametrize("steps", [15, 20, 30])
def test_ddim_alone_keeps_the_quirk_of_the_authors_linear_tau(steps):
    calls = len(make_tau("linear", steps))
    assert network_calls(DDIM(), DDIM().grid(SCHEDULE, "linear", steps)) == calls
    assert (calls > steps) == (1000 % steps != 0)
    for text in ("ipndm", "dpmpp_2m", "heun"):
        sampler = samplers.make(*samplers.parse(text))
        assert network_calls(sampler, sampler.grid(SCHEDULE, "linear", steps)) <= steps


def test_repeated_times_are_visited_once_but_by_ddim():
    assert len(make_tau("quadratic", 50)) == 50
    assert len(set(make_tau("quadratic", 50))) == 49
    assert len(DDIM().grid(SCHEDULE, "quadratic", 50)) == 51
    grid = samplers.make("ipndm", {}).grid(SCHEDULE, "quadratic", 50)
    assert len({node.t for node in grid}) == len(grid) == 51  # of 51 times that it asks for, one repeats


def test_a_sampler_that_no_number_of_times_suffices_says_so():
    for table, spacing in ((schedule(3), "linear"), (SCHEDULE, "0,10.5,500")):
        with pytest.raises(ValueError, match=f"pndm needs more times than {spacing} has on this model"):
            samplers.make("pndm", {}).grid(table, spacing, 3)


def test_short_schedules_are_walked_too():
    for text in TEXTS:
        for sampler in both_ends(text):
            grid = sampler.grid(schedule(20), sampler.spacing, 20)
            assert len(walked(sampler, grid)) == network_calls(sampler, grid) <= 20


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_takes_the_options_of_its_sampler(alias):
    name, options = samplers.parse(alias)
    option = samplers.option_names(name)[-1]
    value = {"eta": "0.25", "end": "first"}[option]
    if ":" not in alias:
        assert samplers.parse(f"{alias}:{option}={value}") == (name, options | {option: value})


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_eulers_ancestral_step_is_ddims(eta):
    """k-diffusion's sample_euler_ancestral, in its own variables: x / α, and σ / α."""
    assert samplers.parse("euler_a") == ("ddim", {"eta": "1"})
    x_T = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    grid = SCHEDULE.nodes(SCHEDULE.tau("karras", 10))
    noise = {node: torch.randn(5, generator=torch.Generator().manual_seed(i)).double() for i, node in enumerate(grid)}

    def predict(x_t, node):
        eps = torch.tanh(x_t + node.lam)
        return Prediction((x_t - node.sigma * eps) / node.alpha, eps)

    x = x_T / grid[0].alpha
    for node, prev in itertools.pairwise(grid):
        start, end = node.sigma / node.alpha, prev.sigma / prev.alpha
        up = min(end, eta * (end**2 * (start**2 - end**2) / start**2) ** 0.5)
        down = (end**2 - up**2) ** 0.5
        denoised = predict(x * node.alpha, node).pred_x0
        x = x + (x - denoised) / start * (down - start) + noise[node] * up
    ours = DDIM(eta).sample(predict, x_T, grid, lambda node: noise[node])
    torch.testing.assert_close(ours, x, atol=1e-12, rtol=1e-12)
