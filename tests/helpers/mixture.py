"""Data whose best eps is known in closed form at any noise level: a mixture of two Gaussians, or one."""

import math

import torch
from scipy.integrate import solve_ivp

from pipeline.diffusion.prediction import Prediction


class Mixture:
    """Gaussians of one standard deviation, by (weight, mean)."""

    def __init__(self, std, *components):
        self.std, self.components = std, components

    def predict(self, x_t, node):
        """As a sampler asks for it."""
        eps = self.eps(x_t, node.alpha, node.sigma)
        return Prediction((x_t - node.sigma * eps) / node.alpha, eps)

    def eps(self, x, alpha, sigma):
        """E[ε | x = α x_0 + σ ε]."""
        variance = (alpha * self.std) ** 2 + sigma**2
        logits = torch.stack([math.log(w) - (x - alpha * m) ** 2 / (2 * variance) for w, m in self.components])
        score = sum(p * (alpha * m - x) for p, (_, m) in zip(logits.softmax(0), self.components, strict=True))
        return -sigma * score / variance

    def solution(self, x_T, first, last):
        """The ODE of eq. 14 from one node to another, by scipy's Runge-Kutta method of order 8."""

        def slope(lam, y):  # of y = x / α, whose derivative by σ / α = exp(-λ) is eps
            alpha = 1 / math.sqrt(1 + math.exp(-2 * lam))
            x = torch.from_numpy(y) * alpha
            return (-math.exp(-lam) * self.eps(x, alpha, alpha * math.exp(-lam))).numpy()

        y = (x_T / first.alpha).numpy()
        found = solve_ivp(slope, (first.lam, last.lam), y, method="DOP853", rtol=1e-13, atol=1e-13)
        return torch.from_numpy(found.y[:, -1]) * last.alpha


MIXTURE = Mixture(0.3, (1 / 3, -1.0), (2 / 3, 0.5))
