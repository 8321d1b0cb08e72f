"""DDPM's schedule, which the settings of most tests are made for."""

from pipeline.diffusion.schedule import Schedule, alphas_cumprod, linear_betas

SCHEDULE = Schedule(tuple(alphas_cumprod(linear_betas()).tolist()))


def schedule(num_train_timesteps):
    return Schedule(tuple(alphas_cumprod(linear_betas(num_train_timesteps)).tolist()))
