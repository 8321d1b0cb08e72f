"""The noise schedule of training at any time: a table of timesteps, or a flow, whose time is continuous."""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
from torch import Tensor

from pipeline.diffusion.betas import alphas_cumprod, linear_betas
from pipeline.diffusion.noise import FRACTIONAL, step_of
from pipeline.diffusion.spacing import LAM_SPACINGS, REAL_SPACINGS, SPACINGS, check_steps, make_tau, parse_spacing


@dataclass(frozen=True)
class Node:
    """A time and its noise level. All numbers are float64 on the host."""

    t: float
    """The time in its schedule's unit, from which a network's time is made; see `Discrete` and `Continuous`."""
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
        """Half the logarithm of the signal-to-noise ratio, log(alpha / sigma); infinite where either is 0."""
        if self.alpha_cumprod in (0, 1):
            return math.inf if self.alpha_cumprod else -math.inf
        return math.log(self.alpha / self.sigma)


TIME_0 = Node(-1.0, 1.0)
"""The node before the first training timestep: it has no noise, and sampling ends there."""

Grid = tuple[Node, ...]
"""The nodes that a sampler visits, from noise to data: one more than the number of steps."""
TunedGrids = Mapping[str, Mapping[int, Sequence[float]]]
"""A sampler, as the user types it → a budget of network calls → ascending times."""


