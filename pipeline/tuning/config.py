"""For which budgets a sampler and its grid are searched, and how they are proven."""

import sys
from typing import Any

from pydantic import Field

from pipeline import UserError
from pipeline.diffusion import samplers
from pipeline.diffusion.schedule import Schedule
from pipeline.evaluation.measurement import open_measurement
from pipeline.sweep.config import Steps
from pipeline.sweep.study import Study, StudyConfig, inspect, open_study, same_as_sweep, saved_identity
from pipeline.tuning.candidates import defaults, most_times
from pipeline.tuning.tasks import FOLDER, TEACHER, TEACHER_CALLS

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
    paid = {calls: [n for n in config.sampler if pays(n, schedule, calls)] for calls in config.calls}
    for calls, names in paid.items():
        if not names:
            given = ", ".join(config.sampler)
            raise UserError(f"--calls {calls}: none of {given} can be given times for so few network calls, give more")
        if calls >= TEACHER_CALLS:
            text = f"the search is led by {TEACHER_CALLS} calls of {TEACHER}, give fewer than these"
            raise UserError(f"--calls {calls}: {text}")
    possible = tuple(name for name in config.sampler if any(name in names for names in paid.values()))
    left_out = [name for name in config.sampler if name not in possible]
    config = config.model_copy(update={"sampler": possible})
    known = saved_identity(config, "reference", storage_options)
    chosen = config.extractor, config.extractor_weights, config.reference
    measurement = open_measurement(*chosen, model.image_shape, model.identity, known)
    more = {
        "search": SEARCH_VERSION,
        **config.model_dump(mode="json", include={"calls", "sampler", "num_images"}),
        **{name: measurement.identity[name] for name in ("extractor", "extractor_weights", "reference")},
    }
    study = open_study(config, model, more, storage_options)
    if left_out:
        print(f"not searched, for so few calls or since it takes no times: {', '.join(left_out)}", file=sys.stderr)
    return study


def pays(name: str, schedule: Schedule, calls: int) -> bool:
    """Return whether a budget pays for a walk of a sampler that is given times."""
    return any(most_times(sampler, schedule, calls) for sampler in defaults([name]))
