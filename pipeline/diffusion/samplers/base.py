"""The base of all samplers: options, name, version, a grid within a budget of network calls, and a walk over it."""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator
from torch import Tensor

from pipeline.diffusion.prediction import Predict, Prediction
from pipeline.diffusion.schedule import Grid, Node, Schedule
from pipeline.diffusion.spacing import largest_count, parse_spacing

Noise = Callable[[Node], Tensor]
"""noise(node): standard normal noise of x_T's shape, for the step that starts at the node."""

End = Literal["first", "zero"]
"""Where a walk ends. `first`: at the first timestep, where a little noise is left. `zero`: at time 0, so the network is
called at the node before it too, and the last pred_x0 is the image: others call it denoise_to_zero, or a last sigma of
0."""


def _lower_order_final(value: Any) -> Any:
    if value in ("always", "never"):
        return value
    if (text := str(value)).isascii() and text.isdecimal() and int(text) >= 3:
        return int(text)
    raise ValueError("must be always, never, or N (3 or more): in walks of fewer than N steps")


LowerOrderFinal = Annotated[int | Literal["always", "never"], BeforeValidator(_lower_order_final)]
"""Whether the last steps of a multistep method have orders …, 2, 1: `always`, `never`, or in walks of fewer steps than
this number. A step into time 0 counts as the last of them, as in diffusers."""


class NoGridError(ValueError):
    """A budget has no grid; others of the same sampler and spacing may have."""


class TooFewCallsError(NoGridError):
    """A budget pays for no walk of the sampler."""


