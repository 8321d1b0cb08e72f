"""DDPM's schedule, which the settings of most tests are made for."""

from pipeline.diffusion.samplers import SAMPLERS
from pipeline.diffusion.schedule import Discrete, alphas_cumprod, linear_betas

OURS = [name for name, sampler in SAMPLERS.items() if sampler.__module__.startswith("pipeline.")]
"""The names of the package's samplers: other tests register their own."""
SCHEDULE = Discrete(tuple(alphas_cumprod(linear_betas()).tolist()))


def schedule(num_train_timesteps):
    return Discrete(tuple(alphas_cumprod(linear_betas(num_train_timesteps)).tolist()))
