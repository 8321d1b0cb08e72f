"""DDPM's schedule, which the settings of most tests are made for, and others with and without signal at their end."""

import itertools
import math

import torch

from pipeline.diffusion.betas import alphas_cumprod, linear_betas
from pipeline.diffusion.samplers import SAMPLERS
from pipeline.diffusion.schedule import Continuous, Discrete

OURS = [name for name, sampler in SAMPLERS.items() if sampler.__module__.startswith("pipeline.")]
"""The names of the package's samplers: other tests register their own."""
SCHEDULE = Discrete(tuple(alphas_cumprod(linear_betas()).tolist()))
AT_7 = SCHEDULE.node(7)
FLOW = Continuous()


def schedule(num_train_timesteps):
    return Discrete(tuple(alphas_cumprod(linear_betas(num_train_timesteps)).tolist()))


def cosine(num_train_timesteps):
    """Nichol and Dhariwal's, ICML 2021, eq. 17, with betas up to 0.999."""
    steps = range(num_train_timesteps + 1)
    bar = [math.cos((i / num_train_timesteps + 0.008) / 1.008 * math.pi / 2) ** 2 for i in steps]
    betas = [min(1 - b / a, 0.999) for a, b in itertools.pairwise(bar)]
    return Discrete(tuple(alphas_cumprod(torch.tensor(betas, dtype=torch.float64)).tolist()))


def zero_snr(num_train_timesteps):
    """The linear one, rescaled to end in 0 (Lin et al., WACV 2024, algorithm 1)."""
    table = schedule(num_train_timesteps).alphas_cumprod
    first, last = math.sqrt(table[0]), math.sqrt(table[-1])
    return Discrete(tuple(((math.sqrt(a) - last) * first / (first - last)) ** 2 for a in table))
