"""A sampler that is not the project's, registered by one line: Heun's method, or Euler's as its first order."""

import itertools
from dataclasses import dataclass
from typing import Literal

from pipeline.diffusion.samplers import SAMPLERS
from pipeline.diffusion.samplers.base import Sampler


@dataclass(frozen=True)
class Toy(Sampler):
    name = "toy"
    title = "Toy"
    spacing = "paper-linear"

    order: Literal["1", "2"] = "2"

    def trajectory(self, predict, x_T, grid, noise):
        x_t = x_T
        for node, prev in itertools.pairwise(grid):
            pred_x0, eps, _ = predict(x_t, node)
            if self.order == "2" and prev.sigma > 0:
                eps = (eps + predict(prev.alpha * pred_x0 + prev.sigma * eps, prev).eps) / 2
                pred_x0 = (x_t - node.sigma * eps) / node.alpha
            x_t = prev.alpha * pred_x0 + prev.sigma * eps
            yield x_t, pred_x0


SAMPLERS[Toy.name] = Toy
