"""Heun's method, as Karras et al. (NeurIPS 2022, algorithm 1) use it for the ODE of eq. 14."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from pipeline.diffusion.prediction import Predict
from pipeline.diffusion.samplers.base import End, Noise, Sampler, eps_step
from pipeline.diffusion.schedule import Grid


@dataclass(frozen=True)
class Heun(Sampler):
    """Heun's method of second order: a step of DDIM, and a second one with the mean of eps at both ends.

    A step has two calls, and one into time 0 has one. diffusers' HeunDiscreteScheduler and k-diffusion's sample_heun
    compute the same.
    """

    name = "heun"
    title = "Heun"
    spacing = "karras"

    end: End = "zero"

    def trajectory(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk the grid; see `Sampler.trajectory`."""
        x_t = x_T
        for node, prev in itertools.pairwise(grid):
            pred_x0, eps, _ = predict(x_t, node)
            x_prev = eps_step(x_t, eps, node, prev)
            if prev.sigma > 0:
                eps_prev = predict(x_prev, prev).eps
                x_prev = eps_step(x_t, (eps + eps_prev) / 2, node, prev)
            x_t = x_prev
            yield x_t, pred_x0
