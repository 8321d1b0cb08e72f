"""An image file: rows of (seed, image, setting), readable as pictures by datasets, pyarrow, pandas and DuckDB."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.images.pixels import Pixels, decode, pixel_digest, png
from pipeline.storage.store import Storage
from pipeline.sweep.shards import Shard

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""The type of a column of pictures, as `datasets` has it."""
_TEXT_COLUMNS = ("sampler", "spacing", "eta", "options")
_FEATURES = {
    "seed": {"_type": "Value", "dtype": "int64"},
    "image": {"_type": "Image"},
    **{name: {"_type": "Value", "dtype": "string"} for name in _TEXT_COLUMNS},
    "steps": {"_type": "Value", "dtype": "int64"},
}

IMAGES_CARD = """\
---
configs:
- config_name: images
  data_files: images/*/*.parquet
---

# Images of a sweep

`datasets.load_dataset` of this folder loads the images of all settings. Each row has its seed and its setting: sampler,
spacing, eta, options and steps. Without the lines above, features would be taken for images. The numbers are in
`report/table.md`.
"""
"""The text of a sweep's README.md. `datasets` guesses from names what to load, but where such a header says it."""


@dataclass(frozen=True)
class ImageFile:
    """The metadata in an image file's footer."""

    fingerprint: str
    rows: int
    digest: str
    """SHA-256 of the pixels, in seed order."""
    seconds: float
    """Seconds that sampling took, without encoding and writing."""
    device: str
    torch: str
    network_seconds: float | None = None
    """Seconds that as many network calls as the setting has took of `seconds`; None in files of earlier releases."""
    model_notes: list[str] = field(default_factory=list)
    """What was assumed of the model, see `ModelInfo.notes`; empty in files of earlier releases."""


def write_images(
    storage: Storage,
    shard: Shard,
    pixels: Pixels,
    info: ImageFile,
    tau: Sequence[float],
    labels: Sequence[int] | None = None,
) -> int:
    """Commit a shard's images as PNG in Parquet; return the file's size in bytes.

    Besides seed and image a row has its label, if the model has classes, and its setting; `options` has the sampler's
    options except eta, as "order=3".

    Args:
        storage: the output.
        shard: the shard that is written.
        pixels: the pixels of all its images, in the order of seeds.
        info: the metadata for the footer.
        tau: the ascending timesteps that the network saw, for the footer.
        labels: the classes of the images, if the model has some.

    """
    of_class = {} if labels is None else {"label": pa.array(labels, pa.int64())}
    features = _FEATURES | {name: {"_type": "Value", "dtype": "int64"} for name in of_class}
    images = [{"bytes": png(image), "path": f"{seed:09d}.png"} for seed, image in enumerate(pixels, shard.first)]
    setting, options = shard.setting, shard.setting.sampler.options
    table = pa.table(
        {
            "seed": pa.array(range(shard.first, shard.end), pa.int64()),
            "image": pa.array(images, IMAGE),
            **of_class,
            "sampler": [setting.sampler.name] * shard.rows,
            "spacing": [setting.spacing] * shard.rows,
            "eta": pa.array([_text(options.pop("eta", None))] * shard.rows, pa.string()),
            "options": [",".join(f"{name}={_text(value)}" for name, value in options.items())] * shard.rows,
            "steps": pa.array([setting.steps] * shard.rows, pa.int64()),
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    metadata = {"setting": setting.describe() | {"slug": setting.slug, "tau": [*tau]}, **asdict(info)}
    rows_in_group = max(1, 1_000_000 // pixels[0].size // 100 * 100) if pixels[0].size < 10_000 else 100
    return storage.write_table(shard.path("images"), table, metadata, rows_in_group, [*_TEXT_COLUMNS, "steps"])


def read_footer(storage: Storage, shard: Shard, fingerprint: str) -> ImageFile:
    """Return a shard's footer after all checks that need no decoding of pixels, so at the speed of the disk.

    Raises:
        DamagedFileError: the file is missing, a bit of its pages has changed, or it is of another run or shard.

    """
    return storage.read_table(shard.path("images"), lambda table, metadata: _check(table, metadata, shard, fingerprint))


def read_images(storage: Storage, shard: Shard, fingerprint: str) -> tuple[Pixels, ImageFile]:
    """Return a shard's pixels and footer.

    Raises:
        DamagedFileError: as for `read_footer`, or the pixels do not match their digest.

    """

    def check(table: pa.Table, metadata: dict[str, Any]) -> tuple[Pixels, ImageFile]:
        info = _check(table, metadata, shard, fingerprint)
        pixels = _pixels(table)
        if pixel_digest(pixels) != info.digest:
            raise ValueError("its pixels do not match their digest")
        return pixels, info

    return storage.read_table(shard.path("images"), check)


def read_first_images(storage: Storage, shard: Shard, fingerprint: str, count: int) -> Pixels:
    """Return the first `count` images of a shard, after the checks of `read_footer`; it raises its errors."""

    def parse(table: pa.Table, metadata: dict[str, Any]) -> Pixels:
        _check(table, metadata, shard, fingerprint)
        return _pixels(table.slice(0, count))

    return storage.read_table(shard.path("images"), parse)


def _pixels(table: pa.Table) -> Pixels:
    return np.stack([decode(image) for image in table["image"].combine_chunks().field("bytes").to_pylist()])


def _check(table: pa.Table, metadata: dict[str, Any], shard: Shard, fingerprint: str) -> ImageFile:
    info = ImageFile(**{name: metadata[name] for name in ImageFile.__dataclass_fields__ if name in metadata})
    if info.fingerprint != fingerprint:
        raise ValueError(f"it has fingerprint {info.fingerprint}, this run has {fingerprint}")
    if table["seed"].to_pylist() != list(range(shard.first, shard.end)):
        raise ValueError(f"it does not hold exactly the seeds {shard.first} to {shard.end - 1}")
    if metadata["setting"]["slug"] != shard.setting.slug:
        raise ValueError(f"it holds images of {metadata['setting']['slug']}")
    return info


def _text(value: Any) -> str | None:
    """Return the value of an option as text, such as "0", "0.2" or "hat"."""
    return None if value is None else str(value).removesuffix(".0")
