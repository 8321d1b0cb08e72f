"""The samplers beside diffusers' schedulers, which others wrote: the same network and x_T give the same images."""

import itertools
import math
import sys
import types
from functools import partial

import diffusers
import numpy as np
import pytest
import torch
import walks
from schedules import SCHEDULE

from pipeline.diffusion import samplers
from pipeline.diffusion.samplers.base import network_calls

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers", "ignore:.*algorithm_type:FutureWarning")


class Singlestep(diffusers.DPMSolverSinglestepScheduler):
    """One solver_type is for both formulas of a step of order 3, of which DPM-Solver-3 has one of each."""

    def singlestep_dpm_solver_second_order_update(self, *args, **kwargs):
        self.register_to_config(solver_type="heun" if self.config.solver_order == 3 else "midpoint")
        x = super().singlestep_dpm_solver_second_order_update(*args, **kwargs)
        self.register_to_config(solver_type="midpoint")
        return x


multistep = partial(diffusers.DPMSolverMultistepScheduler, lower_order_final=False)
unipc = diffusers.UniPCMultistepScheduler
deis = partial(diffusers.DEISMultistepScheduler, lower_order_final=False)  # it ends at the first timestep
to_first = {"lower_order_final": False, "final_sigmas_type": "sigma_min"}
CASES = [("deis:ab_order=1", partial(multistep, algorithm_type="dpmsolver", solver_type="heun", **to_first))]
CASES += [(f"deis:ab_order={order - 1}", partial(deis, solver_order=order)) for order in (1, 2, 3)]
for end, last in (("first", "sigma_min"), ("zero", "zero")):
    to_end = partial(multistep, final_sigmas_type=last)
    sde = partial(to_end, algorithm_type="sde-dpmsolver++")
    never = f"end={end},lower_order_final=never"
    CASES += [(f"dpmpp_2m:{never}", to_end), (f"dpmpp_3m:{never},variant=common", partial(to_end, solver_order=3))]
    CASES += [(f"dpmpp_2m_sde:end={end},order={order}", partial(sde, solver_order=order)) for order in (1, 2)]
for order, bh, on in itertools.product((1, 2, 3), ("bh1", "bh2"), ("on", "off")):
    kind = partial(unipc, solver_order=order, solver_type=bh, disable_corrector=[*range(0 if on == "on" else 1000)])
    options = f"order={order},variant={bh},corrector={on}"
    CASES.append((f"unipc:{options},lower_order_final=never", partial(kind, **to_first)))
    if bh == "bh2":  # into time 0 theirs is NaN with bh1, and fails with lower_order_final=False
        CASES.append((f"unipc:{options},end=zero", kind))
single = partial(Singlestep, algorithm_type="dpmsolver", **to_first)  # it fails when it clips
WHOLE = (3, 27, 37)  # these divide 999, so that the times of their linspace are whole without being rounded
FRACTIONAL = ("logsnr", "karras", "time-quadratic")
WALKS = [(*case, times, clip) for case in CASES for times in WHOLE + FRACTIONAL for clip in (False, True)]
WALKS += [(f"dpm_solver:order={k}", partial(single, solver_order=k), t, False) for k in (2, 3) for t in FRACTIONAL]
X_T = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LAM_ERROR = (SCHEDULE.node(0).lam - SCHEDULE.node(1).lam) * SCHEDULE.resolution / 2  # of a time's rounding, at most


@pytest.fixture(autouse=True)
def _float64_in_diffusers(monkeypatch):
    """In diffusers, which names float32 for alphas_cumprod, sigmas and samples, that is a name of float64."""
    kinds = "DPMSolverMultistep DPMSolverSinglestep UniPCMultistep DEISMultistep HeunDiscrete PNDM IPNDM"
    for kind, name in itertools.product(kinds.split(), ("torch", "np")):
        module = sys.modules[getattr(diffusers, f"{kind}Scheduler").__module__]
        double = types.SimpleNamespace(**vars(globals()[name]) | {"float32": globals()[name].float64})
        monkeypatch.setattr(module, name, double)


def model(x, t):
    """A smooth deterministic stand-in for a network: bounded by 1.1, dependent on a fractional t and on neighbours."""
    return torch.tanh(x * (0.5 + t / 1000) + 0.3 * x.roll(1, -1)) + 0.1 * math.sin(t)


def noise_at(t):
    return torch.empty_like(X_T).normal_(generator=torch.Generator().manual_seed(round(t / SCHEDULE.resolution)))


def make(text):
    return samplers.make(*samplers.parse(text))


def ours(sampler, grid, clip=False, network=model, x=X_T):
    return sampler.sample(walks.predictor(network, clip), x, grid, lambda node: noise_at(node.t))


def theirs(scheduler, x=X_T):
    for t in scheduler.timesteps.tolist():
        noise = {"variance_noise": noise_at(t)} if "sde" in scheduler.config.get("algorithm_type", "") else {}
        x = scheduler.step(model(scheduler.scale_model_input(x, t), t), t, x, **noise).prev_sample
    return x


