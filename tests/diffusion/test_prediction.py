"""What a network's output says of image and noise: closed forms for Gaussian data, and one network in four forms."""

import math
from functools import partial

import pytest
import torch
from mixture import MIXTURE
from schedules import FLOW, OURS, SCHEDULE, cosine, zero_snr

from pipeline.diffusion import samplers
from pipeline.diffusion.prediction import PARAMETRIZATIONS, Prediction, assert_predicts, epsilon, predictor, sample
from pipeline.diffusion.schedule import SCHEDULES, Node

MEAN, STD = 0.4, 0.6
X = torch.linspace(-3, 3, 13, dtype=torch.float64)
NODES = [Node(0.0, alpha) for alpha in (0.0, 1e-6, 0.3, 0.5, 0.9, 1 - 1e-6, 1.0)]
NOTHING_SAID = [("epsilon", 0.0), ("sample", 1.0)]
"""Where alpha_cumprod leaves an output that says nothing of the other half."""


def output(name, x_t, node):
    """The expectation of what such a network learns, given x_t: linear in x_t for Gaussian data."""
    a, s = node.alpha, node.sigma
    of_x0, of_eps = {"epsilon": (0, 1), "sample": (1, 0), "v_prediction": (-s, a), "flow_prediction": (-1, 1)}[name]
    covariance = of_x0 * a * STD**2 + of_eps * s
    return of_x0 * MEAN + covariance / (a**2 * STD**2 + s**2) * (x_t - a * MEAN)


@pytest.mark.parametrize("node", NODES, ids=lambda node: str(node.alpha_cumprod))
@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_image_and_noise_are_their_expectations(name, node):
    if (name, node.alpha_cumprod) in NOTHING_SAID:
        return
    pred_x0, eps, fraction = PARAMETRIZATIONS[name](output(name, X, node), X, node)
    # a difference of numbers up to 3 is divided by alpha, or sigma, of a thousandth at least; 1 - alpha_cumprod of a
    # millionth has lost six digits of sixteen
    torch.testing.assert_close(pred_x0, output("sample", X, node), atol=1e-9, rtol=0)
    torch.testing.assert_close(eps, output("epsilon", X, node), atol=1e-9, rtol=0)
    assert fraction is None


def test_where_an_output_says_nothing_one_line_says_so():
    with pytest.raises(ValueError, match=r"^a network that predicts the image says nothing of the noise at time 0.*$"):
        sample(X, X, Node(0.0, 1.0))
    for schedule in (zero_snr(10), FLOW):
        with pytest.raises(ValueError, match=r"^prediction_type epsilon on a schedule that ends in noise alone.*$"):
            assert_predicts("epsilon", schedule)
        for name in PARAMETRIZATIONS.keys() - {"epsilon"}:
            assert_predicts(name, schedule)
    for name in PARAMETRIZATIONS:
        assert_predicts(name, cosine(10))


@pytest.mark.parametrize("clip", [False, True])
def test_a_prediction_keeps_its_variance_and_fits_x_t(clip):
    def learned(output, x_t, node):
        return Prediction(*epsilon(output, x_t, node)[:2], variance_fraction=torch.full_like(x_t, 0.25))

    node = SCHEDULE.node(500)
    pred_x0, eps, fraction = predictor(lambda x_t, node: 0.1 * x_t, learned, clip)(X, node)
    assert (fraction == 0.25).all()
    assert (pred_x0.abs().max() == 1) == clip
    torch.testing.assert_close(node.alpha * pred_x0 + node.sigma * eps, X)


def rewritten(name, x_t, node):
    """The output of MIXTURE's best network, by its eps and the definition of the parametrization."""
    eps = MIXTURE.eps(x_t, node.alpha, node.sigma)
    x_0 = (x_t - node.sigma * eps) / node.alpha
    return {
        "epsilon": eps,
        "sample": x_0,
        "v_prediction": node.alpha * eps - node.sigma * x_0,
        "flow_prediction": eps - x_0,
    }[name]


@pytest.mark.parametrize("text", [*OURS, "ddim:eta=0.5", "ddim:eta=hat", "unipc:order=3", "deis:variant=t"])
@pytest.mark.parametrize("schedule", [SCHEDULE, cosine(1000)], ids=["linear", "cosine"])
def test_a_network_draws_the_same_image_in_every_parametrization(text, schedule):
    sampler = samplers.make(*samplers.parse(text))
    x_T = torch.randn(16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    grid = sampler.grid(schedule, "time-quadratic", 20)

    def noise(node):
        return torch.randn(16, generator=torch.Generator().manual_seed(int(node.t)), dtype=torch.float64)

    def drawn(name, clip):
        predict = predictor(partial(rewritten, name), PARAMETRIZATIONS[name], clip)
        return sampler.sample(predict, x_T, grid, noise)

    for clip in (False, True):
        expected = drawn("epsilon", clip)
        assert expected.abs().max() > 0.3
        for name in PARAMETRIZATIONS:
            # eps / alpha is as large as 157 for linear betas and 2e4 for cosine ones, in x_0 at the first call
            torch.testing.assert_close(drawn(name, clip), expected, atol=1e-9, rtol=1e-9)


def test_the_registry_has_ddpms_betas():
    betas = [1e-4 + i * (0.02 - 1e-4) / 999 for i in range(1000)]
    table = SCHEDULES["linear"](1000, 1e-4, 0.02).alphas_cumprod
    assert (len(table), table[0]) == (1000, 1 - 1e-4)
    assert table[-1] == pytest.approx(math.prod(1 - b for b in betas), rel=1e-12)
