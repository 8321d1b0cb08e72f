"""DPM-Solver (Lu et al., NeurIPS 2022): singlestep methods in eps, of second and third order and "fast"."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from pipeline.diffusion.samplers.base import End, Noise, Predict, Sampler, TooFewCallsError, eps_step, phi
from pipeline.diffusion.schedule import Grid, Node, Schedule


@dataclass(frozen=True)
class DPMSolver(Sampler):
    """DPM-Solver-2, -3 and -fast (algorithms 1 and 2, appendix D.3): a step of order k has k network calls.

    `fast` takes the whole budget: steps of order 3, and at the end those of order 2 and 1 that make up the rest. The
    inner points of a step are even in lam, and are nodes of the grid. It differs from the authors' released code only
    there: that code takes inner points of spacings other than logsnr from the spacing.
    """

    name = "dpm_solver"
    spacing = "logsnr"

    order: Literal["2", "3", "fast"] = "3"
    end: End = "first"

    @property
    def title(self) -> str:
        """DPM-Solver with its order."""
        return f"DPM-Solver-{self.order}"

    def nodes(self, schedule: Schedule, tau: Sequence[float]) -> Grid:
        """Return the grid with the inner points of each step; see `Sampler.nodes`."""
        if self.order == "fast":
            raise ValueError(f"{self.name}:order=fast chooses its number of steps: it cannot walk given timesteps")
        outer = super().nodes(schedule, tau)
        return self._with_inner(schedule, outer, [int(self.order)] * (len(outer) - 1 - self._last))

    def grid(self, schedule: Schedule, spacing: str, budget: int) -> Grid:
        """Return the largest grid within a budget; see `Sampler.grid`."""
        if self.order != "fast":
            return super().grid(schedule, spacing, budget)
        for calls in range(min(budget, schedule.num_train_timesteps) - self._last, -self._last, -1):
            orders = _fast(calls)
            for count in (len(orders) + 1, len(orders) or 1):
                outer = super().nodes(schedule, [*dict.fromkeys(schedule.tau(spacing, count))])
                if len(outer) - 1 - self._last == len(orders):
                    return self._with_inner(schedule, outer, orders)
        raise TooFewCallsError(f"{self.name}:order=fast finds no grid for {budget} network calls in spacing {spacing}")

    @property
    def _last(self) -> int:
        """The number of steps into time 0; such a step is DDIM's."""
        return int(self.end == "zero")

    @staticmethod
    def _with_inner(schedule: Schedule, outer: Grid, orders: Sequence[int]) -> Grid:
        nodes: list[Node] = []
        for (node, prev), order in zip(itertools.pairwise(outer), orders, strict=False):
            h = prev.lam - node.lam
            nodes += [node, *(schedule.node_at(node.lam + h * i / order) for i in range(1, order))]
        return (*nodes, *outer[len(orders) :])

    def trajectory(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk the grid; see `Sampler.trajectory`."""
        x_t = x_T
        calls = len(grid) - 1 - self._last
        orders = _fast(calls) if self.order == "fast" else [int(self.order)] * (calls // int(self.order))
        starts = itertools.accumulate([*orders, *[1] * self._last], initial=0)
        for start, end in itertools.pairwise(starts):
            x_t, pred_x0 = _step(predict, x_t, grid[start : end + 1])
            yield x_t, pred_x0


def _fast(calls: int) -> list[int]:
    """Return the orders of DPM-Solver-fast's steps for a number of network calls."""
    if calls == 0:
        return []
    return [3] * (calls // 3 - 1) + [2, 1] if calls % 3 == 0 else [3] * (calls // 3) + [calls % 3]


def _step(predict: Predict, x_t: Tensor, nodes: Grid) -> tuple[Tensor, Tensor]:
    """Return (x_prev, pred_x0) of the step over all nodes, whose order is the number of their intervals."""
    node, *inner, prev = nodes
    h = prev.lam - node.lam
    eps, pred_x0 = predict(x_t, node)
    x_prev = eps_step(x_t, eps, node, prev)
    if not inner:
        return x_prev, pred_x0
    r_1 = (inner[0].lam - node.lam) / h
    change_1 = predict(eps_step(x_t, eps, node, inner[0]), inner[0])[0] - eps
    if len(inner) == 1:
        return x_prev - (prev.sigma * math.expm1(h) / (2 * r_1)) * change_1, pred_x0
    r_2 = (inner[1].lam - node.lam) / h
    slope = change_1 * (r_2 / r_1)
    u_2 = eps_step(x_t, eps, node, inner[1]) - (inner[1].sigma * r_2 * h * phi(2, r_2 * h)) * slope
    change_2 = predict(u_2, inner[1])[0] - eps
    return x_prev - (prev.sigma * h * phi(2, h) / r_2) * change_2, pred_x0
