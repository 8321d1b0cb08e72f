"""The spacing `tuned`: grids of time that were searched for one model, by sampler and budget, and that ship."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from pydantic import TypeAdapter

from pipeline.diffusion import samplers
from pipeline.diffusion.samplers.base import NoGridError, Sampler
from pipeline.diffusion.schedule import TunedGrids


def tuned_grids(digest: str) -> TunedGrids:
    """Return the grids that ship for the model with this digest; none for most."""
    return _shipped().get(digest, {})


def tuned_spacing(grids: TunedGrids, sampler: Sampler, budget: int) -> str:
    """Return the grid of a sampler and a budget, as a spacing that lists its times.

    Raises:
        NoGridError: there is none for this budget.
        ValueError: there is none for this sampler, or this model.

    """
    if not grids:
        raise ValueError("this model has no tuned grids: jobs/tune.py finds them")
    of_sampler = next((of for text, of in grids.items() if samplers.make(*samplers.parse(text)) == sampler), None)
    if of_sampler is None:
        raise ValueError(f"{sampler.label} has no tuned grids on this model, which has those of {', '.join(grids)}")
    if budget not in of_sampler:
        known = ", ".join(map(str, sorted(of_sampler)))
        raise NoGridError(f"{sampler.label} has tuned grids at S = {known} on this model, not {budget}")
    return ",".join(map(repr, of_sampler[budget]))


@cache
def _shipped() -> Mapping[str, TunedGrids]:
    """Return the digest of a model → its grids."""
    file = files("pipeline") / "assets" / "digits-tuned" / "tuned.json"
    table: Mapping[str, TunedGrids] = _TABLE.validate_json(file.read_text(encoding="utf-8"))
    return table


_TABLE = TypeAdapter(dict[str, dict[str, dict[int, tuple[int | float, ...]]]])
