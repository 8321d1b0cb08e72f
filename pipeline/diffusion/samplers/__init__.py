"""The samplers by name, and the parsing of a user's text. A new sampler needs a file here and an entry below."""

import dataclasses
import difflib
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.diffusion.samplers.base import Sampler
from pipeline.diffusion.samplers.ddim import DDIM

SAMPLERS: dict[str, type[Sampler]] = {
    DDIM.name: DDIM,
}


def parse(text: str) -> tuple[str, dict[str, str]]:
    """Return the name and the given options of a text such as "ddim" or "ddim:eta=0.5".

    Raises:
        ValueError: there is no such sampler, or it has no such option.

    """
    name, _, rest = text.partition(":")
    if name not in SAMPLERS:
        near = difflib.get_close_matches(name, SAMPLERS, n=1)
        raise ValueError(f"unknown sampler {name!r}: use {near[0] if near else ', '.join(SAMPLERS)}")
    options = dict(part.partition("=")[::2] for part in rest.split(",")) if rest else {}
    known = option_names(name)
    for option in options:
        if option not in known:
            raise ValueError(f"{name} has no option {option!r}" + (f": it has {', '.join(known)}" if known else ""))
    return name, options


def make(name: str, options: dict[str, Any]) -> Sampler:
    """Return a sampler. Missing options take their defaults; options that the sampler does not have are ignored.

    Raises:
        ValueError: there is no such sampler, or an option has an invalid value.

    """
    if name not in SAMPLERS:
        raise ValueError(f"unknown sampler {name!r}: use {', '.join(SAMPLERS)}")
    given = {option: value for option, value in options.items() if option in option_names(name)}
    try:
        return TypeAdapter(SAMPLERS[name]).validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        where = ".".join(str(part) for part in first["loc"][:1])
        raise ValueError(f"{name}:{where}: {message[0].lower()}{message[1:]}") from None


def option_names(name: str) -> list[str]:
    """Return the names of a sampler's options."""
    return [field.name for field in dataclasses.fields(SAMPLERS[name])]
