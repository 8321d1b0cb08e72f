"""Presets: the paper's experiments (tables 1 and 3), and the digits that travel with the package."""

from typing import Any, Final

MISSING: Final = "<to be given>"
"""Stands where a preset cannot know the value, so the user has to give it."""

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
    "cifar10": {**_TABLE_1, "reference": "cifar10-train", "out": "runs/cifar10"},
    "celeba": {
        **_TABLE_1,
        **{"reference": MISSING, "batch_size": 200, "shard_size": 1000, "out": "runs/celeba"},
    },
    "bedroom": {**_TABLE_3, "out": "runs/bedroom"},
    "church": {**_TABLE_3, "out": "runs/church"},
}
"""What a preset changes of the defaults of `SweepConfig`.

Clipping is the authors' (σ̂ alone), and the reference is the
training set; CelebA's and LSUN's are the user's own, since no library has them in the paper's crop.
"""

DDIM_SPACINGS: Final = {"cifar10": "quadratic"}
"""DDIM's spacing in a preset, where none is given and it is not linear: the paper walks the quadratic τ on CIFAR10."""
