"""PNDM (Liu et al., ICLR 2022): classical linear multistep methods in eps, around DDIM's step."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from pipeline.diffusion.prediction import Predict
from pipeline.diffusion.samplers.base import End, Noise, Sampler, eps_step
from pipeline.diffusion.schedule import Grid, Schedule

_ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
"""Weights of the last eps, latest first, by order. They fit steps of equal length in time."""


@dataclass(frozen=True)
class IPNDM(Sampler):
    """Improved PNDM (Zhang and Chen, ICLR 2023, appendix H.2): Adams and Bashforth's weights, of a growing order.

    The weights are those of equal steps, so it is of second order at most. diffusers' IPNDMScheduler has a noise
    schedule of its own, and is not for networks trained as DDPM.
    """

    name = "ipndm"
    titled = ("order",)

    order: Annotated[int, Field(ge=1, le=4)] = 4
    end: End = "zero"

    @property
    def title(self) -> str:
        """IPNDM with its order."""
        return f"iPNDM-{self.order}"

    def trajectory(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk the grid; see `Sampler.trajectory`."""
        x_t = x_T
        history: list[Tensor] = []
        for node, prev in itertools.pairwise(grid):
            pred_x0, eps, _ = predict(x_t, node)
            history = [eps, *history[: self.order - 1]]
            x_t = eps_step(x_t, _adams_bashforth(history), node, prev)
            yield x_t, pred_x0


@dataclass(frozen=True)
class PNDM(Sampler):
    """F-PNDM (algorithm 2): three steps of Runge and Kutta's method, of four calls each, then `IPNDM` of order 4.

    The network is shown the timestep whose noise level x_t has; the authors' released code shows it the one before.
    diffusers' PNDMScheduler (skip_prk_steps=False, set_alpha_to_one=True) computes the same where the number of steps
    divides T with an even quotient; elsewhere it rounds the middles of steps down.
    """

    name = "pndm"
    title = "F-PNDM"

    end: End = "zero"

    def nodes(self, schedule: Schedule, tau: Sequence[float]) -> Grid:
        """Return the grid, see `Sampler.nodes`. Raises ValueError where alpha is 0 at its first node."""
        if schedule.node(tau[-1]).alpha == 0:
            raise ValueError(
                f"{self.name} starts with Runge and Kutta's steps, which cannot leave noise alone (ᾱ = 0, where this "
                "grid begins): use another sampler, such as ipndm"
            )
        return super().nodes(schedule, tau)

    def refine(self, schedule: Schedule, outer: Grid) -> Grid:
        """Return the grid with the middle in time of each of the first three steps; () if there are fewer steps."""
        if len(outer) < _RUNGE_KUTTA + 1 + (self.end == "zero"):
            return ()
        pairs = itertools.pairwise(outer[: _RUNGE_KUTTA + 1])
        start = [node for first, second in pairs for node in (first, schedule.node((first.t + second.t) / 2))]
        return (*start, *outer[_RUNGE_KUTTA:])

    def trajectory(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk the grid; see `Sampler.trajectory`."""
        x_t = x_T
        history: list[Tensor] = []
        for i in range(0, 2 * _RUNGE_KUTTA, 2):
            node, middle, prev = grid[i : i + 3]
            pred_x0, eps_1, _ = predict(x_t, node)
            eps_2 = predict(eps_step(x_t, eps_1, node, middle), middle).eps
            eps_3 = predict(eps_step(x_t, eps_2, node, middle), middle).eps
            eps_4 = predict(eps_step(x_t, eps_3, node, prev), prev).eps
            history = [eps_1, *history]
            x_t = eps_step(x_t, (eps_1 + 2 * eps_2 + 2 * eps_3 + eps_4) / 6, node, prev)
            yield x_t, pred_x0
        for node, prev in itertools.pairwise(grid[2 * _RUNGE_KUTTA :]):
            pred_x0, eps, _ = predict(x_t, node)
            history = [eps, *history[:3]]
            x_t = eps_step(x_t, _adams_bashforth(history), node, prev)
            yield x_t, pred_x0


_RUNGE_KUTTA = 3


def _adams_bashforth(history: list[Tensor]) -> Tensor:
    weights = _ADAMS_BASHFORTH[len(history) - 1]
    total = weights[0] * history[0]
    for weight, eps in zip(weights[1:], history[1:], strict=True):
        total = total + weight * eps
    return total
