"""Refinement: the best grid for Gaussian data, found apart from it on the closed form; limits, budget, determinism."""

import itertools
import math

import numpy as np
import pytest
import torch
from schedules import FLOW, SCHEDULE
from scipy.optimize import minimize

from pipeline.diffusion.prediction import Prediction
from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.tuning.grids import named
from pipeline.tuning.paths import best_path, late_starts, single_steps
from pipeline.tuning.refine import refine

STDS = np.array([0.1, 0.3, 0.6, 0.9])
"""Of Gaussian data in four dimensions: too many for a grid of five times to be exact in all of them."""
X_T = torch.ones(1, 4, 1, 1, dtype=torch.float64)
LOG_ALPHAS_CUMPROD = np.log(SCHEDULE.alphas_cumprod)


def alpha_cumprod(t):
    return np.exp(np.interp(t, np.arange(1000), LOG_ALPHAS_CUMPROD))


EXACT = STDS / np.sqrt(alpha_cumprod(999) * STDS**2 + 1 - alpha_cumprod(999))
"""x_0 of an x_T of 1 by the exact ODE: a Gaussian's x_t keeps its quantile."""


def closed_form(times):
    """The mean squared error of DDIM's x_0 for an x_T of 1: each step multiplies x by a number."""
    falling = alpha_cumprod(np.sort(times)[::-1])[:, None]
    alpha, sigma = np.append(np.sqrt(falling), [[1]], 0), np.append(np.sqrt(1 - falling), [[0]], 0)
    factors = (alpha[1:] * alpha[:-1] * STDS**2 + sigma[1:] * sigma[:-1]) / (
        alpha[:-1] ** 2 * STDS**2 + sigma[:-1] ** 2
    )
    return ((factors.prod(0) - EXACT) ** 2).mean()


def optimum(count):
    """Of the closed form, by Nelder and Mead's method from many places."""
    random = np.random.default_rng(0)
    starts = np.sort(random.uniform(0, math.sqrt(999), (12, count)))
    results = [
        minimize(
            lambda root: math.log(closed_form(root**2)),
            start,
            method="Nelder-Mead",
            bounds=[(0, math.sqrt(999))] * count,
            options={"xatol": 1e-3, "fatol": 1e-5, "adaptive": True, "maxfev": 2000},
        )
        for start in starts
    ]
    return math.exp(min(result.fun for result in results))


def predict(x_t, node):
    std = torch.from_numpy(STDS).view(1, 4, 1, 1)
    eps = node.sigma * x_t / ((node.alpha * std) ** 2 + node.sigma**2)
    return Prediction((x_t - node.sigma * eps) / node.alpha, eps)


def walked(grids):
    """The score as the search has it: by the sampler's own walk."""
    images = [DDIM(0.0).sample(predict, X_T, SCHEDULE.nodes(times), pytest.fail) for times in grids]
    return [((x_0.flatten().numpy() - EXACT) ** 2).mean().item() for x_0 in images]


def by_dynamic_programming(count):
    teacher = SCHEDULE.nodes(SCHEDULE.tau("time-quadratic", 60))
    steps = [*DDIM(0.0).walk(predict, X_T, teacher, pytest.fail)]
    x_t, pred_x0 = torch.stack([X_T, *(x for x, _ in steps)]), torch.stack([x_0 for _, x_0 in steps])
    path = best_path(single_steps(teacher, x_t, pred_x0), late_starts(x_t), count)
    return tuple(teacher[i].t for i in reversed(path[:-1]))


def by_name(count):
    grids = [*named(SCHEDULE, count).values()]
    return grids[int(np.argmin(walked(grids)))]


@pytest.mark.parametrize("count", [3, 4, 5])
def test_the_best_grid_for_gaussian_data_is_the_closed_forms(count):
    """To 2 %. A score may have other valleys, so a search begins in several places."""
    starts = [by_dynamic_programming(count), by_name(count)]
    assert walked(starts) == pytest.approx([closed_form(np.array(start)) for start in starts])
    assert walked(starts[:1])[0] < min(walked([*named(SCHEDULE, count).values()]))
    refined = [refine(walked, start, 0.0, 999.0, 0, 150) for start in starts]
    best = min(refined, key=lambda one: one.score)
    assert [best.score] == walked([best.times])
    least = optimum(count)
    assert 0.999 * least < best.score < 1.02 * least
    assert walked(starts)[0] > 2 * least  # there was something to do


@pytest.mark.parametrize("fixed", [0, 1])
@pytest.mark.parametrize(("schedule", "scale"), [(SCHEDULE, 10), (FLOW, 10**4)], ids=["table", "flow"])
def test_times_stay_ascending_rounded_and_within_their_limits(schedule, scale, fixed):
    """Scores that pull all times together at an end: the first of them, or the last."""
    low, high = schedule.first, schedule.last
    start = (*schedule.tau("time-quadratic", 5),)
    for pull in (1, -1):
        tried = []

        def score(grids, pull=pull, tried=tried):
            tried.extend(grids)
            return [pull * sum(times) for times in grids]

        refined = refine(score, start, low, high, fixed, 60)
        assert refined.tried == len(tried) == len({*tried}) <= 60
        assert refined.score == min(pull * sum(times) for times in tried)
        for times in tried:
            assert len(times) == 5
            assert times[:fixed] == start[:fixed]
            assert all(a < b for a, b in itertools.pairwise(times))
            assert low <= times[0] <= times[-1] <= high
            assert all(round(t * scale) / scale == t for t in times)
        span = max(t for t in refined.times[fixed:]) - min(refined.times[fixed:])
        assert span < 0.02 * (high - low)


@pytest.mark.parametrize("moves", [1, 2, 20])
def test_no_more_moves_are_made_than_allowed_and_the_start_is_among_them(moves):
    start, tried = (100.0, 400.0, 900.0), []

    def score(grids):
        tried.extend(grids)
        return walked(grids)

    refined = refine(score, start, 0.0, 999.0, 0, moves)
    assert (refined.tried, len(tried), tried[0]) == (moves, moves, start)
    assert refined.score == min(walked(tried))
    assert refined == refine(walked, start, 0.0, 999.0, 0, moves)


@pytest.mark.parametrize(
    ("start", "high", "decimals"), [((500.0, 505.3, 510.6), 999.0, 1), ((0.5, 0.505, 0.5106), 1.0, 4)]
)
def test_the_first_moves_are_those_of_one_time_each_by_its_root_even_past_its_neighbours(start, high, decimals):
    tried = []

    def score(grids):
        tried.extend(grids)
        return [sum(t / high for t in times) for times in grids]

    refine(score, start, 0.0, high, 0, 7)
    moved = {round(high * (math.sqrt(t / high) + sign * 0.03) ** 2, decimals) for t in start for sign in (1, -1)}
    assert tried[0] == start
    for times in tried[1:]:
        (new,) = {*times} - {*start}
        assert new in moved
        assert times == (*sorted({*times}),)
