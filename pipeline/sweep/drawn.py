"""A file of pictures that a study drew: rows of named values with one or several images each."""

from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.images.pixels import Pixels, decode, pixel_digest, png
from pipeline.storage.store import Storage
from pipeline.sweep.images import IMAGE


def write_drawn(
    storage: Storage, path: str, values: dict[str, pa.Array], images: dict[str, Pixels], metadata: dict[str, Any]
) -> None:
    """Commit a file of N rows.

    Args:
        storage: the output.
        path: the file's path.
        values: column → N values.
        images: column → pixels of N images, which `datasets` and pandas read as pictures.
        metadata: plain values for the footer, the fingerprint among them.

    """
    pictures = {
        name: pa.array([{"bytes": png(image), "path": None} for image in pixels], IMAGE)
        for name, pixels in images.items()
    }
    digests = {name: pixel_digest(pixels) for name, pixels in images.items()}
    storage.write_table(path, pa.table({**values, **pictures}), metadata | {"digests": digests}, row_group_size=1000)


def read_drawn(storage: Storage, path: str, fingerprint: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows of such a file, with decoded images as uint8, (H, W, C), and its metadata.

    Raises:
        DamagedFileError: it is missing, damaged, or of another study.

    """

    def check(table: pa.Table, metadata: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        if metadata["fingerprint"] != fingerprint:
            raise ValueError(f"it has fingerprint {metadata['fingerprint']}, this study has {fingerprint}")
        rows = table.to_pylist()
        for name, digest in metadata["digests"].items():
            for row in rows:
                row[name] = decode(row[name]["bytes"])
            if pixel_digest(np.stack([row[name] for row in rows])) != digest:
                raise ValueError("its pixels do not match their digest")
        return rows, metadata

    return storage.read_table(path, check)