@dataclass(frozen=True)
class Schedule(ABC):
    """The noise level of training at any time, and the grids of times by name."""

    spacings: ClassVar[tuple[str, ...]]
    """The names of the spacings that `tau` knows."""
    time_0: ClassVar[Node]
    """The node without noise, at which sampling ends."""
    first: ClassVar[float]
    """The time nearest to time 0 in the grids with real-valued times; samplers with `end=first` end there."""
    x_T_scale = 1.0
    """What standard normal noise is multiplied by to be x_T."""
    tuned: TunedGrids = field(default_factory=dict, compare=False, repr=False, kw_only=True)
    """The grids that were searched for the model whose schedule it is."""

    @property
    @abstractmethod
    def num_times(self) -> int:
        """The largest count of times that `tau` can be asked for."""

    @property
    @abstractmethod
    def last(self) -> float:
        """The time of most noise."""

    @property
    @abstractmethod
    def last_with_signal(self) -> float:
        """`last`, or, if alpha is 0 there, the time before it at which grids that are even in lam begin."""

    @abstractmethod
    def node(self, t: float) -> Node:
        """Return the node at a time, rounded to one that has a noise step of its own."""

    @abstractmethod
    def times_at(self, lams: np.ndarray) -> np.ndarray:
        """Return the times with the given log(alpha / sigma), limited to those of the schedule."""

    @abstractmethod
    def noise_step(self, node: Node) -> int:
        """Return the step of a node's noise, for `noise.normal`: another for each time, and never x_T's or labels'."""

    def node_at(self, lam: float) -> Node:
        """Return the node with the given log(alpha / sigma), limited to the times of the schedule."""
        return self.node(float(self.times_at(np.array(lam))))

    def nodes(self, tau: Sequence[float]) -> Grid:
        """Return the grid from the last of the ascending times `tau` down to time 0."""
        return (*map(self.node, reversed(tau)), self.time_0)

    def tau(self, spacing: str, count: int) -> list[float]:
        """Return the times of a spacing, ascending.

        The spacings with whole timesteps are those of `make_tau`. The others give `count` real-valued times from
        `first` to `last`, both included (one time is `last`):

        - `logsnr`: even in log(alpha / sigma), as DPM-Solver's code (github.com/LuChengTHU/dpm-solver);
        - `karras`: sigma / alpha is even in its seventh root (Karras et al., NeurIPS 2022, eq. 5);
        - `time-linear`: even in time;
        - `time-quadratic`: even in the root of the time, counted from time 0 (DEIS's code, github.com/qsh-zh/deis).

        The first two need a finite log(alpha / sigma): where alpha is 0 at `last`, they are even up to
        `last_with_signal`, and `last` follows.

        Args:
            spacing: one of `spacings`, or a comma-separated list of times, which is tau itself, rounded as nodes are.
            count: the number of times, from 1 to `num_times`; see `make_tau` for spacings with whole timesteps. It is
                not used if the spacing is a list.

        Raises:
            ValueError: the spacing is unknown or not for this schedule, or the count is out of range.

        """
        listed = parse_spacing(spacing)
        if listed is not None:
            return self._listed_tau(spacing, listed)
        if spacing not in self.spacings:
            names = ", ".join(self.spacings)
            text = f"spacing {spacing!r} has whole timesteps, and the model's time is continuous"
            raise ValueError(f"{text}: use {names}")
        if spacing not in REAL_SPACINGS:
            return [*make_tau(spacing, count, self.num_times)]
        check_steps(count, self.num_times)
        return self.even_tau(spacing, count, self.last)

    def _listed_tau(self, spacing: str, listed: Sequence[float]) -> list[float]:
        if listed[-1] > self.last:
            raise ValueError(f"spacing {spacing!r} has a time above {self.last:g}, the model's last")
        if listed[0] <= self.time_0.t:
            raise ValueError(f"spacing {spacing!r} has time 0, where the model's images are: begin above it")
        nodes = [*map(self.node, listed)]
        times = zip([self.time_0.t, *listed], [self.time_0, *nodes], strict=True)
        for (time, node), (later, noisier) in itertools.pairwise(times):
            if noisier.lam >= node.lam:
                text = f"spacing {spacing!r} has times that the model rounds to the same noise"
                raise ValueError(f"{text}, {time:.15g} and {later:.15g}: move them apart")
        return [node.t for node in nodes]

    def even_tau(
        self, spacing: str, count: int, last: float, rho: float = 7, power: float = 2, shift: float = 0
    ) -> list[float]:
        """Return the times of one of `REAL_SPACINGS`, see `tau`, of which `last` is the highest, with a parameter.

        `rho` and `power` say which root is even in `karras` and `time-quadratic`; `shift` moves lam between its ends.
        """
        if spacing in LAM_SPACINGS and last > self.last_with_signal:
            return [*self.even_tau(spacing, count - 1, self.last_with_signal, rho, power, shift), last]
        even = np.linspace(1, 0, count)[::-1]  # from the last time, so that a single time is that one
        if spacing == "time-linear":
            times = self.first + even * (last - self.first)
        elif spacing == "time-quadratic":
            low, high = (np.array([self.first, last]) - self.time_0.t) ** (1 / power)
            times = (low + even * (high - low)) ** power + self.time_0.t
        else:
            first_lam, last_lam = self.node(self.first).lam, self.node(last).lam
            if spacing == "logsnr":
                lams = first_lam + even * (last_lam - first_lam) + shift
            else:
                low, high = math.exp(-first_lam / rho), math.exp(-last_lam / rho)
                lams = -rho * np.log(low + even * (high - low))
            times = self.times_at(lams)
        times[:1], times[-1:] = self.first, last  # exactly; a single time is the latter
        tau: list[float] = times.tolist()
        return tau