def hand_over(scheduler, grid, calls=1):
    """Let a scheduler walk our grid, as it would round fractional times of its own, but not their noise levels."""
    nodes = [grid[0], *(node for node in grid[1:-1] for _ in range(calls)), grid[-1]]
    scheduler.sigmas = torch.tensor([node.sigma / node.alpha for node in nodes], dtype=torch.float64)
    scheduler.timesteps = torch.tensor([node.t for node in nodes[:-1]], dtype=torch.float64)
    scheduler.set_begin_index(0)


def assert_same(x, expected, grid, epsilon=2**-53):
    # a step has at most 32 operations, each rounded to epsilon of the largest number, which is x_t times the ratio of
    # the alphas, before eps is subtracted; what later steps multiply an error by they multiply the image by too
    growth = max(prev.alpha / node.alpha for node, prev in itertools.pairwise(grid))
    bound = len(grid) * 32 * epsilon * growth * max(expected.abs().max().item(), X_T.abs().max().item())
    torch.testing.assert_close(x, expected, atol=bound, rtol=0)


@pytest.mark.parametrize(("text", "kind", "times", "clip"), WALKS)
def test_lambda_schedulers(text, kind, times, clip):
    sampler = make(text)
    whole = times in WHOLE
    grid = sampler.nodes(SCHEDULE, range(999 // times, 1000, 999 // times) if whole else SCHEDULE.tau(times, 12))
    scheduler = kind(thresholding=clip, sample_max_value=1.0)
    scheduler.set_timesteps(network_calls(sampler, grid))
    if not whole:
        hand_over(scheduler, grid)
    # weights of their DEIS are differences of ∫ Π (log(sigma / alpha) / h), each factor of which is as large as this
    lams = np.array([node.lam for node in grid])
    loss = (abs(lams[:-1]).max() / np.diff(lams).min()) ** sampler.options.get("ab_order", 0)
    assert_same(ours(sampler, grid, clip), theirs(scheduler), grid, 2**-53 * loss)


LOWERED = [("unipc:order=2", unipc), ("unipc:order=3", partial(unipc, solver_order=3))]
LOWERED += [("dpmpp_2m:lower_order_final=15", diffusers.DPMSolverMultistepScheduler)]
LOWERED += [("dpmpp_3m:lower_order_final=15,variant=common", partial(LOWERED[-1][1], solver_order=3))]


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8, 9, 10, 12, 14, 15, 20])  # 10 and 15 are where rules change
@pytest.mark.parametrize(("end", "last"), [("first", "sigma_min"), ("zero", "zero")])
@pytest.mark.parametrize(("text", "kind"), LOWERED)
def test_lower_order_final(text, kind, end, last, steps):
    sampler = make(f"{text},end={end}")
    grid = sampler.grid(SCHEDULE, "logsnr", steps)
    scheduler = kind(final_sigmas_type=last)
    assert scheduler.config.lower_order_final
    scheduler.set_timesteps(steps)
    hand_over(scheduler, grid)
    assert_same(ours(sampler, grid), theirs(scheduler), grid)


def test_each_rule_begins_where_it_should():
    for text, steps in itertools.product(
        ("dpmpp_2m", "dpmpp_3m", "unipc:order=2", "unipc:order=3"), (2, 5, 9, 10, 14, 15)
    ):
        grid = make(text).grid(SCHEDULE, "logsnr", steps)
        name, options = samplers.parse(text)
        rules = {"": name == "unipc" or steps < 10, "never": False, "always": True, "10": steps < 10, "15": steps < 15}
        images = {
            rule: ours(samplers.make(name, options | ({"lower_order_final": rule} if rule else {})), grid)
            for rule in rules
        }
        for rule, lowers in rules.items():
            assert (images[rule] == images["always" if lowers else "never"]).all(), (text, steps, rule)
        with pytest.raises(AssertionError):
            assert_same(images["always"], images["never"], grid, 1e6 * 2**-53)


def test_aliases_are_by_the_defaults_of_diffusers():
    for alias in ("DPMSolverMultistepScheduler", "UniPCMultistepScheduler"):
        for steps in (5, 12, 20):
            sampler, scheduler = make(alias), getattr(diffusers, alias)(beta_start=1e-4, beta_end=0.02)
            grid = sampler.grid(SCHEDULE, "time-linear", steps)
            scheduler.set_timesteps(steps)
            hand_over(scheduler, grid)
            assert_same(ours(sampler, grid), theirs(scheduler), grid)


def test_exact_3m_is_another():
    common, exact = (make(f"dpmpp_3m:variant={variant}") for variant in ("common", "exact"))
    grid = common.grid(SCHEDULE, "logsnr", 12)
    with pytest.raises(AssertionError):
        assert_same(ours(exact, grid), ours(common, grid), grid, 1e6 * 2**-53)


