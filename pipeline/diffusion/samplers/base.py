"""What every sampler is: options, a name and a version, a grid within a budget of network calls, and a walk over it."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from torch import Tensor

from pipeline.diffusion.schedule import Grid, Node, Schedule, make_tau

EpsModel = Callable[[Tensor, float], Tensor]
"""eps_model(x_t, t): the network's prediction of the noise in x_t, of x_t's shape and dtype; t is 0-based."""
Predict = Callable[[Tensor, Node], tuple[Tensor, Tensor]]
"""predict(x_t, node): (eps, pred_x0), both of x_t's shape. One network call. The two fit x_t together by eq. 4."""
Noise = Callable[[Node], Tensor]
"""noise(node): standard normal noise of x_T's shape, for the step that leaves a node."""


def predictor(eps_model: EpsModel, clip: bool) -> Predict:
    """Return what a sampler calls.

    Args:
        eps_model: the network.
        clip: clamp pred_x0 to [-1, 1] and derive eps from it anew, which makes DDIM's step DDPM's posterior mean.

    """

    def predict(x_t: Tensor, node: Node) -> tuple[Tensor, Tensor]:
        eps = eps_model(x_t, node.t)
        pred_x0 = (x_t - node.sigma * eps) / node.alpha  # eq. 9
        if clip:
            pred_x0 = pred_x0.clamp(-1, 1)
            eps = (x_t - node.alpha * pred_x0) / node.sigma
        return eps, pred_x0

    return predict


@dataclasses.dataclass(frozen=True)
class Sampler(ABC):
    """An algorithm with its options, which are the fields of its dataclass."""

    name: ClassVar[str]
    """As the user types it."""
    title: ClassVar[str]
    """As a reader knows it."""
    version: ClassVar[int] = 1
    """Raised whenever the arithmetic changes: images of two versions are never taken for each other."""
    spacing: ClassVar[str] = "linear"
    """Which times it walks where the user does not say."""

    @property
    def options(self) -> dict[str, Any]:
        """Its options as plain values."""
        return dataclasses.asdict(self)

    @property
    def options_label(self) -> str:
        """Its options for a reader: "order = 3"; empty where it has none."""
        return ", ".join(f"{name} = {value}" for name, value in self.options.items())

    @property
    def label(self) -> str:
        """What a table calls it among others."""
        return " ".join(filter(None, [self.title, self.options_label]))

    @property
    def slug(self) -> str:
        """Its options in the names of folders: "order3"; empty where it has none."""
        return "-".join(f"{name}{value}" for name, value in self.options.items())

    @property
    def clips(self) -> bool:
        """Whether its authors clip pred_x0."""
        return False

    def nfe(self, steps: int) -> int:
        """Return the network calls that a grid of so many steps takes."""
        return steps

    def grid(self, schedule: Schedule, spacing: str, budget: int) -> Grid:
        """Return the largest grid whose network calls are within a budget. Times that repeat are walked once.

        Raises:
            ValueError: the spacing does not fit the schedule, or the budget does not pay for one step.

        """
        for steps in range(min(budget, schedule.num_train_timesteps), 0, -1):
            tau = dict.fromkeys(make_tau(spacing, steps, schedule.num_train_timesteps))
            if self.nfe(len(tau)) <= budget:
                return schedule.nodes([*tau])
        raise ValueError(f"{self.name} takes {self.nfe(1)} network calls at least, not {budget}")

    @abstractmethod
    def trajectory(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x_prev, pred_x0) after each step; the last x_prev is the image, about in [-1, 1].

        Args:
            predict: the network, called `nfe` times in all.
            x_T: standard normal noise, shape (N, C, H, W); its dtype is that of the update.
            grid: where to walk, from noise to data.
            noise: asked where a step injects some.

        """

    def sample(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Tensor:
        """Return the images that `trajectory` ends with."""
        x_t = x_T
        for x_t, _ in self.trajectory(predict, x_T, grid, noise):  # noqa: B007
            pass
        return x_t
