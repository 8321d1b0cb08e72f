"""The paper's numbers, with sources; and whether ours may be compared with them."""

from dataclasses import dataclass
from typing import Final

from pipeline.diffusion.model import ModelInfo
from pipeline.diffusion.samplers.ddim import DDIM, Eta
from pipeline.evaluation.extractors import INCEPTION
from pipeline.sweep.grid import Rows, Setting
from pipeline.sweep.method import Method
from pipeline.sweep.run import Run

INCEPTION_SHA256: Final = "6726825d"
"""The first digits of the SHA-256 of torch-fidelity's published Inception weights, from their file name."""


@dataclass(frozen=True)
class Experiment:
    """A table of FIDs and the conditions under which they were measured."""

    source: str
    image_shape: tuple[int, int, int]
    spacing: str
    num_reference: int
    """Number of images in the training set, which is the paper's reference."""
    fid: dict[tuple[Eta, int], float]
    """(η, S) → FID."""
    reference: str | None = None
    """The data set that a reference must be made of; None if no library has it."""
    num_images: int = 50_000


def _grid(steps: tuple[int, ...], rows: dict[Eta, tuple[float, ...]]) -> dict[tuple[Eta, int], float]:
    return {(eta, s): fid for eta, values in rows.items() for s, fid in zip(steps, values, strict=True)}


_PAPER: Final = "Song, Meng, Ermon, ICLR 2021"

EXPERIMENTS: Final[dict[str, Experiment]] = {
    "cifar10": Experiment(
        f"{_PAPER}, table 1, CIFAR10",
        (3, 32, 32),
        "quadratic",
        50_000,
        _grid(
            (10, 20, 50, 100, 1000),
            {
                0.0: (13.36, 6.84, 4.67, 4.16, 4.04),
                0.2: (14.04, 7.11, 4.77, 4.25, 4.09),
                0.5: (16.66, 8.35, 5.25, 4.46, 4.29),
                1.0: (41.07, 18.36, 8.01, 5.78, 4.73),
                "hat": (367.43, 133.37, 32.72, 9.99, 3.17),
            },
        ),
        reference="cifar10-train",
    ),
    "celeba": Experiment(
        f"{_PAPER}, table 1, CelebA",
        (3, 64, 64),
        "linear",
        162_770,
        _grid(
            (10, 20, 50, 100, 1000),
            {
                0.0: (17.33, 13.73, 9.17, 6.53, 3.51),
                0.2: (17.66, 14.11, 9.51, 6.79, 3.64),
                0.5: (19.86, 16.06, 11.01, 8.09, 4.28),
                1.0: (33.12, 26.03, 18.48, 13.93, 5.98),
                "hat": (299.71, 183.83, 71.71, 45.20, 3.26),
            },
        ),
    ),
    "bedroom": Experiment(
        f"{_PAPER}, table 3, LSUN Bedroom",
        (3, 256, 256),
        "linear",
        3_033_042,
        _grid((10, 20, 50, 100), {0.0: (16.95, 8.89, 6.75, 6.62), 1.0: (42.78, 22.77, 10.81, 6.81)}),
    ),
    "church": Experiment(
        f"{_PAPER}, table 3, LSUN Church",
        (3, 256, 256),
        "linear",
        126_227,
        _grid((10, 20, 50, 100), {0.0: (19.45, 12.47, 10.84, 10.58), 1.0: (51.56, 23.37, 11.16, 8.27)}),
    ),
}
"""Preset → experiment."""

RECONSTRUCTION: Final = {10: 0.014, 20: 0.0065, 50: 0.0023, 100: 0.0009, 200: 0.0004, 500: 0.0001, 1000: 0.0001}
"""Table 2: S → per-dimension MSE on [0, 1] of encoding and decoding CIFAR10's test set, η = 0."""

INCEPTION_SCORES: Final = {10: 8.28, 20: 8.81, 50: 8.98, 100: 9.11}
"""S → IS of DDIM, η = 0, with the same checkpoint (DDPM: 9.46), from a later paper; the paper has none."""


ANOTHER_SCHEDULE: Final = "another noise schedule than DDPM's, linear from 1e-4 to 0.02 in 1000 steps"


def has_another_schedule(model: ModelInfo) -> bool:
    """Return whether a model was trained with another noise schedule than the paper's."""
    return (model.num_train_timesteps, model.beta_start, model.beta_end) != (1000, 1e-4, 2e-2)


def differences(run: Run, rows: Rows) -> list[str]:
    """Return why a run's numbers cannot be compared with its preset's experiment; empty if they can.

    Conditions of ours that are unknown count as different.
    """
    experiment = EXPERIMENTS[run.config.preset]
    extractor = run.measurement.extractor
    reference, source = (next(iter(rows.values()))["reference"].get(name) for name in ("num_images", "source"))
    ema = {True: "", False: "the weights are not EMA", None: "whether the weights are EMA is unknown"}[run.model.ema]
    differences = {
        f"{run.config.num_images:,} images, not {experiment.num_images:,}": run.config.num_images
        != experiment.num_images,
        f"images of {run.model.image_shape}, not {experiment.image_shape}": run.model.image_shape
        != experiment.image_shape,
        f"features of {extractor.name}, not Inception": extractor.name != INCEPTION,
        f"other weights of Inception ({extractor.digest[:8]}) than the published {INCEPTION_SHA256}": extractor.name
        == INCEPTION
        and not extractor.digest.startswith(INCEPTION_SHA256),
        f"a reference of {f'{reference:,}' if reference else 'an unknown number of'} images, not the "
        f"{experiment.num_reference:,} of the training set": reference != experiment.num_reference,
        f"a reference made of {source}, not of {experiment.reference}": experiment.reference not in (None, source),
        ANOTHER_SCHEDULE: has_another_schedule(run.model),
        f"a network in {run.config.dtype}": run.config.dtype != "float32",
        ema: bool(ema),
    }
    return [text for text, differs in differences.items() if differs]


def paper_fid(experiment: Experiment, setting: Setting) -> float | None:
    """Return the paper's FID of a setting; None if it has none, as for another sampler, spacing or clipping."""
    sampler = setting.sampler
    if not isinstance(sampler, DDIM) or setting.method != Method(sampler, experiment.spacing, sampler.clips):
        return None
    return experiment.fid.get((sampler.eta, setting.steps))
