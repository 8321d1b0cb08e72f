"""For which budgets a sampler and its grid are searched, and how they are proven."""

import sys
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from pipeline import UserError
from pipeline.diffusion import samplers
from pipeline.diffusion.schedule import Schedule
from pipeline.evaluation.measurement import open_measurement
from pipeline.sweep.config import Steps
from pipeline.sweep.study import Study, StudyConfig, inspect, open_study, same_as_sweep, saved_identity
from pipeline.tuning.candidates import defaults, on_default
from pipeline.tuning.tasks import FOLDER

SEARCH_VERSION = 1
"""A number that must grow whenever the same command may find another grid, so that no output is made by two."""


class TuneConfig(StudyConfig):
    """For which budgets a sampler and its grid are searched, and how they are proven."""

    kind = "tuning"
    folder = FOLDER

    out: str = Field(default="runs/tuned", description="folder or URL of the output (runs/tuned)")
    calls: tuple[Steps, ...] = Field(default=(5,), min_length=1, description="budgets of network calls an image (5)")
    sampler: tuple[str, ...] = Field(
        default=tuple(samplers.SAMPLERS),
        min_length=1,
        description="samplers that are searched, with all values of the options that are left open (all samplers)",
    )
    num_images: int = Field(default=10_000, ge=10, le=10**9, description="fresh images a setting in the proof (10000)")
    batch_size: int = Field(default=128, ge=1, le=10**9, description="images a network call (128)")
    extractor: str = Field(default="digits-classifier", description="digits-classifier, inception-v3-compat, vgg16, …")
    extractor_weights: str | None = Field(default=None, description="file or URL; default torch-fidelity's download")
    reference: str = Field(default="digits", description=same_as_sweep("reference"))

    @property
    def settings(self) -> dict[str, Any]:
        """The samplers on their default grids."""
        return {"sampler": self.sampler, "steps": self.calls}


def open_tuning(config: TuneConfig, storage_options: dict[str, Any] | None) -> Study:
    """Return the study of a config; writes nothing.

    Raises:
        UserError: a budget is too small for every sampler, the reference does not fit, or see `open_study`.

    """
    model = inspect(config.model)
    schedule = model.schedule()
    config = config.model_copy(update={"calls": tuple(sorted(set(config.calls)))})
    least = {name: [c for c in config.calls if any_default([name], schedule, c)] for name in config.sampler}
    for calls in config.calls:
        if not any(calls in paid for paid in least.values()):
            raise UserError(f"--calls {calls}: none of {', '.join(config.sampler)} takes so few network calls")
    left_out = [name for name, paid in least.items() if not paid]
    if left_out:
        print(f"left out, since they take more network calls: {', '.join(left_out)}", file=sys.stderr)
    config = config.model_copy(update={"sampler": tuple(name for name, paid in least.items() if paid)})
    known = saved_identity(config, "reference", storage_options)
    chosen = config.extractor, config.extractor_weights, config.reference
    measurement = open_measurement(*chosen, model.image_shape, model.identity, known)
    more = {
        "search": SEARCH_VERSION,
        **config.model_dump(include={"calls", "sampler", "num_images"}),
        **{name: measurement.identity[name] for name in ("extractor", "extractor_weights", "reference")},
    }
    return open_study(config, model, more, storage_options)


def any_default(names: Sequence[str], schedule: Schedule, calls: int) -> bool:
    """Return whether a budget pays for a walk of one of some samplers on its default grid."""
    return any(on_default(sampler, schedule, calls) for sampler in defaults(names))
