"""DDIM (Song, Meng, Ermon, ICLR 2021): the step of eq. 12, sampling, encoding, and interpolation."""

import math
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor

from pipeline.diffusion.schedule import step_pairs

Eta = float | Literal["hat"]
EpsModel = Callable[[Tensor, int], Tensor]
"""eps_model(x_t, t): predicted noise of x_t's shape, for one 0-based timestep t."""


def sigmas(alpha_t: float, alpha_prev: float, eta: Eta) -> tuple[float, float]:
    """Return (sigma of the eps coefficient, sigma of the injected noise), eq. 16.

    They differ only for eta = "hat", DDPM's larger variance: its noise is √(1 - α_t/α_prev), masked at the last step,
    while the coefficient of eps stays that of eta = 1.
    """
    ratio = math.sqrt(1 - alpha_t / alpha_prev)
    sigma_t = (1.0 if eta == "hat" else eta) * math.sqrt((1 - alpha_prev) / (1 - alpha_t)) * ratio
    return sigma_t, (ratio if eta == "hat" and alpha_prev < 1 else sigma_t)


def step(
    x_t: Tensor, eps: Tensor, alpha_t: float, alpha_prev: float, eta: Eta, clip: bool, noise: Callable[[], Tensor]
) -> tuple[Tensor, Tensor]:
    """Return (x_prev, pred_x0): one step of eq. 12.

    Args:
        x_t: float, shape (N, C, H, W).
        eps: the network's output for x_t, same shape.
        alpha_t: alphas_cumprod at t; alpha_prev: at t_prev, 1 at the end.
        alpha_prev: see alpha_t.
        eta: from 0 (DDIM) to 1 (DDPM), or "hat".
        clip: clamp pred_x0 to [-1, 1] and derive eps from it anew, which is DDPM's posterior mean.
        noise: gives standard normal noise of x_t's shape; called only where some is injected.

    """
    pred_x0 = (x_t - math.sqrt(1 - alpha_t) * eps) / math.sqrt(alpha_t)  # eq. 9
    if clip:
        pred_x0 = pred_x0.clamp(-1, 1)
        eps = (x_t - math.sqrt(alpha_t) * pred_x0) / math.sqrt(1 - alpha_t)
    sigma_t, sigma_noise = sigmas(alpha_t, alpha_prev, eta)
    x_prev = math.sqrt(alpha_prev) * pred_x0 + math.sqrt(1 - alpha_prev - sigma_t**2) * eps
    return (x_prev + sigma_noise * noise() if sigma_noise > 0 else x_prev), pred_x0


def trajectory(
    eps_model: EpsModel,
    x_T: Tensor,
    tau: list[int],
    alphas_cumprod: Tensor,
    noise: Callable[[int], Tensor],
    eta: Eta = 0.0,
    clip: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (x_prev, pred_x0) after each of the len(tau) steps; the last x_prev is the image.

    Args:
        eps_model: the network; called once a step.
        x_T: standard normal noise, shape (N, C, H, W); its dtype is that of the update.
        tau: ascending 0-based timesteps, from `make_tau`.
        alphas_cumprod: float64, shape (T,).
        noise: noise(t) gives the standard normal noise of the step that leaves t.
        eta: from 0 (DDIM) to 1 (DDPM), or "hat".
        clip: see `step`.

    """
    alphas = [*alphas_cumprod.tolist(), 1.0]  # alphas[-1] is time 0
    x_t = x_T
    for t, t_prev in step_pairs(tau):
        x_t, pred_x0 = step(x_t, eps_model(x_t, t), alphas[t], alphas[t_prev], eta, clip, lambda t=t: noise(t))  # type: ignore[misc]
        yield x_t, pred_x0


def sample(
    eps_model: EpsModel,
    x_T: Tensor,
    tau: list[int],
    alphas_cumprod: Tensor,
    noise: Callable[[int], Tensor],
    eta: Eta = 0.0,
    clip: bool = False,
) -> Tensor:
    """Return the images x_0 that `trajectory` ends with; about [-1, 1]."""
    x_t = x_T
    for x_t, _ in trajectory(eps_model, x_T, tau, alphas_cumprod, noise, eta, clip):  # noqa: B007
        pass
    return x_t


def encode(eps_model: EpsModel, x_0: Tensor, tau: list[int], alphas_cumprod: Tensor) -> Tensor:
    """Return the x_T that eta = 0 decodes to x_0: eq. 14's ODE by Euler's method, upward along the same tau.

    The network sees the timestep that the step leaves; leaving time 0, which it does not know, it sees t = 0.
    """
    alphas = [*alphas_cumprod.tolist(), 1.0]
    x_t = x_0
    for t_next, t in reversed(step_pairs(tau)):
        eps = eps_model(x_t, max(t, 0))
        pred_x0 = (x_t - math.sqrt(1 - alphas[t]) * eps) / math.sqrt(alphas[t])
        x_t = math.sqrt(alphas[t_next]) * pred_x0 + math.sqrt(1 - alphas[t_next]) * eps
    return x_t


def slerp(x_0: Tensor, x_1: Tensor, a: float) -> Tensor:
    """Return the spherical interpolation between two batches of x_T, image by image (eq. 67).

    Args:
        x_0: shape (N, ...); the result at a = 0.
        x_1: same shape; the result at a = 1. No image may be parallel to its counterpart.
        a: from 0 to 1.

    """
    norms = x_0.flatten(1).norm(dim=1) * x_1.flatten(1).norm(dim=1)
    theta = torch.arccos((x_0 * x_1).flatten(1).sum(1) / norms).view(-1, *[1] * (x_0.dim() - 1))
    return torch.sin((1 - a) * theta) / torch.sin(theta) * x_0 + torch.sin(a * theta) / torch.sin(theta) * x_1


def to_uint8(x: Tensor) -> Tensor:
    """Return images as uint8 by the authors' rule: [-1, 1] to [0, 1], clamp, times 255, plus 0.5, floor."""
    return (((x + 1) / 2).clamp(0, 1) * 255 + 0.5).floor().to(torch.uint8)
