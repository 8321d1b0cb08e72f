"""The base of all samplers: options, name, version, a grid within a budget of network calls, and a walk over it."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from torch import Tensor

from pipeline.diffusion.schedule import Grid, Node, Schedule, make_tau

EpsModel = Callable[[Tensor, float], Tensor]
"""eps_model(x_t, t): the network's prediction of the noise in x_t, in x_t's shape and dtype; t is 0-based."""
Predict = Callable[[Tensor, Node], tuple[Tensor, Tensor]]
"""predict(x_t, node): (eps, pred_x0), both of x_t's shape, by one network call. They fit x_t by eq. 4."""
Noise = Callable[[Node], Tensor]
"""noise(node): standard normal noise of x_T's shape, for the step that starts at the node."""


def predictor(eps_model: EpsModel, clip: bool) -> Predict:
    """Return the function that a sampler calls to predict eps and pred_x0.

    Args:
        eps_model: the network.
        clip: whether to clamp pred_x0 to [-1, 1] and recompute eps, so that DDIM's step has DDPM's posterior mean.

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
    """A sampling algorithm. Its options are the fields of its dataclass."""

    name: ClassVar[str]
    """The name that the user types."""
    title: ClassVar[str]
    """The name that readers know."""
    version: ClassVar[int] = 1
    """A number that must grow whenever the arithmetic changes, so that images of two versions are never mixed."""
    spacing: ClassVar[str] = "linear"
    """The spacing that is used if the user gives none."""

    @property
    def options(self) -> dict[str, Any]:
        """The options as plain values."""
        return dataclasses.asdict(self)

    @property
    def options_label(self) -> str:
        """The options for a reader, such as "order = 3"; empty if there are none."""
        return ", ".join(f"{name} = {value}" for name, value in self.options.items())

    @property
    def label(self) -> str:
        """The title and the options, for tables with several samplers."""
        return " ".join(filter(None, [self.title, self.options_label]))

    @property
    def slug(self) -> str:
        """The options in names of folders, such as "order3"; empty if there are none."""
        return "-".join(f"{name}{value}" for name, value in self.options.items())

    @property
    def clips(self) -> bool:
        """Whether the authors of the algorithm clip pred_x0."""
        return False

    def nfe(self, steps: int) -> int:
        """Return the number of network calls for a grid of `steps` steps."""
        return steps

    def grid(self, schedule: Schedule, spacing: str, budget: int) -> Grid:
        """Return the largest grid whose network calls are within a budget. Repeated times are visited once.

        Raises:
            ValueError: the spacing does not fit the schedule, or the budget is too small for one step.

        """
        for steps in range(min(budget, schedule.num_train_timesteps), 0, -1):
            tau = dict.fromkeys(make_tau(spacing, steps, schedule.num_train_timesteps))
            if self.nfe(len(tau)) <= budget:
                return schedule.nodes([*tau])
        raise ValueError(f"{self.name} takes {self.nfe(1)} network calls at least, not {budget}")

    @abstractmethod
    def trajectory(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x_prev, pred_x0) after each step; the last x_prev has the images, approximately in [-1, 1].

        Args:
            predict: result of `predictor`, called `nfe` times in all.
            x_T: standard normal noise, shape (N, C, H, W); the update is computed in its dtype.
            grid: the nodes to visit, from noise to data.
            noise: called for each step that injects noise.

        """

    def sample(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Tensor:
        """Return the images, which are the last x_prev of `trajectory`, in x_T's shape."""
        x_t = x_T
        for x_t, _ in self.trajectory(predict, x_T, grid, noise):  # noqa: B007
            pass
        return x_t
