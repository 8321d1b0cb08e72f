"""DPM-Solver++ (Lu et al., arXiv 2211.01095): multistep methods in pred_x0 for the ODE and the SDE."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from pipeline.diffusion.prediction import Predict
from pipeline.diffusion.samplers.base import End, LowerOrderFinal, Noise, Sampler, order_of_step, phi, x0_step
from pipeline.diffusion.schedule import Grid


@dataclass(frozen=True)
class DPMpp2M(Sampler):
    """DPM-Solver++(2M): pred_x0 is extrapolated linearly in lam from the last two (algorithm 2).

    The first step is DDIM's, and so is one into time 0, and the last of fewer than 10, as in the authors' code
    (github.com/LuChengTHU/dpm-solver; its text says 15). diffusers' DPMSolverMultistepScheduler computes the same with
    `lower_order_final=15`, but rounds the times of lam-based grids before it shows them to the network; k-diffusion's
    sample_dpmpp_2m with `never`.
    """

    name = "dpmpp_2m"
    version = 2
    earlier = MappingProxyType({1: "lower_order_final=never"})
    title = "DPM-Solver++ 2M"
    spacing = "time-quadratic"

    lower_order_final: LowerOrderFinal = 10
    end: End = "first"

    def trajectory(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk the grid; see `Sampler.trajectory`."""
        x_t = x_T
        before: tuple[float, Tensor] | None = None
        for i, (node, prev) in enumerate(itertools.pairwise(grid)):
            pred_x0 = predict(x_t, node).pred_x0
            ahead = pred_x0
            if before and order_of_step(grid, i, 2, self.lower_order_final) == 2:
                lam_before, x0_before = before
                r = (node.lam - lam_before) / (prev.lam - node.lam)
                ahead = pred_x0 + (pred_x0 - x0_before) / (2 * r)
            x_t = x0_step(x_t, ahead, node, prev)
            before = node.lam, pred_x0
            yield x_t, pred_x0


@dataclass(frozen=True)
class DPMpp3M(Sampler):
    """DPM-Solver++(3M): pred_x0 is extrapolated by a parabola in lam through the last three.

    The paper's formula integrates that parabola, which is of third order (`exact`). All public code, the authors'
    included, has half of its last coefficient, which is of second order: `common`, to compare with that code. Of fewer
    than 10 steps the last two have orders 2 and 1; see `DPMpp2M`.
    """

    name = "dpmpp_3m"
    version = 2
    earlier = MappingProxyType({1: "lower_order_final=never"})
    title = "DPM-Solver++ 3M"
    spacing = "time-quadratic"

    variant: Literal["exact", "common"] = "exact"
    lower_order_final: LowerOrderFinal = 10
    end: End = "first"

    def trajectory(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk the grid; the first steps are of first and second order. See `Sampler.trajectory`."""
        x_t = x_T
        history: list[tuple[float, Tensor]] = []  # (lam, pred_x0), latest first
        for i, (node, prev) in enumerate(itertools.pairwise(grid)):
            pred_x0 = predict(x_t, node).pred_x0
            history = [(node.lam, pred_x0), *history[:2]]
            x_t = x0_step(x_t, pred_x0, node, prev)
            if (order := order_of_step(grid, i, 3, self.lower_order_final)) > 1:
                x_t = x_t + self._correction(history[:order], prev.lam - node.lam, prev.alpha)
            yield x_t, pred_x0

    def _correction(self, history: list[tuple[float, Tensor]], h: float, alpha: float) -> Tensor:
        """Return what the slope and the curvature of pred_x0 add to a step of length h in lam."""
        lams, x0s = [lam for lam, _ in history], [pred_x0 for _, pred_x0 in history]
        slope = (x0s[0] - x0s[1]) * (h / (lams[0] - lams[1]))
        if len(history) == 2:
            return (-alpha * math.expm1(-h) / 2) * slope
        earlier = (x0s[1] - x0s[2]) * (h / (lams[1] - lams[2]))
        curvature = (slope - earlier) * (h / (lams[0] - lams[2]))
        slope = slope + curvature * ((lams[0] - lams[1]) / h)
        phi_2, phi_3 = phi(2, -h), phi(3, -h)
        return alpha * h * (phi_2 * slope + (2 if self.variant == "exact" else 1) * phi_3 * curvature)


@dataclass(frozen=True)
class DPMpp2MSDE(Sampler):
    """SDE-DPM-Solver++(2M): the step of `DPMpp2M` for the reverse SDE, with new noise at each step (algorithm 4).

    At eta = 0 it is `DPMpp2M`. With order 1 and eta = 1 it is DDIM with eta = 1; for eta between them it is another
    sampler than DDIM. k-diffusion's sample_dpmpp_2m_sde (solver_type "midpoint") computes the same with other noise.
    The authors published no code of it; k-diffusion's has a lower order only into time 0, as here.
    """

    name = "dpmpp_2m_sde"
    title = "DPM-Solver++ 2M SDE"
    spacing = "time-quadratic"

    eta: Annotated[float, Field(ge=0, le=1)] = 1.0
    order: Annotated[int, Field(ge=1, le=2)] = 2
    end: End = "zero"

    @property
    def injects_noise(self) -> bool:
        """Whether eta is not 0."""
        return self.eta != 0

    @property
    def options_label(self) -> str:
        """The value of eta, as of DDIM, and the other options that are chosen."""
        others = [f"{name} = {value}" for name, value in self.chosen.items() if name != "eta"]
        return ", ".join([f"η = {self.eta!r}", *others])

    def trajectory(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk the grid; see `Sampler.trajectory`."""
        x_t = x_T
        before: tuple[float, Tensor] | None = None
        for i, (node, prev) in enumerate(itertools.pairwise(grid)):
            pred_x0 = predict(x_t, node).pred_x0
            h = prev.lam - node.lam
            ahead = pred_x0
            if before and order_of_step(grid, i, self.order, "never") == 2:
                lam_before, x0_before = before
                ahead = pred_x0 + (pred_x0 - x0_before) * (h / (2 * (node.lam - lam_before)))
            if prev.sigma == 0:
                x_t = pred_x0
            else:
                decay = prev.sigma / node.sigma * math.exp(-self.eta * h)
                x_t = decay * x_t - prev.alpha * math.expm1(-(1 + self.eta) * h) * ahead
                if self.eta > 0:
                    x_t = x_t + prev.sigma * math.sqrt(-math.expm1(-2 * self.eta * h)) * noise(node)
            before = node.lam, pred_x0
            yield x_t, pred_x0
