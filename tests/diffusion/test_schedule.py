"""Schedule and tau, against golden values of the authors' code and the paper's formulas."""

import itertools
import math

import pytest
import torch
from diffusers import DDIMScheduler
from schedules import SCHEDULE, schedule

from pipeline.diffusion.betas import alphas_cumprod, linear_betas
from pipeline.diffusion.noise import FRACTIONAL, X_T_STEP, step_of
from pipeline.diffusion.schedule import TIME_0
from pipeline.diffusion.spacing import REAL_SPACINGS, SPACINGS, canonical, make_tau, parse_spacing


def test_alphas_cumprod_in_float64_against_a_product_of_exact_terms():
    alphas = alphas_cumprod(linear_betas())
    assert alphas.dtype == torch.float64
    expected = 1.0
    for t in range(1000):
        expected *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
        assert math.isclose(alphas[t].item(), expected, rel_tol=1e-12)


def test_alphas_cumprod_is_what_diffusers_trains_with():
    theirs = DDIMScheduler(1000).alphas_cumprod.double()
    # theirs is a float32 product of 1000 terms, each rounded: 1000 * 2^-24 relative
    torch.testing.assert_close(alphas_cumprod(linear_betas()), theirs, rtol=1000 * 2**-24, atol=0)


def test_quadratic_is_the_authors_list():
    assert make_tau("quadratic", 10) == [0, 9, 39, 88, 158, 246, 355, 483, 632, 800]


@pytest.mark.parametrize(("steps", "distinct"), [(50, 49), (100, 96), (1000, 688)])
def test_quadratic_repeats_early_steps_and_counts_every_call(steps, distinct):
    tau = make_tau("quadratic", steps)
    assert (len(tau), len(set(tau)), tau == sorted(tau)) == (steps, distinct, True)


def test_linear_is_the_authors_range():
    assert make_tau("linear", 10) == [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]
    assert make_tau("linear", 1000) == list(range(1000))


@pytest.mark.parametrize(("steps", "calls"), [(30, 31), (300, 334), (600, 1000), (1, 1), (7, 8)])
def test_linear_takes_more_steps_where_they_do_not_divide(steps, calls):
    assert len(make_tau("linear", steps)) == calls


@pytest.mark.parametrize("steps", [1, 5, 10, 30, 50, 100, 999])
def test_paper_linear_is_its_formula(steps):
    c = 1000 / steps
    formula = [math.floor(c * i + 1e-9) for i in range(1, steps + 1)]  # 1e-9: c is rounded, the formula is not
    assert [t + 1 for t in make_tau("paper-linear", steps)] == formula
    assert formula[-1] == 1000


@pytest.mark.parametrize("steps", [1, 5, 10, 31])
def test_paper_quadratic_is_its_formula_where_that_is_a_subsequence(steps):
    c = 1000 / steps**2
    assert [t + 1 for t in make_tau("paper-quadratic", steps)] == [
        math.floor(c * i * i + 1e-9) for i in range(1, steps + 1)
    ]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [1, 2, 10, 100, 500, 1000])
def test_every_tau_ascends_within_the_model(spacing, steps):
    tau = SCHEDULE.tau(spacing, steps)
    assert tau == sorted(tau)
    assert 0 <= tau[0] <= tau[-1] < 1000
    if spacing.startswith("paper"):
        assert len(tau) == len(set(tau))
        assert tau[-1] == 999


def test_paper_full_chain():
    assert make_tau("paper-linear", 1000) == list(range(1000))


def test_a_list_is_taken_as_it_is():
    assert SCHEDULE.tau("0,7,400", 99) == [0, 7, 400]
    assert SCHEDULE.tau("0,39.5,95.25,999", 99) == [0, 39.5, 95.25, 999]
    assert SCHEDULE.tau("998.9", 1) == [round(998.9 / SCHEDULE.resolution) * SCHEDULE.resolution]
    assert parse_spacing("linear") is None
    assert [type(time) for time in parse_spacing("0,7.0,39.5,4e2")] == [int, int, float, int]


def test_a_list_is_spelled_in_one_way_unless_it_is_of_integers():
    """Those were allowed by earlier releases, whose names of files have their text."""
    for text in ("linear", "0,250,500", "0, 250", "007"):
        assert canonical(text) == text
    assert canonical("0,39.50, 1e2,250.0") == canonical("0.0,39.5,100,250") == "0,39.5,100,250"


def test_times_that_are_one_node_are_refused_and_the_nearest_are_not():
    step = SCHEDULE.resolution
    assert SCHEDULE.tau(f"5,{5 + step!r},6", 1) == [5, 5 + step, 6]
    text = f"0,5,{5 + 0.4 * step!r}"
    with pytest.raises(ValueError, match=f"^spacing '{text}' has times that .* noise, 5 and 5.0000001.*: move them ap"):
        SCHEDULE.tau(text, 1)
    with pytest.raises(ValueError, match="noise, 0 and 1e-09: move"):
        SCHEDULE.tau("0,1e-9,7", 1)


