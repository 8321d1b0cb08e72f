"""A file of reconstructions: rows of (index, x_T, mse) for the images of a shard."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from pipeline.evaluation.features import as_column, as_tensor
from pipeline.storage.store import Storage
from pipeline.sweep.shards import Shard

KIND = "reconstructions"
"""The folder of these files."""


@dataclass(frozen=True)
class Reconstructed:
    """The content of such a file: N rows, in the order of the images."""

    x_T: Tensor
    """What the images were encoded to: float32, (N, C, H, W)."""
    mse: Tensor
    """Mean squared error of each image on [0, 1], over its C·H·W values: float64, (N,)."""


def write_reconstructed(storage: Storage, shard: Shard, content: Reconstructed, fingerprint: str) -> None:
    """Commit the file of a shard.

    `index` is an image's position in its source, `x_T` a list of its C·H·W values, whose shape the footer has.
    """
    table = pa.table(
        {
            "index": pa.array(range(shard.first, shard.end), pa.int64()),
            "x_T": as_column(content.x_T.flatten(1)),
            "mse": pa.array(content.mse.numpy()),
        }
    )
    metadata = {"fingerprint": fingerprint, "shape": [*content.x_T.shape[1:]], "setting": shard.setting.describe()}
    storage.write_table(shard.path(KIND), table, metadata, row_group_size=1000)


def read_reconstructed(storage: Storage, shard: Shard, fingerprint: str) -> Reconstructed:
    """Return the content of a shard's file. Raises DamagedFileError."""

    def check(table: pa.Table, metadata: dict[str, Any]) -> Reconstructed:
        if metadata["fingerprint"] != fingerprint:
            raise ValueError(f"it has fingerprint {metadata['fingerprint']}, this study has {fingerprint}")
        if table["index"].to_pylist() != list(range(shard.first, shard.end)):
            raise ValueError(f"it does not hold exactly the images {shard.first} to {shard.end - 1}")
        x_T = as_tensor(table["x_T"]).reshape(shard.rows, *metadata["shape"])
        return Reconstructed(x_T, torch.tensor(table["mse"].to_numpy()))

    return storage.read_table(shard.path(KIND), check)
