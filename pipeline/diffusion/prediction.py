"""What a network predicts at a node, as pred_x0 and eps: one small function for each parametrization."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from pipeline.diffusion.schedule import Node


class Prediction(NamedTuple):
    """What samplers walk by. Both tensors have x_t's shape and fit it by eq. 4."""

    pred_x0: Tensor
    """The image that the network sees in x_t."""
    eps: Tensor
    """The noise that it sees in x_t."""
    variance_fraction: Tensor | None = None
    """Where a learned variance lies between its bounds, from 0 to 1; None if the network predicts none."""


Predict = Callable[[Tensor, Node], Prediction]
"""predict(x_t, node), by one network call."""
Parametrization = Callable[[Tensor, Tensor, Node], Prediction]
"""parametrization(output, x_t, node): what the network's output at the node says."""


def epsilon(output: Tensor, x_t: Tensor, node: Node) -> Prediction:
    """Return the prediction of a network whose output is eps (eq. 9)."""
    return Prediction((x_t - node.sigma * output) / node.alpha, output)


PARAMETRIZATIONS: dict[str, Parametrization] = {"epsilon": epsilon}
"""diffusers' `prediction_type` → its function."""
