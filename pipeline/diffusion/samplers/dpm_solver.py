"""DPM-Solver (Lu et al., NeurIPS 2022): singlestep methods in eps, of second and third order and "fast"."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor

from pipeline.diffusion.prediction import Predict
from pipeline.diffusion.samplers.base import End, Noise, Sampler, TooFewCallsError, eps_step, phi
from pipeline.diffusion.schedule import Grid, Schedule
from pipeline.diffusion.spacing import largest_count


@dataclass(frozen=True)
class DPMSolver(Sampler):
    """DPM-Solver-2 and -3 (algorithms 1 and 2): each step has as many network calls as its order, or one into time 0.

    The inner points of a step are even in lam, and are nodes of the grid; the authors' released code takes them from
    the spacing where that is not logsnr. diffusers' DPMSolverSinglestepScheduler rounds its times.
    """

    name = "dpm_solver"
    titled = ("order",)
    spacing = "logsnr"

    order: Annotated[int, Field(ge=2, le=3)] = 3
    end: End = "first"

    @property
    def title(self) -> str:
        """DPM-Solver with its order."""
        return f"DPM-Solver-{self.order}"

    @property
    def _last(self) -> int:
        """The number of steps into time 0."""
        return int(self.end == "zero")

    def refine(self, schedule: Schedule, outer: Grid) -> Grid:
        """Return the grid with the inner points of each step."""
        return _with_inner(schedule, outer, [self.order] * (len(outer) - 1 - self._last))

    def trajectory(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk the grid; see `Sampler.trajectory`."""
        steps = (len(grid) - 1 - self._last) // self.order
        return _walk(predict, x_T, grid, [self.order] * steps + [1] * self._last)


@dataclass(frozen=True)
class DPMFast(Sampler):
    """DPM-Solver-fast (appendix D.3), which takes the whole budget of network calls.

    It has steps of order 3, and at the end those of order 2 and 1 that make up the rest; k-diffusion's sample_dpm_fast
    computes the same.
    """

    name = "dpm_fast"
    title = "DPM-Solver-fast"
    spacing = "logsnr"

    end: End = "first"

    def nodes(self, schedule: Schedule, tau: Sequence[float]) -> Grid:
        """Refuse times: only a budget says how many steps there are. Raises ValueError."""
        raise ValueError(f"{self.name} finds its steps from a budget of calls: it cannot walk listed times")

    def grid(self, schedule: Schedule, spacing: str, budget: int) -> Grid:
        """Return the largest grid within a budget; see `Sampler.grid`."""
        total, last = schedule.num_times, int(self.end == "zero")

        def outer(count: int) -> Grid:
            return super(DPMFast, self).nodes(schedule, [*dict.fromkeys(schedule.tau(spacing, count))])

        for calls, starts_at_0 in itertools.product(range(min(budget, total) - last, -last, -1), (False, True)):
            orders = [1, *_fast(calls - 1)] if starts_at_0 and calls else _fast(calls)
            count = largest_count(lambda count: len(outer(count)) - 1 - last, len(orders), total)
            if count and len(nodes := outer(count)) - 1 - last == len(orders) and (nodes[0].alpha == 0) == starts_at_0:
                return _with_inner(schedule, nodes, orders)
        raise TooFewCallsError(f"{self.name} takes more than {budget} network calls")

    def trajectory(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk the grid; see `Sampler.trajectory`."""
        last = int(self.end == "zero")
        return _walk(predict, x_T, grid, _fast(len(grid) - 1 - last) + [1] * last)


def _fast(calls: int) -> list[int]:
    """Return the orders of DPM-Solver-fast's steps for a number of network calls."""
    if calls == 0:
        return []
    return [3] * (calls // 3 - 1) + [2, 1] if calls % 3 == 0 else [3] * (calls // 3) + [calls % 3]


def _with_inner(schedule: Schedule, outer: Grid, orders: Sequence[int]) -> Grid:
    """Return the grid with the inner points of its first steps, which have these orders."""
    steps = [*zip(itertools.pairwise(outer), orders, strict=False)]
    lams = [node.lam + (prev.lam - node.lam) * i / order for (node, prev), order in steps for i in range(1, order)]
    inner = map(schedule.node, schedule.times_at(np.array(lams)).tolist())
    nodes = [at for (node, _), order in steps for at in (node, *itertools.islice(inner, order - 1))]
    grid = (*nodes, *outer[len(orders) :])
    if any(node.lam >= prev.lam for node, prev in itertools.pairwise(grid)):
        raise ValueError("the grid has times so near each other that the inner points of a step are none of their own")
    return grid


def _walk(predict: Predict, x_T: Tensor, grid: Grid, orders: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
    x_t = x_T
    for start, end in itertools.pairwise(itertools.accumulate(orders, initial=0)):
        x_t, pred_x0 = _step(predict, x_t, grid[start : end + 1])
        yield x_t, pred_x0


def _step(predict: Predict, x_t: Tensor, nodes: Grid) -> tuple[Tensor, Tensor]:
    """Return (x_prev, pred_x0) of the step over all nodes, whose order is the number of their intervals."""
    node, *inner, prev = nodes
    h = prev.lam - node.lam
    pred_x0, eps, _ = predict(x_t, node)
    x_prev = eps_step(x_t, eps, node, prev)
    if not inner:
        return x_prev, pred_x0
    r_1 = (inner[0].lam - node.lam) / h
    change_1 = predict(eps_step(x_t, eps, node, inner[0]), inner[0]).eps - eps
    if len(inner) == 1:
        return x_prev - (prev.sigma * math.expm1(h) / (2 * r_1)) * change_1, pred_x0
    r_2 = (inner[1].lam - node.lam) / h
    slope = change_1 * (r_2 / r_1)
    u_2 = eps_step(x_t, eps, node, inner[1]) - (inner[1].sigma * r_2 * h * phi(2, r_2 * h)) * slope
    change_2 = predict(u_2, inner[1]).eps - eps
    return x_prev - (prev.sigma * h * phi(2, h) / r_2) * change_2, pred_x0
