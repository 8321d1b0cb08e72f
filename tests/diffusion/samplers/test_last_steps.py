"""The orders of a multistep method's steps are those of its authors' code: beside walks by definition."""

import itertools
import math

import numpy as np
import pytest
import torch
from mixture import MIXTURE
from schedules import SCHEDULE

from pipeline.diffusion import samplers

X_T = torch.randn(64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

STEPS = {5: (1, 2, 3, 2, 1), 8: (1, 2, 3, 3, 3, 3, 2, 1), 12: (1, 2, *[3] * 10), 20: (1, 2, *[3] * 18)}
"""Steps → the orders of DPM-Solver++'s multistep method of order 3 by its authors' code, lower below 10 steps."""
TO_THE_END = STEPS | {12: (1, 2, *[3] * 8, 2, 1), 20: (1, 2, *[3] * 16, 2, 1)}
"""Those of UniPC-3 by its authors' code."""


def by_definition(orders, grid, x, corrects):
    """A walk that integrates the polynomial through the last pred_x0, as many as the order, by Gauss's rule.

    Steps of second order have the authors' weight ½ instead: with the mean of both ends' slope.
    """
    points, weights = np.polynomial.legendre.leggauss(30)
    known = []  # (lam, pred_x0)
    before = None

    def step(x, node, prev, known):
        h = prev.lam - node.lam
        lams = np.array([lam for lam, _ in known])
        result = prev.sigma / node.sigma * x
        if len(known) == 2:
            (now, x0), (other, x0_other) = known
            middle = x0 + (x0_other - x0) / (other - now) * h / 2
            return result + prev.alpha * (1 - math.exp(-h)) * middle
        at = node.lam + h * (points + 1) / 2
        for j, (lam, x0) in enumerate(known):
            others = np.delete(lams, j)
            values = np.prod((at[:, None] - others) / (lam - others), axis=1)
            result = result + prev.sigma * float(np.exp(at) * values @ weights) * h / 2 * x0
        return result

    for order, (node, prev) in zip(orders, itertools.pairwise(grid), strict=True):
        x0 = MIXTURE.predict(x, node).pred_x0
        if corrects and before:
            x = step(*before[:3], [*before[3][:1], (node.lam, x0), *before[3][1:]])
        known = [(node.lam, x0), *known]
        before = x, node, prev, known[:order]
        x = step(*before)
    return x


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize(
    ("text", "orders", "corrects"),
    [
        ("dpmpp_2m", {n: [min(2, k) for k in orders] for n, orders in STEPS.items()}, False),
        ("dpmpp_3m", STEPS, False),
        ("unipc:order=2", {n: [min(2, k) for k in orders] for n, orders in TO_THE_END.items()}, True),
        ("unipc:order=3", TO_THE_END, True),
        ("unipc:order=3,corrector=off", TO_THE_END, False),
    ],
)
def test_the_orders_of_the_steps_are_those_of_the_authors_code(text, orders, corrects, steps):
    sampler = samplers.make(*samplers.parse(text))
    grid = sampler.grid(SCHEDULE, "time-quadratic", steps)
    expected = by_definition(orders[steps], grid, X_T, corrects)
    # Gauss's rule of 30 points is exact here to rounding; extrapolation multiplies it by what its values add up to
    torch.testing.assert_close(
        sampler.sample(MIXTURE.predict, X_T, grid, pytest.fail), expected, atol=1e-10, rtol=1e-10
    )
