"""What a network predicts at a node, as pred_x0 and eps: one small function for each parametrization."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from pipeline import UserError
from pipeline.diffusion.schedule import Node, Schedule


class Prediction(NamedTuple):
    """What samplers walk by. Both tensors have x_t's shape and fit it by eq. 4."""

    pred_x0: Tensor
    """The image that the network sees in x_t."""
    eps: Tensor
    """The noise that it sees in x_t."""
    variance_fraction: Tensor | None = None
    """Where a learned variance lies between its bounds, from 0 to 1; None if the network predicts none."""


Network = Callable[[Tensor, Node], Tensor]
"""network(x_t, node): its output, from which a parametrization makes the prediction. It makes its own time of the
node, and scales x_t as it wants it: a flow's network takes x_t / (alpha + sigma)."""
Predict = Callable[[Tensor, Node], Prediction]
"""predict(x_t, node), by one network call."""
Parametrization = Callable[[Tensor, Tensor, Node], Prediction]
"""parametrization(output, x_t, node): what the network's output at the node says. x_t is alpha x_0 + sigma eps with
alpha² + sigma² = 1, whatever the network was shown."""


def epsilon(output: Tensor, x_t: Tensor, node: Node) -> Prediction:
    """Return the prediction of a network whose output is eps (eq. 9)."""
    return Prediction((x_t - node.sigma * output) / node.alpha, output)


def sample(output: Tensor, x_t: Tensor, node: Node) -> Prediction:
    """Return the prediction of a network whose output is x_0.

    Raises:
        ValueError: the node has no noise, where x_0 says nothing of eps.

    """
    if node.sigma == 0:
        raise ValueError("a network that predicts the image says nothing of the noise at time 0, where encoding starts")
    return Prediction(output, (x_t - node.alpha * output) / node.sigma)


def v_prediction(output: Tensor, x_t: Tensor, node: Node) -> Prediction:
    """Return the prediction of a network whose output is alpha eps - sigma x_0 (Salimans and Ho, ICLR 2022)."""
    return Prediction(node.alpha * x_t - node.sigma * output, node.alpha * output + node.sigma * x_t)


def flow_prediction(output: Tensor, x_t: Tensor, node: Node) -> Prediction:
    """Return the prediction of a network whose output is eps - x_0, the velocity of a flow from data to noise.

    With u = sigma / (alpha + sigma) and x_u = x_t / (alpha + sigma), x_0 is x_u - u v and eps is x_u + (1 - u) v.
    """
    scale = node.alpha + node.sigma
    return Prediction((x_t - node.sigma * output) / scale, (x_t + node.alpha * output) / scale)


PARAMETRIZATIONS: dict[str, Parametrization] = {
    "epsilon": epsilon,
    "sample": sample,
    "v_prediction": v_prediction,
    "flow_prediction": flow_prediction,
}
"""diffusers' `prediction_type` → its function."""


def assert_predicts(prediction_type: str, schedule: Schedule) -> None:
    """Raise UserError if a network of this prediction type says nothing of the image at the schedule's last time."""
    if prediction_type == "epsilon" and schedule.last_with_signal < schedule.last:
        raise UserError(
            "prediction_type epsilon on a schedule that ends in noise alone (ᾱ = 0): there eps says nothing of the "
            "image; such a network predicts sample, v_prediction or flow_prediction"
        )


def predictor(network: Network, parametrization: Parametrization, clip: bool) -> Predict:
    """Return the function that a sampler calls to predict eps and pred_x0.

    Args:
        network: called once for each prediction.
        parametrization: of `PARAMETRIZATIONS`, the network's.
        clip: whether to clamp pred_x0 to [-1, 1] and recompute eps, so that DDIM's step has DDPM's posterior mean.

    """

    def predict(x_t: Tensor, node: Node) -> Prediction:
        prediction = parametrization(network(x_t, node), x_t, node)
        if not clip:
            return prediction
        pred_x0, eps = prediction.pred_x0.clamp(-1, 1), prediction.eps
        if node.sigma > 0:  # at time 0, where encoding starts, any eps fits
            eps = (x_t - node.alpha * pred_x0) / node.sigma
        return Prediction(pred_x0, eps, prediction.variance_fraction)

    return predict
