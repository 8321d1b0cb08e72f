"""Presets: the paper's experiments (tables 1 and 3), and the digits in the package, by DDIM and by all samplers."""

from typing import Any, Final

MISSING: Final = "<to be given>"
"""The placeholder for a value that a preset cannot know, so the user has to give it."""

_TABLE_1 = {
    "model": MISSING,
    "steps": (10, 20, 50, 100, 1000),
    "eta": (0.0, 0.2, 0.5, 1.0, "hat"),
    "num_images": 50_000,
    "batch_size": 500,
    "shard_size": 1000,
    "extractor": "inception-v3-compat",
}
_TABLE_3 = {
    **_TABLE_1,
    "steps": (10, 20, 50, 100),
    "eta": (0.0, 1.0),
    "batch_size": 16,
    "shard_size": 160,
    "reference": MISSING,
}

PRESETS: Final[dict[str, dict[str, Any]]] = {
    "digits": {},
    "samplers": {
        "sampler": (
            *("ddim", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m", "unipc", "unipc:order=3"),
            *("dpm_solver:order=2", "dpm_fast", "deis", "ipndm", "pndm", "heun"),
        ),
        "eta": None,
        "steps": (5, 8, 10, 20, 50),
        "out": "runs/samplers",
    },
    "cifar10": {**_TABLE_1, "reference": "cifar10-train", "out": "runs/cifar10"},
    "celeba": {
        **_TABLE_1,
        **{"reference": MISSING, "batch_size": 200, "shard_size": 1000, "out": "runs/celeba"},
    },
    "bedroom": {**_TABLE_3, "out": "runs/bedroom"},
    "church": {**_TABLE_3, "out": "runs/church"},
}
"""Preset → its changes to the defaults of `SweepConfig`.

Clipping is the authors' (only for σ̂), and the reference is the training set. The user has to give those of CelebA and
LSUN, since no library has them in the paper's crop.
"""

DDIM_SPACINGS: Final = {"cifar10": "quadratic"}
"""Preset → DDIM's default spacing, where it is not linear: the paper uses the quadratic τ on CIFAR10."""
