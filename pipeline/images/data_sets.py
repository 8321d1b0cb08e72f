"""The data sets that torch-fidelity knows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pipeline import UserError
from pipeline.images.base import Images, Source, numbered
from pipeline.storage.local import node_lock


def _data_sets() -> dict[str, Callable[[str, bool], Any]]:
    """Return name → how torch-fidelity makes a data set from a folder, and whether to download it."""
    from torch_fidelity.registry import DATASETS_REGISTRY  # a slow import

    return dict(DATASETS_REGISTRY)


def _open(name: str, option: str) -> Images:
    source = f"{option} {name}"
    root = Path(torch.hub.get_dir()).parent / "fidelity_datasets"  # where torch-fidelity itself looks
    with node_lock("datasets"):
        root.mkdir(parents=True, exist_ok=True)
        try:
            images = _data_sets()[name](str(root), True)
        except Exception as error:  # offline, no room, a changed archive: torchvision raises many kinds
            raise UserError.because(f"{source} cannot be downloaded to {root}", error) from error
    return Images(name, source, len(images), numbered(images), lambda known: name)


DATA_SETS = Source(lambda name: name in _data_sets(), _open, lambda: [*_data_sets()])
