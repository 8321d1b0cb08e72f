"""DDIM on a list of timesteps: what the tests of its equations need, with models and noise of whole timesteps."""

from pipeline.diffusion import prediction
from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.diffusion.schedule import Discrete, Node


def predictor(model, clip):
    """What a sampler calls, from a model(x_t, t) that predicts eps."""
    return prediction.predictor(lambda x_t, node: model(x_t, node.t), prediction.epsilon, clip)


def grid(tau, alphas):
    """The nodes of an ascending list of timesteps, from noise to data."""
    return Discrete(tuple(alphas.tolist())).nodes(tau)


def trajectory(model, x_T, tau, alphas, noise, eta=0.0, clip=False):
    predict = predictor(lambda x, t: model(x, whole(t)), clip)
    return DDIM(eta).trajectory(predict, x_T, grid(tau, alphas), lambda node: noise(whole(node.t)))


def sample(model, x_T, tau, alphas, noise, eta=0.0, clip=False):
    *_, (x_0, _) = trajectory(model, x_T, tau, alphas, noise, eta, clip)
    return x_0


def step(x_t, eps, alpha_t, alpha_prev, eta, clip, noise):
    """(x_prev, pred_x0) of one step between two alphas_cumprod."""
    node, prev = Node(1.0, alpha_t), Node(0.0, alpha_prev)
    pred_x0, eps, _ = predictor(lambda *_: eps, clip)(x_t, node)
    return DDIM(eta).step(eps, pred_x0, node, prev, noise), pred_x0


def encode(model, x_0, tau, alphas):
    return DDIM().encode(predictor(lambda x, t: model(x, whole(t)), False), x_0, grid(tau, alphas))


def whole(t):
    assert t == int(t) >= 0
    return int(t)
