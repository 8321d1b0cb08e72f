"""A feature file: rows of (seed, features, logits) of one image file or of the reference."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.utils import create_feature_extractor

from pipeline.evaluation import extractors  # noqa: F401  registers the digits classifier
from pipeline.storage import Storage

REFERENCE_PATH = "features/reference.parquet"


@dataclass(frozen=True)
class Features:
    """The content of a feature file: N rows."""

    seeds: list[int]
    features: Tensor
    """float32, (N, D): what FID, KID, precision and recall read."""
    logits: Tensor
    """float32, (N, K): what IS reads."""
    metadata: dict[str, Any]
    """What the image file's footer says (`ImageFile`), or the name of the reference."""


def make_extractor(name: str, device: str) -> FeatureExtractorBase:
    """Return torch-fidelity's extractor `name` with the layers that FID and IS read."""
    layers = [_class(name).get_default_feature_layer_for_metric(metric) for metric in ("fid", "isc")]
    return create_feature_extractor(name, layers, cuda=device == "cuda", verbose=False)


@torch.inference_mode()
def extract(extractor: FeatureExtractorBase, images: Tensor, device: str, batch_size: int) -> tuple[Tensor, Tensor]:
    """Return (features, logits), float32 on the CPU, of RGB images: uint8, (N, 3, H, W)."""
    parts = [extractor(batch.to(device)) for batch in images.split(batch_size)]
    features, logits = (torch.cat(part).float().cpu() for part in zip(*parts, strict=True))
    return features, logits


def write_features(
    storage: Storage, path: str, first_seed: int, features: Tensor, logits: Tensor, metadata: dict[str, Any]
) -> None:
    """Commit a feature file."""
    seeds = pa.array(range(first_seed, first_seed + len(features)), pa.int64())
    table = pa.table({"seed": seeds, "features": _column(features), "logits": _column(logits)})
    digest = {"features_digest": _digest(features, logits)}
    storage.write_table(path, table, metadata | digest, row_group_size=1000)


def read_features(storage: Storage, path: str) -> Features:
    """Return a feature file's content. Raises DamagedFileError."""

    def check(table: pa.Table, metadata: dict[str, Any]) -> Features:
        features, logits = (_tensor(table[name]) for name in ("features", "logits"))
        if _digest(features, logits) != metadata["features_digest"]:
            raise ValueError("its features do not match their digest")
        return Features(table["seed"].to_pylist(), features, logits, metadata)

    return storage.read_table(path, check)


def _class(name: str) -> Any:
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    return FEATURE_EXTRACTORS_REGISTRY[name]


def _column(values: Tensor) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.numpy().ravel()), values.shape[1])


def _tensor(column: pa.ChunkedArray) -> Tensor:
    array = column.combine_chunks()
    flat = np.array(array.flatten().to_numpy(zero_copy_only=False), dtype=np.float32)
    return torch.from_numpy(flat.reshape(len(array), -1))


def _digest(features: Tensor, logits: Tensor) -> str:
    return hashlib.sha256(features.numpy().tobytes() + logits.numpy().tobytes()).hexdigest()
