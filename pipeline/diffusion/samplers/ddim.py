"""DDIM (Song, Meng, Ermon, ICLR 2021): the step of eq. 12, applied downward to sample and upward to encode."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator
from torch import Tensor

from pipeline.diffusion.prediction import Predict
from pipeline.diffusion.samplers.base import Noise, Sampler
from pipeline.diffusion.schedule import TIME_0, Grid, Node, Schedule


def _eta(value: Any) -> Any:
    if value == "hat":
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number <= 1:
        raise ValueError("must be a number from 0 to 1, or hat")
    return number + 0.0  # turns -0.0 into 0.0


Eta = Annotated[float | Literal["hat"], BeforeValidator(_eta)]


@dataclass(frozen=True)
class DDIM(Sampler):
    """DDIM, DDPM and everything between them."""

    name = "ddim"
    title = "DDIM"

    eta: Eta = 0.0
    """From 0 (DDIM) to 1 (DDPM), or "hat": DDPM with the larger variance."""

    @property
    def options_label(self) -> str:
        """The value of eta as the paper's table shows it."""
        if isinstance(self.eta, str):
            return "σ̂"
        return f"η = {self.eta:.1f}" if round(self.eta, 1) == self.eta else f"η = {self.eta!r}"

    @property
    def slug(self) -> str:
        """The value of eta in few characters: eta0, eta0.2, etahat."""
        return "eta" + str(self.eta).removesuffix(".0")

    @property
    def clips(self) -> bool:
        """Whether eta is "hat": the authors' code clips only for the larger variance."""
        return self.eta == "hat"

    @property
    def injects_noise(self) -> bool:
        """Whether eta is not 0."""
        return self.eta != 0

    @property
    def irreversible(self) -> str:
        """Nothing for eta = 0; otherwise, that it injects noise."""
        return f"{self.options_label} injects noise, which no walk upward takes back" if self.injects_noise else ""

    def grid(self, schedule: Schedule, spacing: str, budget: int) -> Grid:
        """Return the nodes of tau, whose length is the number of network calls, and time 0.

        The published numbers come from grids that take more calls than S or repeat a timestep: see `make_tau`.
        """
        return schedule.nodes(schedule.tau(spacing, budget))

    def trajectory(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Iterator[tuple[Tensor, Tensor]]:
        """Apply `step` along the grid; see `Sampler.trajectory`."""
        x_t = x_T
        for node, prev in itertools.pairwise(grid):
            pred_x0, eps, _ = predict(x_t, node)
            x_t = self.step(eps, pred_x0, node, prev, lambda node=node: noise(node))  # type: ignore[misc]
            yield x_t, pred_x0

    def walk(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk the whole grid by `trajectory`: eq. 12 holds where alpha is 0, too."""
        return self.trajectory(predict, x_T, grid, noise)

    def encode(self, predict: Predict, x_0: Tensor, grid: Grid) -> Tensor:
        """Return x_T by Euler's method for the ODE of eq. 14, upward along the same grid; see `Sampler.encode`.

        The network gets the timestep at which a step starts. For the step from time 0, which it was not trained on, it
        gets t = 0.
        """
        if self.irreversible:
            raise ValueError(self.irreversible)
        x_t = x_0
        for node, following in itertools.pairwise(reversed(grid)):
            pred_x0, eps, _ = predict(x_t, Node(0.0, 1.0) if node == TIME_0 else node)
            x_t = following.alpha * pred_x0 + following.sigma * eps
        return x_t

    def step(self, eps: Tensor, pred_x0: Tensor, node: Node, prev: Node, noise: Callable[[], Tensor]) -> Tensor:
        """Return x_prev by eq. 12. `noise` is called only if the step injects noise."""
        alpha_prev = prev.alpha_cumprod
        sigma_t, sigma_noise = self.sigmas(node.alpha_cumprod, alpha_prev)
        of_eps = math.sqrt(max(0.0, 1 - alpha_prev - sigma_t**2))  # for eta = 1 at alpha_t = 0 it is 0 but for rounding
        x_prev = math.sqrt(alpha_prev) * pred_x0 + of_eps * eps
        return x_prev + sigma_noise * noise() if sigma_noise > 0 else x_prev

    def sigmas(self, alpha_t: float, alpha_prev: float) -> tuple[float, float]:
        """Return (sigma of the eps coefficient, sigma of the injected noise), eq. 16, from two alphas_cumprod.

        They differ only for eta = "hat", DDPM's larger variance: the injected noise has √(1 - α_t/α_prev), and 0 at the
        last step, while the coefficient of eps is that of eta = 1.
        """
        ratio = math.sqrt(1 - alpha_t / alpha_prev)
        sigma_t = (1.0 if self.eta == "hat" else self.eta) * math.sqrt((1 - alpha_prev) / (1 - alpha_t)) * ratio
        return sigma_t, (ratio if self.eta == "hat" and alpha_prev < 1 else sigma_t)
