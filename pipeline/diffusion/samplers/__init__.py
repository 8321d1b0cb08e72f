"""The samplers by name, and the parsing of a user's text. A new sampler needs a file here and an entry below."""

import dataclasses
import difflib
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline import UserError
from pipeline.diffusion.samplers.base import Sampler
from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.diffusion.samplers.deis import DEIS
from pipeline.diffusion.samplers.dpm_solver import DPMFast, DPMSolver
from pipeline.diffusion.samplers.dpmpp import DPMpp2M, DPMpp2MSDE, DPMpp3M
from pipeline.diffusion.samplers.heun import Heun
from pipeline.diffusion.samplers.pndm import IPNDM, PNDM
from pipeline.diffusion.samplers.unipc import UniPC

SAMPLERS: dict[str, type[Sampler]] = {
    sampler.name: sampler
    for sampler in (DDIM, DPMpp2M, DPMpp3M, DPMpp2MSDE, UniPC, DPMSolver, DPMFast, DEIS, IPNDM, PNDM, Heun)
}

ALIASES = {
    "euler": "ddim:eta=0",
    "euler_a": "ddim:eta=1",
    "dpm_2": "dpm_solver:order=2",
    "dpm_solver:order=fast": "dpm_fast",
    # k-diffusion, whose schedules end at sigma = 0
    "sample_euler": "ddim:eta=0",
    "sample_euler_ancestral": "ddim:eta=1",
    "sample_heun": "heun",
    "sample_dpm_2": "dpm_solver:order=2,end=zero",
    "sample_dpm_fast": "dpm_fast",
    "sample_dpmpp_2m": "dpmpp_2m:lower_order_final=never,end=zero",
    "sample_dpmpp_2m_sde": "dpmpp_2m_sde",
    # diffusers, by the defaults of its schedulers
    "DDIMScheduler": "ddim:eta=0",
    "EulerDiscreteScheduler": "ddim:eta=0",
    "EulerAncestralDiscreteScheduler": "ddim:eta=1",
    "HeunDiscreteScheduler": "heun",
    "DPMSolverMultistepScheduler": "dpmpp_2m:lower_order_final=15,end=zero",
    "UniPCMultistepScheduler": "unipc:order=2,lower_order_final=always,end=zero",
}
"""Other names of the same arithmetic → ours. The grid of times is not part of it: that is `--spacing`."""


def parse(text: str) -> tuple[str, dict[str, str]]:
    """Return the name and the given options of a text such as "ddim", "ddim:eta=0.5" or an alias.

    Raises:
        ValueError: there is no such sampler, or it has no such option.

    """
    name, _, rest = ALIASES.get(text, text).partition(":")
    if name in ALIASES:
        name, given = parse(ALIASES[name])
        return name, given | parse(f"{name}:{rest}")[1]
    known = option_names(name)
    options = dict(part.partition("=")[::2] for part in rest.split(",")) if rest else {}
    for option in options:
        if option not in known:
            raise ValueError(f"{name} has no option {option!r}" + (f": it has {', '.join(known)}" if known else ""))
    return name, options


def make(name: str, options: dict[str, Any]) -> Sampler:
    """Return a sampler. Missing options take their defaults; options that the sampler does not have are ignored.

    Raises:
        ValueError: there is no such sampler, or an option has an invalid value.

    """
    known = option_names(name)
    given = {option: value for option, value in options.items() if option in known}
    try:
        return _adapter(SAMPLERS[name]).validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{name}:{first['loc'][0]}: {UserError.plain(first['msg'])}") from None


def option_names(name: str) -> list[str]:
    """Return the names of a sampler's options.

    Raises:
        ValueError: there is no such sampler.

    """
    if name not in SAMPLERS:
        near = difflib.get_close_matches(name, [*SAMPLERS, *ALIASES]) or [*SAMPLERS]
        raise ValueError(f"unknown sampler {name!r}: use {', '.join(near)}")
    return [field.name for field in dataclasses.fields(SAMPLERS[name])]


def options_schema(name: str) -> dict[str, Any]:
    """Return the JSON schema of each option of a sampler, with its default: which words, or from where to where."""
    properties: dict[str, Any] = _adapter(SAMPLERS[name]).json_schema().get("properties", {})
    return properties


@cache
def _adapter(kind: type[Sampler]) -> TypeAdapter[Sampler]:
    return TypeAdapter(kind)  # milliseconds, and every row of every table asks for its sampler
