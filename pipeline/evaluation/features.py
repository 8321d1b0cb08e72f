"""A feature file: rows of (seed, features, logits) of one image file or of the reference."""

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
    """Features and logits of N images in the order of their seeds, and the metadata of the files they come from."""

    seeds: list[int]
    features: Tensor
    """float32, (N, D): what FID, KID, precision and recall read."""
    logits: Tensor
    """float32, (N, K): what IS reads."""
    metadata: list[dict[str, Any]]


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
    storage.write_table(path, table, metadata, row_group_size=1000)


def read_features(storage: Storage, paths: list[str]) -> Features:
    """Return the rows of feature files, in the order of `paths`."""
    tables, metadata = zip(*(storage.read_table(path) for path in paths), strict=True)
    table = pa.concat_tables(tables).combine_chunks()
    features, logits = (_tensor(table[name]) for name in ("features", "logits"))
    return Features(table["seed"].to_pylist(), features, logits, list(metadata))


def _class(name: str) -> Any:
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    return FEATURE_EXTRACTORS_REGISTRY[name]


def _column(values: Tensor) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.numpy().ravel()), values.shape[1])


def _tensor(column: pa.ChunkedArray) -> Tensor:
    array = column.combine_chunks()
    flat = np.array(array.flatten().to_numpy(zero_copy_only=False), dtype=np.float32)
    return torch.from_numpy(flat.reshape(len(array), -1))