@pytest.mark.parametrize("count", [4, 7, 10])
@pytest.mark.parametrize(("text", "spacing"), [("unipc", "logsnr"), ("dpm_solver", "logsnr"), ("unipc", "karras")])
def test_grids_in_lam(text, spacing, count):
    grid = make(text).nodes(SCHEDULE, SCHEDULE.tau(spacing, count))
    lams = np.array([node.lam for node in grid])
    scheduler = multistep(use_lu_lambdas=spacing == "logsnr", use_karras_sigmas=spacing == "karras")
    scheduler.set_timesteps(len(grid))
    # dpm_solver rounds the times of inner points after those between which they are
    np.testing.assert_allclose(lams, -scheduler.sigmas[:-1].log().numpy(), atol=2 * LAM_ERROR, rtol=0)
    assert scheduler.timesteps.tolist() == [round(node.t) for node in grid]
    # get_sigmas_exponential and get_sigmas_karras of k-diffusion: sigma / alpha is even in its logarithm or 7th root
    roots = np.linspace(*np.exp(-lams[[0, -1]] / 7), len(grid))
    even = -7 * np.log(roots) if spacing == "karras" else np.linspace(*lams[[0, -1]], len(grid))
    np.testing.assert_allclose(lams, even, atol=2 * LAM_ERROR, rtol=0)


@pytest.mark.parametrize(("end", "last"), [("first", "sigma_min"), ("zero", "zero")])
def test_logsnr_is_lu_lambdas(end, last):
    sampler = make(f"dpmpp_2m:end={end}")
    grid = sampler.nodes(SCHEDULE, SCHEDULE.tau("logsnr", 11))
    scheduler = multistep(final_sigmas_type=last, use_lu_lambdas=True)
    scheduler.set_timesteps(11)
    scheduler.timesteps = scheduler.timesteps[: len(grid) - 1]  # with sigma_min the last step goes nowhere
    x = ours(sampler, grid, network=lambda x, t: model(x, round(t)))
    # x / alpha is a sum of eps, extrapolated to at most 2.2, times differences of sigma / alpha; a node has a part in
    # three steps, twice in each
    bound = 6 * 2.2 * LAM_ERROR * sum(node.sigma / node.alpha for node in grid)
    torch.testing.assert_close(x, theirs(scheduler), atol=bound, rtol=0)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("end", ["first", "zero"])
@pytest.mark.parametrize(("spacing", "count"), [("time-linear", 28), ("karras", 10)])
def test_heun(spacing, count, end, clip):
    sampler, times = make(f"heun:end={end}"), SCHEDULE.tau(spacing, count)
    grid = sampler.nodes(SCHEDULE, times)
    scheduler = diffusers.HeunDiscreteScheduler(beta_start=1e-4, beta_end=0.02, clip_sample=clip)
    scheduler.set_timesteps(count)
    if spacing == "karras":  # between two timesteps, theirs has other times, as log(sigma / alpha) is linear there
        hand_over(scheduler, SCHEDULE.nodes(times), calls=2)
    scheduler.timesteps = scheduler.timesteps[: network_calls(sampler, grid)]
    expected = theirs(scheduler, X_T / grid[0].alpha) * grid[-1].alpha  # theirs is x / alpha
    assert_same(ours(sampler, grid, clip), expected, grid)


@pytest.mark.parametrize("steps", [5, 10, 50])  # T / steps is even; where it is not, theirs has other middles
def test_pndm(steps):
    scheduler = diffusers.PNDMScheduler(set_alpha_to_one=True)
    scheduler.set_timesteps(steps)
    grid = make("pndm").nodes(SCHEDULE, SCHEDULE.tau("linear", steps))
    assert_same(ours(make("pndm"), grid), theirs(scheduler), grid)


def test_ipndm():
    sampler, x = make("ipndm"), X_T
    grid = sampler.nodes(SCHEDULE, SCHEDULE.tau("karras", 12))
    scheduler = diffusers.IPNDMScheduler()  # its schedule becomes ours, and the network gives what it turns into eps
    scheduler.alphas, scheduler.betas = torch.tensor([(node.alpha, node.sigma) for node in grid], dtype=torch.float64).T
    scheduler.set_begin_index(0)
    for node in grid[:-1]:
        x = scheduler.step((model(x, node.t) - node.sigma * x) / node.alpha, node.t, x).prev_sample
    assert_same(ours(sampler, grid), x, grid)


@pytest.mark.parametrize("budget", [5, 50, 200])
@pytest.mark.parametrize("spacing", ["logsnr", "karras", "linear"])
def test_float32(spacing, budget):
    sampler = make("dpmpp_2m")
    grid = sampler.grid(SCHEDULE, spacing, budget)
    x = ours(sampler, grid, x=X_T.float())
    assert x.dtype == torch.float32
    assert_same(x.double(), ours(sampler, grid), grid, 2**-24)
