"""A feature file: rows of (seed, features, logits if any) for the images of a shard, or of a setting in a baseline."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pipeline.storage.sealed import sha256
from pipeline.storage.store import Storage

Extractor = Callable[[Tensor], tuple[Tensor, ...]]
"""Images, uint8, (N, 3, H, W) → the layers that FID and IS read, (N, D) and (N, K); FID's alone without logits."""


@dataclass(frozen=True)
class Features:
    """The content of a feature file: N rows."""

    seeds: list[int]
    features: Tensor
    """float32, (N, D): what FID, KID, precision and recall read."""
    logits: Tensor | None
    """float32, (N, K): what IS reads. None if the extractor has none."""
    metadata: dict[str, Any]
    """For a shard, the fields of `ImageFile`, with the measurement's fingerprint in place of the images'."""


def extract(extractor: Extractor, images: Tensor, device: str, batch_size: int) -> tuple[Tensor, Tensor | None]:
    """Return (features, logits), float32 on the CPU, (N, D) and (N, K), of images: uint8, (N, 1 or 3, H, W).

    Gray images are passed as RGB. Logits are None if the extractor has none.
    """
    return feed([extractor], images.split(batch_size), device)[0]


@torch.inference_mode()
def feed(extractors: Sequence[Extractor], batches: Iterable[Tensor], device: str) -> list[tuple[Tensor, Tensor | None]]:
    """Return what `extract` does, by each extractor, of images that come in batches: uint8, (N, 1 or 3, H, W)."""
    parts: list[list[tuple[Tensor, ...]]] = [[] for _ in extractors]
    for batch in batches:
        images = batch.to(device).expand(-1, 3, -1, -1)
        for extractor, of_one in zip(extractors, parts, strict=True):
            of_one.append(extractor(images))
    return [_layers(of_one) for of_one in parts]


def _layers(parts: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, Tensor | None]:
    layers = [torch.cat(part).float().cpu() for part in zip(*parts, strict=True)]
    return layers[0], layers[1] if len(layers) > 1 else None


def write_features(
    storage: Storage, path: str, first_seed: int, features: Tensor, logits: Tensor | None, metadata: dict[str, Any]
) -> None:
    """Commit a feature file of float32 features (N, D) and any logits (N, K) for the N seeds from `first_seed`."""
    seeds = pa.array(range(first_seed, first_seed + len(features)), pa.int64())
    columns = {"seed": seeds, "features": as_column(features)}
    table = pa.table(columns if logits is None else columns | {"logits": as_column(logits)})
    digest = {"features_digest": sha256(content(features, logits))}
    storage.write_table(path, table, metadata | digest, row_group_size=1000)


def read_features(storage: Storage, path: str) -> Features:
    """Return a feature file's content. Raises DamagedFileError.

    Earlier releases wrote the features again as the logits of an extractor that has none: these count as None.
    """

    def check(table: pa.Table, metadata: dict[str, Any]) -> Features:
        features = as_tensor(table["features"])
        logits = as_tensor(table["logits"]) if "logits" in table.column_names else None
        if sha256(content(features, logits)) != metadata["features_digest"]:
            raise ValueError("its features do not match their digest")
        if logits is not None and torch.equal(features, logits):
            logits = None
        return Features(table["seed"].to_pylist(), features, logits, metadata)

    return storage.read_table(path, check)


def as_column(values: Tensor) -> pa.Array:
    """Return an (N, D) tensor as an Arrow array of N lists of D values."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.numpy().ravel()), values.shape[1])


def as_tensor(column: pa.ChunkedArray) -> Tensor:
    """Return the (N, D) tensor of a column that `as_column` made."""
    array = column.combine_chunks()
    flat = np.array(array.flatten().to_numpy(zero_copy_only=False))  # a copy, since tensors must be writable
    return torch.from_numpy(flat.reshape(len(array), -1))


def content(features: Tensor, logits: Tensor | None) -> bytes:
    """Return the bytes of features and of logits, if any."""
    return features.numpy().tobytes() + (b"" if logits is None else logits.numpy().tobytes())
