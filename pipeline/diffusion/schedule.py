"""The noise schedule of training at any time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pipeline.diffusion.spacing import REAL_SPACINGS, check_steps, make_tau

_KARRAS_RHO = 7


def linear_betas(num_train_timesteps: int = 1000, beta_start: float = 1e-4, beta_end: float = 2e-2) -> Tensor:
    """Return DDPM's linear betas: float64, shape (T,), both ends included."""
    return torch.linspace(beta_start, beta_end, num_train_timesteps, dtype=torch.float64)


def alphas_cumprod(betas: Tensor) -> Tensor:
    """Return the running product of 1 - beta: float64, shape (T,). It is the paper's alpha_t (DDPM's alpha-bar)."""
    return torch.cumprod(1.0 - betas.double(), dim=0)


@dataclass(frozen=True)
class Node:
    """A time and its noise level. All numbers are float64 on the host."""

    t: float
    """The timestep given to the network: 0-based, may be fractional. -1 is time 0, which is not trained."""
    alpha_cumprod: float
    """The paper's alpha_t (DDPM's alpha-bar): x_t = √alpha_cumprod x_0 + √(1 - alpha_cumprod) eps, eq. 4."""

    @property
    def alpha(self) -> float:
        """The factor of x_0 in x_t."""
        return math.sqrt(self.alpha_cumprod)

    @property
    def sigma(self) -> float:
        """The factor of eps in x_t."""
        return math.sqrt(1 - self.alpha_cumprod)

    @property
    def lam(self) -> float:
        """Half the logarithm of the signal-to-noise ratio, log(alpha / sigma); infinite at time 0."""
        return math.inf if self.alpha_cumprod == 1 else math.log(self.alpha / self.sigma)


TIME_0 = Node(-1.0, 1.0)
"""The node before the first training timestep: it has no noise, and sampling ends there."""

Grid = tuple[Node, ...]
"""The nodes that a sampler visits, from noise to data: one more than the number of steps."""


@dataclass(frozen=True)
class Schedule:
    """The noise level of training at any time from the first timestep to the last."""

    alphas_cumprod: tuple[float, ...]
    """The values at the timesteps 0 … T - 1, strictly falling."""

    @property
    def num_train_timesteps(self) -> int:
        """T, the number of training timesteps."""
        return len(self.alphas_cumprod)

    @cached_property
    def resolution(self) -> float:
        """The distance of neighbouring times: a power of two, chosen so that T divided by it fits into 31 bits.

        Noise is keyed by the timestep, so a fractional timestep is rounded to one that has an exact key.
        """
        return 2.0 ** (math.ceil(math.log2(self.num_train_timesteps)) - 31)

    @cached_property
    def _log_alphas(self) -> list[float]:
        return [math.log(alpha) / 2 for alpha in self.alphas_cumprod]

    @cached_property
    def _rising(self) -> tuple[np.ndarray, np.ndarray]:
        return -np.array(self._log_alphas), np.arange(self.num_train_timesteps)

    def node(self, t: float) -> Node:
        """Return the node at a time from 0 to T - 1, rounded to `resolution`.

        Between timesteps the logarithm of alpha is linear, as in DPM-Solver's code for discrete schedules.
        """
        t = round(t / self.resolution) * self.resolution
        below = min(int(t), self.num_train_timesteps - 1)
        if t == below:
            return Node(t, self.alphas_cumprod[below])
        low, high = self._log_alphas[below], self._log_alphas[below + 1]
        return Node(t, math.exp(2 * (low + (t - below) * (high - low))))

    def times_at(self, lams: np.ndarray) -> np.ndarray:
        """Return the times with the given log(alpha / sigma), limited to the range of the training timesteps."""
        # alpha² + sigma² = 1, so log alpha = -log(1 + exp(-2 lam)) / 2
        log_alphas = -np.logaddexp(0.0, -2 * lams) / 2
        times: np.ndarray = np.interp(-log_alphas, *self._rising)
        return times

    def node_at(self, lam: float) -> Node:
        """Return the node with the given log(alpha / sigma), limited to the range of the training timesteps."""
        return self.node(float(self.times_at(np.array(lam))))

    def tau(self, spacing: str, count: int) -> list[float]:
        """Return the times of a spacing, ascending.

        The spacings with integers are those of `make_tau`. The others give `count` real-valued times from timestep 0
        to T - 1, both included (one time is T - 1):

        - `logsnr`: even in log(alpha / sigma), as DPM-Solver's code (github.com/LuChengTHU/dpm-solver);
        - `karras`: sigma / alpha is even in its seventh root (Karras et al., NeurIPS 2022, eq. 5);
        - `time-linear`: even in time;
        - `time-quadratic`: even in the root of the time, counted from 1 (DEIS's code, github.com/qsh-zh/deis).

        Args:
            spacing: one of `SPACINGS`, or a comma-separated list of timesteps.
            count: the number of times, from 1 to T; see `make_tau` for spacings with integers.

        Raises:
            ValueError: see `make_tau`.

        """
        total = self.num_train_timesteps
        if spacing not in REAL_SPACINGS:
            return [*make_tau(spacing, count, total)]
        check_steps(count, total)
        even = np.linspace(1, 0, count)[::-1]  # from the last timestep, so that a single time is that one
        if spacing == "time-linear":
            times = even * (total - 1)
        elif spacing == "time-quadratic":
            times = (1 + even * (math.sqrt(total) - 1)) ** 2 - 1
        else:
            first, last = self.node(0).lam, self.node(total - 1).lam
            if spacing == "logsnr":
                lams = first + even * (last - first)
            else:
                low, high = math.exp(-first / _KARRAS_RHO), math.exp(-last / _KARRAS_RHO)
                lams = -_KARRAS_RHO * np.log(low + even * (high - low))
            times = self.times_at(lams)
        times[0], times[-1] = 0, total - 1  # exactly; a single time is the latter
        tau: list[float] = times.tolist()
        return tau

    def nodes(self, tau: Sequence[float]) -> Grid:
        """Return the grid from the last of the ascending times `tau` down to time 0."""
        return (*map(self.node, reversed(tau)), TIME_0)
