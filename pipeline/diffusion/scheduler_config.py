"""diffusers' scheduler_config.json: where it lies, what it says, and what is assumed where it is silent."""

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from pipeline import UserError

_SCHEDULERS = (
    "DDPMScheduler",
    "DDIMScheduler",
    "PNDMScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
)
_SUPPORTED = {
    "prediction_type": "epsilon",
    "predict_epsilon": True,
    "beta_schedule": "linear",
    "rescale_betas_zero_snr": False,
    "use_flow_sigmas": False,
}
"""The only supported values in a scheduler's config; what diffusers left out has its default, which is this."""
_SCHEDULE_KEYS = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule")
_WISHES: dict[str, tuple[Any, str]] = {
    "clip_sample": (False, "--clip"),
    "thresholding": (False, "no dynamic threshold"),
    "set_alpha_to_one": (True, "ᾱ = 1 at time 0"),
    "timestep_spacing": ("leading", "--spacing"),
    "steps_offset": (0, "no offset"),
    "use_karras_sigmas": (False, "--spacing"),
    "use_exponential_sigmas": (False, "--spacing"),
    "use_beta_sigmas": (False, "--spacing"),
    "use_lu_lambdas": (False, "--spacing"),
}
"""What a scheduler's config wishes of a sampler → the value that asks for nothing else, and what is done here."""
_WISHED_BY_DEFAULT: dict[str, dict[str, Any]] = {
    "DDPMScheduler": {"clip_sample": True},
    "DDIMScheduler": {"clip_sample": True},
    "PNDMScheduler": {"set_alpha_to_one": False},
    "DPMSolverMultistepScheduler": {"timestep_spacing": "linspace"},
    "UniPCMultistepScheduler": {"timestep_spacing": "linspace"},
}
"""The defaults of diffusers' classes that are another value."""


class SchedulerConfig(BaseModel):
    """The fields of scheduler_config.json that are used here; their defaults are DDPM's values."""

    num_train_timesteps: int = Field(1000, ge=1, le=10**6)
    beta_start: float = Field(1e-4, gt=0, lt=1)
    beta_end: float = Field(2e-2, gt=0, lt=1)


def scheduler_file_of(root: Path, folder: Path) -> Path | None:
    """Return the scheduler_config.json of a U-Net's folder; None if there is none in it, above it or beside it."""
    name = "scheduler_config.json"
    beside = [root, folder, folder.resolve().parent]
    # diffusers' trainers write output/checkpoint-500/unet, and output/scheduler at their end
    beside += [place.parent for place in beside if re.fullmatch(r"checkpoint-\d+", place.name)]
    files = [root / "scheduler" / name, folder / name]
    files += [file for place in beside for file in (place / "scheduler" / name, place / name)]
    return next((file for file in files if file.is_file()), None)


def refuse_scheduler(model: str, scheduler: dict[str, Any], file: Path | None) -> None:
    """Raise UserError if a scheduler is of another process than DDPM's with linear β, or predicts other than ε."""
    if (kind := scheduler.get("_class_name", _SCHEDULERS[0])) not in _SCHEDULERS:
        raise UserError(f"{model}: {file} is a {kind}'s, and a DDPM's is needed")
    if (betas := scheduler.get("trained_betas")) is not None:
        count = f"{len(betas):,} values" if isinstance(betas, list) else "values"
        raise UserError(f"{model}: trained_betas in {file} has {count} of its own, and a linear β is needed")
    for key, supported in _SUPPORTED.items():
        if scheduler.get(key, supported) != supported:
            raise UserError(f"{model}: {key} {scheduler[key]!r} in {file} is not {supported!r}")


def assumed_line(scheduler: dict[str, Any], schedule: SchedulerConfig, file: Path | None) -> str:
    """Return a line on what nobody said of schedule and prediction, and what is assumed; "" if all is said.

    A scheduler that diffusers saved has its class in it, and what it left out is that class's default.
    """
    if "_class_name" in scheduler:
        return ""
    asked = {
        "the noise schedule": any(key not in scheduler for key in _SCHEDULE_KEYS),
        "what is predicted": not {"prediction_type", "predict_epsilon"} & scheduler.keys(),
    }
    unsaid = [what for what, is_unsaid in asked.items() if is_unsaid]
    if not unsaid:
        return ""
    betas = f"linear β from {schedule.beta_start:g} to {schedule.beta_end:g}, T = {schedule.num_train_timesteps:,}"
    assumed = [f"DDPM's, {betas}", "ε"] if len(unsaid) == 2 else [betas if asked["the noise schedule"] else "ε"]
    who = "scheduler_config.json does not wholly say" if file else "no scheduler_config.json in or beside it says"
    return f"model: {who} {' and '.join(unsaid)}; assumed {' and '.join(assumed)}"


def passed_over_line(scheduler: dict[str, Any]) -> str:
    """Return a line on what a scheduler's config wishes of a sampler, and what is done here; "" if that is the same."""
    wished = _WISHED_BY_DEFAULT.get(str(scheduler.get("_class_name")), {}) | scheduler
    lines = []
    for key, (same, done) in _WISHES.items():
        if (value := wished.get(key, same)) != same:
            reach = {"clip_sample": "clip_sample_range", "thresholding": "sample_max_value"}.get(key, "")
            beyond = f" to ±{wished[reach]:g}" if wished.get(reach, 1) != 1 else ""
            lines.append(f"{key} {value}{beyond} ({done} here)")
    return f"model: scheduler_config.json's wishes of a sampler are passed over: {', '.join(lines)}" if lines else ""
