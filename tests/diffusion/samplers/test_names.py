"""What the names of samplers mean, written by hand: other projects' names, and the defaults that slugs leave out."""

import pytest

from pipeline.diffusion import samplers
from pipeline.diffusion.samplers import ALIASES

MEANT = {
    # Euler's method in x / α is DDIM with η = 0, its ancestral form DDIM with η = 1 (DDPM's posterior)
    "euler": ("ddim", {"eta": 0.0}),
    "euler_a": ("ddim", {"eta": 1.0}),
    "sample_euler": ("ddim", {"eta": 0.0}),
    "sample_euler_ancestral": ("ddim", {"eta": 1.0}),
    "EulerDiscreteScheduler": ("ddim", {"eta": 0.0}),
    "EulerAncestralDiscreteScheduler": ("ddim", {"eta": 1.0}),
    "DDIMScheduler": ("ddim", {"eta": 0.0}),
    # k-diffusion's last sigma is 0, where its second-order steps are Euler's
    "sample_heun": ("heun", {"end": "zero"}),
    "HeunDiscreteScheduler": ("heun", {"end": "zero"}),
    "sample_dpm_2": ("dpm_solver", {"order": 2, "end": "zero"}),
    "sample_dpmpp_2m": ("dpmpp_2m", {"end": "zero"}),
    "sample_dpmpp_2m_sde": ("dpmpp_2m_sde", {"eta": 1.0, "order": 2, "end": "zero"}),
    # between two sigmas above 0, which its caller gives
    "sample_dpm_fast": ("dpm_fast", {"end": "first"}),
    "dpm_solver:order=fast": ("dpm_fast", {"end": "first"}),
    "dpm_2": ("dpm_solver", {"order": 2, "end": "first"}),
    # diffusers' solver_order=2, solver_type="midpoint" and "bh2", final_sigmas_type="zero"
    "DPMSolverMultistepScheduler": ("dpmpp_2m", {"end": "zero"}),
    "UniPCMultistepScheduler": ("unipc", {"order": 2, "variant": "bh2", "corrector": "on", "end": "zero"}),
}
"""Name → sampler, and the options on which the arithmetic depends."""
DEFAULTS = {
    "ddim": {"eta": 0.0},
    "dpmpp_2m": {"end": "first"},
    "dpmpp_3m": {"variant": "exact", "end": "first"},
    "dpmpp_2m_sde": {"eta": 1.0, "order": 2, "end": "zero"},
    "unipc": {"order": 2, "variant": "bh2", "corrector": "on", "end": "first"},
    "dpm_solver": {"order": 3, "end": "first"},
    "dpm_fast": {"end": "first"},
    "deis": {"ab_order": 3, "variant": "lam", "end": "first"},
    "ipndm": {"order": 4, "end": "zero"},
    "pndm": {"end": "zero"},
    "heun": {"end": "zero"},
}
"""Sampler → its defaults, as docs/samplers.md has them."""


def meant(text):
    """The name and the options of a sampler, and its end where that is no option."""
    sampler = samplers.make(*samplers.parse(text))
    return sampler.name, {"end": sampler.end} | sampler.options


@pytest.mark.parametrize("alias", ALIASES)
def test_a_name_of_others_means_their_arithmetic(alias):
    name, options = MEANT[alias]
    ours, given = meant(alias)
    assert (ours, {option: given[option] for option in options}) == (name, options)


def test_a_name_that_is_known_stays_known():
    assert ALIASES.keys() >= MEANT.keys()


@pytest.mark.parametrize(("name", "defaults"), DEFAULTS.items())
def test_a_default_stays(name, defaults):
    """Folders name the options that are not the defaults: with another default old images would be taken for new."""
    options = meant(name)[1]
    assert {option: options[option] for option in defaults} == defaults