def test_a_grid_ends_at_time_0_where_alpha_is_1():
    grid = SCHEDULE.nodes([0, 9, 39])
    assert [node.t for node in grid] == [39, 9, 0, -1]
    assert [node.alpha_cumprod for node in grid] == [*(SCHEDULE.alphas_cumprod[t] for t in (39, 9, 0)), 1.0]
    assert grid[-1] == TIME_0
    assert (TIME_0.alpha, TIME_0.sigma, TIME_0.lam) == (1.0, 0.0, math.inf)


def test_between_timesteps_the_logarithm_of_alpha_is_linear():
    for t in (0.5, 3.25, 500.75, 998.5):
        below, fraction = int(t), t - int(t)
        low, high = (math.log(math.sqrt(SCHEDULE.alphas_cumprod[below + i])) for i in (0, 1))
        node = SCHEDULE.node(t)
        assert node.t == t
        # float64: an exponential and two logarithms, each rounded
        assert math.log(node.alpha) == pytest.approx((1 - fraction) * low + fraction * high, abs=1e-15)
    assert SCHEDULE.node(999).alpha_cumprod == SCHEDULE.alphas_cumprod[999]


def test_the_ends_are_those_of_the_papers_of_later_samplers():
    """log(alpha / sigma) of DDPM's schedule is -5.0588 at its last timestep and 4.6051 at its first."""
    assert SCHEDULE.node(999).lam == pytest.approx(-5.0588, abs=5e-5)
    assert SCHEDULE.node(0).lam == pytest.approx(4.6051, abs=5e-5)


@pytest.mark.parametrize("t", [0, 0.5, 51.72, 302.31, 652.59, 998.999, 999])
def test_the_time_of_a_noise_level_is_found_again(t):
    node = SCHEDULE.node(t)
    # both ways round to the grid of times
    assert abs(SCHEDULE.node_at(node.lam).t - node.t) <= SCHEDULE.resolution


def test_logsnr_times_are_dpm_solvers():
    """Ten steps that are even in log(alpha / sigma), as its released code prints them, to two decimals."""
    ends = SCHEDULE.node(999).lam, SCHEDULE.node(0).lam
    lams = [ends[0] + i * (ends[1] - ends[0]) / 10 for i in range(10)]
    times = [round(SCHEDULE.node_at(lam).t, 2) for lam in lams]
    assert times == [999, 898.29, 784.82, 652.59, 492.11, 302.31, 138.04, 51.72, 16.80, 3.95]


def test_the_real_valued_grids_are_their_formulas():
    first, last = SCHEDULE.node(0).lam, SCHEDULE.node(999).lam
    for spacing, even in {
        "logsnr": lambda node: node.lam,
        "karras": lambda node: math.exp(-node.lam / 7),
        "time-linear": lambda node: node.t,
        "time-quadratic": lambda node: math.sqrt(node.t + 1),
    }.items():
        nodes = [SCHEDULE.node(t) for t in SCHEDULE.tau(spacing, 11)]
        assert (nodes[0].t, nodes[-1].t) == (0, 999)
        assert (nodes[0].lam, nodes[-1].lam) == (first, last)
        values = [even(node) for node in nodes]
        steps = [b - a for a, b in itertools.pairwise(values)]
        # times are rounded to 2^-21, and lam falls by at most 0.35 a timestep at the first ones
        assert max(steps) - min(steps) < 1e-5, spacing


def test_one_time_is_the_last():
    for spacing in REAL_SPACINGS:
        assert SCHEDULE.tau(spacing, 1) == [999]
        assert SCHEDULE.tau(spacing, 2) == [0, 999]
        with pytest.raises(ValueError, match="from 1 to 1000"):
            SCHEDULE.tau(spacing, 1001)
    assert SCHEDULE.tau("linear", 3) == make_tau("linear", 3)


@pytest.mark.parametrize("steps", [1000, 500, 1024, 4000])
def test_a_fractional_time_has_an_exact_key_of_31_bits(steps):
    here = schedule(steps)
    assert 2**30 < steps / here.resolution <= 2**31
    keys = {step_of(here.node(t).t, here.resolution) for t in (0.5, 0.5 + here.resolution, steps - 1.5)}
    assert len(keys) == 3
    assert all(FRACTIONAL < key < X_T_STEP for key in keys)
    assert [step_of(here.node(t).t, here.resolution) for t in (0, 7, steps - 1)] == [0, 7, steps - 1]


@pytest.mark.parametrize(
    ("spacing", "steps", "says"),
    [
        ("linear", 0, "from 1 to 1000"),
        ("linear", 1001, "from 1 to 1000"),
        ("cosine", 10, "unknown spacing"),
        ("3,2", 10, "increasing"),
        ("-1,2", 10, "increasing"),
        ("0,1000", 10, "above 999"),
        ("0,999.5", 10, "above 999"),
        ("0,39.5,39.5", 10, "increasing"),
        ("0,40.5,39.5", 10, "increasing"),
        ("-0.5,2", 10, "increasing list of times from 0"),
        ("0,nan,2", 10, "increasing"),
        ("0,2,inf", 10, "increasing"),
        ("0,1e999", 10, "increasing"),
        ("0,,2", 10, "unknown spacing '0,,2': use .*, or times such as 0,39.5,250,500"),
        ("0;2.5", 10, "unknown spacing"),
    ],
)
def test_bad_input_is_named(spacing, steps, says):
    with pytest.raises(ValueError, match=says):
        SCHEDULE.tau(spacing, steps)
