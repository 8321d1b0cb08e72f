"""The noise schedule of the training process, and the subsequence tau that sampling walks."""

import itertools

import numpy as np
import torch
from torch import Tensor

SPACINGS = ("linear", "quadratic", "paper-linear", "paper-quadratic")


def linear_betas(num_train_timesteps: int = 1000, beta_start: float = 1e-4, beta_end: float = 2e-2) -> Tensor:
    """Return DDPM's linear betas: float64, shape (T,), the two ends included."""
    return torch.linspace(beta_start, beta_end, num_train_timesteps, dtype=torch.float64)


def alphas_cumprod(betas: Tensor) -> Tensor:
    """Return the running product of 1 - beta: float64, shape (T,). It is the paper's alpha_t (DDPM's alpha-bar)."""
    return torch.cumprod(1.0 - betas.double(), dim=0)


def parse_spacing(spacing: str) -> tuple[int, ...] | None:
    """Return the steps of a spacing that is a list, such as "0,250,500,750"; None for a spacing that has a name.

    Raises:
        ValueError: the text is neither a known name nor a strictly increasing list of timesteps.

    """
    if spacing in SPACINGS:
        return None
    try:
        tau = tuple(int(part) for part in spacing.split(","))
    except ValueError:
        names = ", ".join(SPACINGS)
        raise ValueError(f"unknown spacing {spacing!r}: use {names}, or timesteps such as 0,250,500,750") from None
    if tau[0] < 0 or any(a >= b for a, b in itertools.pairwise(tau)):
        raise ValueError(f"spacing {spacing!r} must be a strictly increasing list of timesteps from 0")
    return tau


def make_tau(spacing: str, steps: int, num_train_timesteps: int = 1000) -> list[int]:
    """Return tau, the 0-based timesteps that sampling visits, in ascending order. Its length is the nfe.

    `linear` and `quadratic` are the authors' released code (github.com/ermongroup/ddim), which made the published
    numbers, quirks included: `linear` takes more than `steps` steps where they do not divide T, and `quadratic` tops
    at 0.8 T and repeats early timesteps; a repeat is an identity step that still costs a network call.
    `paper-linear` and `paper-quadratic` are the formulas of appendix D.2, floor(c i) and floor(c i^2) with c such
    that the last is T; the paper counts from 1, so each is shifted by one. A subsequence has no repeats and starts
    at 1, so early values of floor(c i^2) that vanish or repeat are dropped, and the nfe can be below `steps`.

    Args:
        spacing: one of `SPACINGS`, or a comma-separated list of timesteps, which is tau itself.
        steps: S, from 1 to `num_train_timesteps`; not used where the spacing is a list.
        num_train_timesteps: T.

    Raises:
        ValueError: `steps` or a listed timestep is out of range, or the spacing is unknown.

    """
    total = num_train_timesteps
    listed = parse_spacing(spacing)
    if listed is not None:
        if listed[-1] >= total:
            raise ValueError(f"spacing {spacing!r} has a timestep above {total - 1}, the model's last")
        return list(listed)
    if not 1 <= steps <= total:
        raise ValueError(f"steps must be from 1 to {total}, the model's training timesteps, not {steps}")
    if spacing == "linear":
        return list(range(0, total, total // steps))
    if spacing == "quadratic":
        return [int(s) for s in np.linspace(0, np.sqrt(total * 0.8), steps) ** 2]
    if spacing == "paper-linear":
        return [total * i // steps - 1 for i in range(1, steps + 1)]
    return sorted({total * i * i // steps**2 - 1 for i in range(1, steps + 1)} - {-1})


def step_pairs(tau: list[int]) -> list[tuple[int, int]]:
    """Return the (t, t_prev) pairs of a sampling run, from high to low; -1 stands for time 0, where alpha is 1."""
    return list(zip(reversed(tau), [*reversed(tau[:-1]), -1], strict=True))
