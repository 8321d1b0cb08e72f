"""DDPM's betas, and the table of alphas_cumprod that follows from betas."""

import torch
from torch import Tensor


def linear_betas(num_train_timesteps: int = 1000, beta_start: float = 1e-4, beta_end: float = 2e-2) -> Tensor:
    """Return DDPM's linear betas: float64, shape (T,), both ends included."""
    return torch.linspace(beta_start, beta_end, num_train_timesteps, dtype=torch.float64)


def alphas_cumprod(betas: Tensor) -> Tensor:
    """Return the running product of 1 - beta: float64, shape (T,). It is the paper's alpha_t (DDPM's alpha-bar)."""
    return torch.cumprod(1.0 - betas.double(), dim=0)
