"""DEIS (Zhang and Chen, ICLR 2023): Adams-Bashforth steps, in which the exponential's weights are exact."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from pipeline.diffusion.prediction import Predict
from pipeline.diffusion.samplers.base import End, Noise, Sampler, eps_step
from pipeline.diffusion.schedule import Grid, Node, Schedule

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True)
class WeightedNode(Node):
    """A node with the weights of the step that leads to it."""

    weights: tuple[float, ...] = ()
    """What the difference of an earlier eps to the latest adds to x_prev / alpha, latest first."""


@dataclass(frozen=True)
class DEIS(Sampler):
    """DEIS: eps is extrapolated by a polynomial through the last `ab_order` + 1 values, and integrated exactly.

    The polynomial is one in lam, or, for `variant=t`, one in time: this is tAB-DEIS, with which the authors' numbers
    were made. A step into time 0 is DDIM's, and so is every step for `ab_order` 0. diffusers' DEISMultistepScheduler
    computes the form in lam, with solver_order = `ab_order` + 1 up to 3.
    """

    name = "deis"
    titled = ("ab_order", "variant")

    ab_order: Annotated[int, Field(ge=0, le=3)] = 3
    variant: Literal["lam", "t"] = "lam"
    end: End = "first"

    @property
    def title(self) -> str:
        """The authors' name of the method, with its order."""
        return f"DEIS {'t' if self.variant == 't' else 'λ'}AB{self.ab_order}"

    @property
    def spacing(self) -> str:
        """The spacing in which the variant does best at few calls, by docs/samplers.md."""
        return "time-quadratic" if self.variant == "t" else "logsnr"

    def refine(self, schedule: Schedule, outer: Grid) -> Grid:
        """Return the nodes with the weights of each step."""
        weighted = [outer[0]]
        for i, prev in enumerate(outer[1:]):
            last = outer[max(0, i - self.ab_order) : i + 1][::-1]
            weights = () if prev.sigma == 0 else self._weights(schedule, last, prev)
            weighted.append(WeightedNode(prev.t, prev.alpha_cumprod, weights))
        return tuple(weighted)

    def _weights(self, schedule: Schedule, last: Grid, prev: Node) -> tuple[float, ...]:
        """Return for each node of `last` but the latest ∫ L d(sigma / alpha) from the latest to `prev`.

        L is Lagrange's polynomial of the node. The integral is taken by Gauss's rule in lam, where the integrand is
        smooth; as a function of time it is so only between timesteps.
        """
        breaks = [last[0].lam, prev.lam]
        if self.variant == "t":
            inner = range(int(np.ceil(last[0].t)) - 1, int(prev.t), -1)
            breaks[1:1] = [schedule.node(t).lam for t in inner]
        edges = np.array(breaks)
        half = np.diff(edges)[:, None] / 2
        lams = (edges[:-1, None] + half + half * _POINTS).ravel()
        measure = -np.exp(-lams) * (half * _WEIGHTS).ravel()
        at = schedule.times_at(lams) if self.variant == "t" else lams
        of = [node.t if self.variant == "t" else node.lam for node in last]
        factors = [[(at - of[k]) / (of[j] - of[k]) for k in range(len(of)) if k != j] for j in range(1, len(of))]
        return tuple(float(np.prod(factor, axis=0) @ measure) for factor in factors)

    def trajectory(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk the grid; the first steps have lower orders. See `Sampler.trajectory`."""
        x_t = x_T
        history: list[Tensor] = []
        for node, prev in itertools.pairwise(grid):
            pred_x0, eps, _ = predict(x_t, node)
            x_t = eps_step(x_t, eps, node, prev)
            assert isinstance(prev, WeightedNode)  # `nodes` makes them
            for weight, earlier in zip(prev.weights, history, strict=False):
                x_t = x_t + prev.alpha * weight * (earlier - eps)
            history = [eps, *history[: self.ab_order - 1]]
            yield x_t, pred_x0
