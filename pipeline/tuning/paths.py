"""Grids by dynamic programming over DDIM's single steps from a teacher's trajectories.

The idea is GITS's (Chen et al., "On the Trajectory Regularity of ODE-based Diffusion Sampling", ICML 2024;
github.com/zju-pi/diff-sampler). Three things differ. Deviations are those of x_t, whose scale is the same at all nodes:
in GITS's x_t / alpha nearly all steps go to the noisy end of schedules with little signal there. They are squared, and
no step weighs more than another. And a grid may begin at less noise than the teacher's. On the digits each of these,
with the other two as they are, brought UniPC-2, DPM-Solver++ 2M and iPNDM nearer to the teacher at 3 and at 5 calls.
"""

import math

import torch
from torch import Tensor

from pipeline.diffusion.schedule import Grid


def single_steps(grid: Grid, x_t: Tensor, pred_x0: Tensor) -> Tensor:
    """Return how far DDIM's single steps between a teacher's nodes lead away from the teacher.

    A step starts at the teacher's x_t and goes by the teacher's own prediction, so no network is called.

    Args:
        grid: the teacher's M + 1 nodes, from noise to data.
        x_t: the teacher's x_t at the nodes, (M + 1, N, C, H, W).
        pred_x0: the teacher's predictions at all nodes but the last, (M, N, C, H, W).

    Returns:
        float64, (M + 1, M + 1): squared deviations of x at node j, after a step from node i, in row i and column j;
        infinite unless j is nearer to the data. They are sums over pixels and trajectories, so those of parts of the
        trajectories can be added: `best_path` knows no scale.

    """
    costs = torch.full((len(grid), len(grid)), math.inf, dtype=torch.float64)
    for i, node in enumerate(grid[:-1]):
        eps = (x_t[i] - node.alpha * pred_x0[i]) / node.sigma
        for j, prev in enumerate(grid[i + 1 :], i + 1):
            costs[i, j] = _squared(prev.alpha * pred_x0[i] + prev.sigma * eps - x_t[j])
    return costs


def late_starts(x_t: Tensor) -> Tensor:
    """Return how far x_T, taken as x_t at each of a teacher's nodes, is away from the teacher: where a grid may begin.

    Args:
        x_t: see `single_steps`.

    Returns:
        float64, (M + 1,): sums of squares as in `single_steps`, to be added in the same way. The first is 0.

    """
    return torch.stack([_squared(x - x_t[0]) for x in x_t]).cpu()


def best_path(costs: Tensor, starts: Tensor, steps: int) -> list[int]:
    """Return the nodes of the cheapest grid of exactly so many steps to the last node, ascending.

    Args:
        costs: sums of `single_steps`, (M + 1, M + 1).
        starts: sums of `late_starts`, (M + 1,).
        steps: the number of steps, from 1 to M.

    """
    rest = torch.full_like(starts, math.inf)  # the cost from each node to the last in so many steps
    rest[-1] = 0
    choices = []
    for _ in range(steps):
        rest, choice = (costs + rest).min(dim=1)
        choices.append(choice.tolist())
    path = [int((starts + rest).argmin())]
    for choice in reversed(choices):
        path.append(choice[path[-1]])
    return path


def _squared(deviation: Tensor) -> Tensor:
    return deviation.double().square().sum()
