"""UniPC (Zhao et al., NeurIPS 2023): a predictor, and a corrector that reuses the network call of the next step."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from pipeline.diffusion.prediction import Predict
from pipeline.diffusion.samplers.base import End, LowerOrderFinal, Noise, Sampler, order_of_step, phi, x0_step
from pipeline.diffusion.schedule import Grid, Node

History = list[tuple[Node, Tensor]]
"""(node, pred_x0) of the last steps, latest first."""


@dataclass(frozen=True)
class UniPC(Sampler):
    """UniPC-p in pred_x0, as the authors' code (github.com/wl-zhao/UniPC) in its multistep form.

    A network call serves twice: it corrects the x_t that it was shown, and then predicts the next. The first steps have
    lower orders, and so have the last ones, at any number of steps. diffusers' UniPCMultistepScheduler computes the
    same. The lower orders at the end cost it its order of convergence, which is p + 1 with `lower_order_final=never`.
    Without corrector it is UniP-p, which for order 1 is DDIM, and for order 2 and 3 `dpmpp_2m` and `dpmpp_3m` with the
    same `lower_order_final`.
    """

    name = "unipc"
    version = 2
    earlier = MappingProxyType({1: "lower_order_final=never"})
    titled = ("order", "corrector")
    spacing = "time-quadratic"

    order: Annotated[int, Field(ge=1, le=3)] = 2
    variant: Literal["bh1", "bh2"] = "bh2"
    corrector: Literal["on", "off"] = "on"
    lower_order_final: LowerOrderFinal = "always"
    end: End = "first"

    @property
    def title(self) -> str:
        """UniPC or UniP with its order."""
        return f"{'UniPC' if self.corrector == 'on' else 'UniP'}-{self.order}"

    def trajectory(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk the grid; see `Sampler.trajectory`."""
        x_t = x_before = x_T
        history: History = []
        order = 0
        for i, (node, prev) in enumerate(itertools.pairwise(grid)):
            pred_x0 = predict(x_t, node).pred_x0
            if history and self.corrector == "on":
                x_t = self._step(x_before, history[:order], node, pred_x0)
            history = [(node, pred_x0), *history[: self.order - 1]]
            order = order_of_step(grid, i, self.order, self.lower_order_final)
            x_before, x_t = x_t, self._step(x_t, history[:order], prev, None)
            yield x_t, pred_x0

    def _step(self, x_t: Tensor, history: History, prev: Node, x0_prev: Tensor | None) -> Tensor:
        """Return x at `prev`, from x_t at the latest node of `history`; corrected by pred_x0 there if it is given."""
        (node, pred_x0), *earlier = history
        h = prev.lam - node.lam
        ratios = [(at.lam - node.lam) / h for at, _ in earlier]
        slopes = [(x0 - pred_x0) / r for (_, x0), r in zip(earlier, ratios, strict=True)]
        if x0_prev is not None:
            ratios, slopes = [*ratios, 1.0], [*slopes, x0_prev - pred_x0]
        x_prev = x0_step(x_t, pred_x0, node, prev)
        for weight, slope in zip(self._weights(h, ratios), slopes, strict=True):
            x_prev = x_prev - prev.alpha * weight * slope
        return x_prev

    def _weights(self, h: float, ratios: Sequence[float]) -> list[float]:
        """Return B(h) times the solution rho of eq. 11, in which pred_x0 is known at lam + r h for the ratios r."""
        scale = -h if self.variant == "bh1" else math.expm1(-h)
        if len(ratios) == 1:
            return [scale / 2]  # the authors' choice, of second order for any B(h)
        right = [math.factorial(n) * -h * phi(n + 1, -h) for n in range(1, len(ratios) + 1)]
        weights: list[float] = np.linalg.solve(np.vander(ratios, increasing=True).T, right).tolist()
        return weights
