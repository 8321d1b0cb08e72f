"""Between which x_T an interpolation draws: its config, and the opening of its output."""

from typing import Any

from pydantic import Field

from pipeline import UserError
from pipeline.evaluation.extractors import extractor_info
from pipeline.sweep.study import GridConfig, Study, inspect, open_study, same_as_sweep
from pipeline.work.reconstruct import assert_encoded, saved_encodings

CORNERS = 4
"""Images whose x_T are the grid's corners."""


class InterpolateConfig(GridConfig):
    """Between which x_T images are drawn, and how many."""

    kind = "interpolation"
    folder = "interpolations"

    out: str = Field(default="runs/interpolation", description="folder or URL of the output (runs/interpolation)")
    sampler: tuple[str, ...] = Field(default=("ddim",), max_length=1, description="one, without noise in its steps")
    steps: tuple[int, ...] = Field(default=(50,), max_length=1, description="S, one (50, as the paper)")
    spacing: tuple[str, ...] | None = Field(default=None, max_length=1, description=same_as_sweep("spacing"))
    seeds: tuple[int, ...] = Field(
        default=tuple(range(100)), description="of images: each two are the ends of a line, the first four the corners"
    )
    encodings: str | None = Field(
        default=None, description="output of jobs/reconstruct.py, of whose images --seeds are then the positions"
    )
    count: int = Field(default=11, ge=3, le=100, description="pictures a line (11)")
    extractor: str = Field(default="digits-classifier", description="digits-classifier, inception-v3-compat, vgg16, …")
    extractor_weights: str | None = Field(default=None, description="file or URL; default torch-fidelity's download")


def open_interpolation(config: InterpolateConfig, storage_options: dict[str, Any] | None) -> Study:
    """Return the study of a config; writes nothing.

    Raises:
        UserError: a sampler injects noise, seeds are no pairs or have no encodings, or see `open_study`.

    """
    (text,), (sampler,) = config.sampler, config.grid.samplers()
    if sampler.injects_noise:
        raise UserError(f"--sampler {text} injects noise, so x_T alone leads to no image: use one without, as ddim")
    seeds = config.seeds
    if len(seeds) % 2 or len(seeds) < CORNERS or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UserError(f"--seeds: give an even number of different seeds, {CORNERS} at least, none below 0")
    model = inspect(config.model)
    source = None if config.encodings is None else saved_encodings(config.encodings, storage_options)
    more = {
        "seeds": list(seeds),
        "count": config.count,
        "extractor": extractor_info(config.extractor, config.extractor_weights).digest,
        "encodings": None if source is None else source.identity,
    }
    study = open_study(config, model, more, storage_options)
    if source is not None:
        assert_encoded(source, study.settings[0], model.digest, seeds)
    return study