@dataclasses.dataclass(frozen=True)
class Sampler(ABC):
    """A sampling algorithm. Its options are the fields of its dataclass."""

    name: ClassVar[str]
    """The name that the user types."""
    version: ClassVar[int] = 1
    """A number that must grow whenever the arithmetic changes, so that images of two versions are never mixed."""
    earlier: ClassVar[Mapping[int, str]] = {}
    """Earlier version → the options with which this release computes what it did."""

    @property
    @abstractmethod
    def title(self) -> str:
        """The name that readers know."""

    @property
    def options(self) -> dict[str, Any]:
        """The options as plain values."""
        return dataclasses.asdict(self)

    titled: ClassVar[tuple[str, ...]] = ()
    """The options that the title has in it."""

    @property
    def chosen(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        return {name: value for name, value in self.options.items() if value != defaults[name]}

    @property
    def options_label(self) -> str:
        """The chosen options that are not in the title, such as "end = zero"; empty if there are none."""
        return ", ".join(f"{name} = {value}" for name, value in self.chosen.items() if name not in self.titled)

    @property
    def label(self) -> str:
        """The title and the options, for tables with several samplers."""
        return " ".join(filter(None, [self.title, self.options_label]))

    @property
    def slug(self) -> str:
        """The chosen options in names of folders, such as "order3"; empty if there are none."""
        return "-".join(f"{name}{value}" for name, value in self.chosen.items())

    @property
    def clips(self) -> bool:
        """Whether the authors of the algorithm clip pred_x0."""
        return False

    @property
    def spacing(self) -> str:
        """The spacing that is used if the user gives none."""
        return "linear"

    @property
    def end(self) -> End:
        """Where the walk ends."""
        return "zero"

    @property
    def injects_noise(self) -> bool:
        """Whether its steps inject noise, so that x_T alone does not say which image it leads to."""
        return False

    @property
    def irreversible(self) -> str:
        """Why the sampler cannot be walked upward, from an image to its x_T; empty if it can."""
        return "it has no walk upward"

    def nodes(self, schedule: Schedule, tau: Sequence[float]) -> Grid:
        """Return the grid for ascending times, with the end added that the sampler wants; () if it needs more times.

        Raises:
            ValueError: the sampler cannot walk given times.

        """
        outer = schedule.nodes(tau)
        if self.end == "first":
            first = schedule.node(schedule.first)
            outer = outer[:-1] if outer[-2].t <= first.t else (*outer[:-1], first)
        start = outer[:1] if outer[0].alpha == 0 else ()  # whose step is `walk`'s
        outer = outer[len(start) :]
        refined = self.refine(schedule, outer) if len(outer) > 1 else outer if start else ()
        return (*start, *refined) if refined else ()

    def refine(self, schedule: Schedule, outer: Grid) -> Grid:
        """Return the grid of `trajectory` for the nodes between which it steps, two or more; () if it needs more.

        A sampler adds the inner nodes of its steps here, and what it needs to know of them.
        """
        return outer

    def grid(self, schedule: Schedule, spacing: str, budget: int) -> Grid:
        """Return the largest grid whose network calls are within a budget. Repeated times are visited once.

        Raises:
            TooFewCallsError: the budget is too small for the sampler.
            ValueError: the spacing does not fit the schedule or the sampler.

        """

        def of(count: int) -> Grid:
            return self.nodes(schedule, [*dict.fromkeys(schedule.tau(spacing, count))])

        def calls(count: int) -> int:
            grid = of(count)
            return network_calls(self, grid) if grid else 0

        total = schedule.num_times if parse_spacing(spacing) is None else 1  # a list is the same for any count
        count = largest_count(calls, budget, total)
        if count and (grid := of(count)):
            return grid
        least = next(filter(None, map(calls, range(1, total + 1))), None)
        if least is None:
            raise ValueError(f"{self.name} needs more times than {spacing} has on this model")
        raise TooFewCallsError(f"{self.name} takes {least} network calls at least, not {budget}")

    @abstractmethod
    def trajectory(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x_prev, pred_x0) after each step. The last x_prev has the images, approximately in [-1, 1].

        Tensors are only added and multiplied: `network_calls` has numbers in their place.

        Args:
            predict: result of `predictor`.
            x_T: x_t at the first node, shape (N, C, H, W); the update is computed in its dtype.
            grid: the nodes to visit, two or more, from noise to data; alpha is above 0 at all of them.
            noise: called for each step that injects noise.

        """

    def walk(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield as `trajectory` does, over a grid that may begin at a node of noise alone, where alpha is 0.

        There lam is infinite and no slope is known, so every sampler leaves it by DDIM's step from pred_x0, with one
        network call and no history. One that injects noise replaces all of x_T by new noise, which is the limit of its
        own step.
        """
        if grid[0].alpha == 0:
            node, prev = grid[:2]
            pred_x0, eps, _ = predict(x_T, node)
            if self.injects_noise and prev.sigma > 0:
                eps = noise(node)
            x_T, grid = prev.alpha * pred_x0 + prev.sigma * eps, grid[1:]
            yield x_T, pred_x0
        if len(grid) > 1:
            yield from self.trajectory(predict, x_T, grid, noise)

    def encode(self, predict: Predict, x_0: Tensor, grid: Grid) -> Tensor:
        """Return the x_T from which the sampler's walk down the grid leads back to about x_0, both (N, C, H, W).

        Raises:
            ValueError: the sampler is `irreversible`.

        """
        raise ValueError(self.irreversible)

    def sample(self, predict: Predict, x_T: Tensor, grid: Grid, noise: Noise) -> Tensor:
        """Return the images, which are the last x_prev of `walk`, in x_T's shape."""
        x_t = x_T
        for x_t, _ in self.walk(predict, x_T, grid, noise):  # noqa: B007
            pass
        return x_t


def network_calls(sampler: Sampler, grid: Grid, calls_at: Callable[[Node], int] = lambda node: 1) -> int:
    """Return the network calls of a walk over a grid, by walking it with the number 0 for every tensor.

    Args:
        sampler: whose walk it is.
        grid: of its `nodes` or `grid`.
        calls_at: how many calls a prediction at a node takes.

    """
    calls = 0
    zero: Any = 0.0  # a tenth of the time that a tensor of one element takes

    def predict(x_t: Tensor, node: Node) -> Prediction:
        nonlocal calls
        calls += calls_at(node)
        return Prediction(zero, zero)

    for _ in sampler.walk(predict, zero, grid, lambda node: zero):
        pass
    return calls


def order_of_step(grid: Grid, i: int, order: int, lower_order_final: int | Literal["always", "never"]) -> int:
    """Return the order of a multistep method's step from node i of the grid, counted from 0.

    The first steps have orders 1, 2, …, since there is no history yet, and the last ones …, 2, 1 where
    `lower_order_final` says so. A step into time 0, which is infinite in lam, is always of order 1.
    """
    steps = len(grid) - 1
    if grid[i + 1].sigma == 0:
        return 1
    lowers = steps < lower_order_final if isinstance(lower_order_final, int) else lower_order_final == "always"
    return min(order, i + 1, steps - i if lowers else order)


def eps_step(x_t: Tensor, eps: Tensor, node: Node, prev: Node) -> Tensor:
    """Return x_prev for an eps that stays the same over the step: DDIM's step with eta = 0, eq. 12.

    It is the exact solution of the ODE of eq. 14 for constant eps. The coefficients have no cancellation, and are
    finite at time 0, where lam is infinite.
    """
    change = math.expm1(node.lam - prev.lam)
    return (prev.alpha / node.alpha) * x_t + (prev.alpha * node.sigma / node.alpha * change) * eps


def x0_step(x_t: Tensor, pred_x0: Tensor, node: Node, prev: Node) -> Tensor:
    """Return x_prev for a pred_x0 that stays the same over the step: the same step as `eps_step`, from pred_x0."""
    return (prev.sigma / node.sigma) * x_t - (prev.alpha * math.expm1(node.lam - prev.lam)) * pred_x0


def phi(k: int, z: float) -> float:
    """Return phi_k(z) = Σ_j z^j / (j + k)!, the weights of exponential integrators, without cancellation."""
    if abs(z) < 1:
        return sum(z**j / math.factorial(j + k) for j in range(19))  # 1 / 20! is below float64's resolution
    value = math.expm1(z) / z
    for j in range(1, k):
        value = (value - 1 / math.factorial(j)) / z
    return value