@dataclass(frozen=True)
class Discrete(Schedule):
    """The timesteps of a table. A node's time is the network's timestep: 0-based, and fractional between timesteps."""

    alphas_cumprod: tuple[float, ...]
    """The values at the timesteps 0 … T - 1, strictly falling, below 1. The last may be 0: zero terminal SNR."""

    spacings = SPACINGS
    time_0 = TIME_0
    first = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError if the table does not fall as it must."""
        table = np.array(self.alphas_cumprod)
        falls = (np.diff(table, prepend=1.0) < 0) & (table >= 0)
        falls[0] &= table[0] > 0
        if not falls.all():
            at = int(np.argmin(falls))
            raise ValueError(f"alphas_cumprod must fall strictly from below 1, to 0 at least: not so at timestep {at}")

    @property
    def num_times(self) -> int:
        """T, the number of training timesteps."""
        return len(self.alphas_cumprod)

    @property
    def last(self) -> float:
        """The timestep T - 1."""
        return float(self.num_times - 1)

    @property
    def last_with_signal(self) -> float:
        """The timestep T - 1, or T - 2 if the table ends in 0."""
        return self.last if self.alphas_cumprod[-1] else self.last - 1

    @cached_property
    def resolution(self) -> float:
        """The distance of neighbouring times: a power of two, chosen so that T divided by it fits into 31 bits.

        Noise is keyed by the timestep, so a fractional timestep is rounded to one that has an exact key.
        """
        return 2.0 ** (math.ceil(math.log2(self.num_times)) - 31)

    @cached_property
    def _log_alphas(self) -> list[float]:
        return [math.log(alpha) / 2 if alpha else -math.inf for alpha in self.alphas_cumprod]

    @cached_property
    def _rising(self) -> tuple[np.ndarray, np.ndarray]:
        return -np.array(self._log_alphas), np.arange(self.num_times)

    def node(self, t: float) -> Node:
        """Return the node at a time from 0 to T - 1, rounded to `resolution`.

        Between timesteps the logarithm of alpha is linear, as in DPM-Solver's code for discrete schedules.
        """
        t = round(t / self.resolution) * self.resolution
        below = min(int(t), self.num_times - 1)
        if t == below:
            return Node(t, self.alphas_cumprod[below])
        low, high = self._log_alphas[below], self._log_alphas[below + 1]
        return Node(t, math.exp(2 * (low + (t - below) * (high - low))))

    def times_at(self, lams: np.ndarray) -> np.ndarray:
        """Return the times with the given log(alpha / sigma), limited to those from 0 to T - 1."""
        # alpha² + sigma² = 1, so log alpha = -log(1 + exp(-2 lam)) / 2
        log_alphas = -np.logaddexp(0.0, -2 * lams) / 2
        times: np.ndarray = np.interp(-log_alphas, *self._rising)
        return times

    def noise_step(self, node: Node) -> int:
        """Return the timestep itself if it is whole, see `noise.step_of`."""
        return step_of(node.t, self.resolution)


@dataclass(frozen=True)
class Continuous(Schedule):
    """A flow: x_u / (alpha + sigma) is (1 - u) x_0 + u eps. A node's time is u, from 0 (data) to 1 (noise alone).

    A network that was trained by a flow takes x_t / (alpha + sigma), and its time is made of u: 1000 u in diffusers,
    1 - u in SiT's code, whose time runs the other way. Grids that are even in lam need finite ends. They are where
    sigma / alpha is a thousandth and a thousand: u = 0.001, the first timestep of diffusers' flows, whose noise is a
    quarter of a pixel's level, and u = 0.999, as far from the other end.
    """

    spacings = REAL_SPACINGS
    time_0 = Node(0.0, 1.0)
    first = 0.001
    last = 1.0
    last_with_signal = 0.999
    num_times = 10**6

    def node(self, t: float) -> Node:
        """Return the node at a time from 0 to 1, rounded to a multiple of 1 / (2^31 - 2), which has a noise step."""
        u = round(t * _FLOW_TIMES) / _FLOW_TIMES
        return Node(u, (1 - u) ** 2 / ((1 - u) ** 2 + u**2))

    def times_at(self, lams: np.ndarray) -> np.ndarray:
        """Return the times with the given log(alpha / sigma), from 0 to 1."""
        times: np.ndarray = 1 / (1 + np.exp(lams))
        return times

    def noise_step(self, node: Node) -> int:
        """Return the time in units of 1 / (2^31 - 2), with the bit of fractional timesteps: x_T's step is one above."""
        return FRACTIONAL | round(node.t * _FLOW_TIMES)


_FLOW_TIMES = 2**31 - 2


def of_betas(betas: Callable[[int, float, float], Tensor]) -> Callable[[int, float, float], Schedule]:
    """Return what makes the table of some betas, which are those of (T, beta_start, beta_end)."""
    return lambda *given: Discrete(tuple(alphas_cumprod(betas(*given)).tolist()))


SCHEDULES: dict[str, Callable[[int, float, float], Schedule]] = {
    "linear": of_betas(linear_betas),
    "flow": lambda *given: Continuous(),
}
"""diffusers' `beta_schedule`, or "flow" → the schedule, from (T, beta_start, beta_end); a flow needs none of them."""
