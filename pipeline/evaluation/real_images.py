"""Real images, one by one, from a data set that torch-fidelity knows, the digits, a folder, or Parquet."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from pipeline import UserError
from pipeline.evaluation.digits import DIGITS_DATA, digits_images
from pipeline.storage.local import local_path, node_lock, sha256_of

_PICTURES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class RealImages:
    """Images with an index, so that a part of them is read without those before it."""

    spec: str
    """Where they are, as the user gave it."""
    count: int
    _read: Callable[[int, int], Iterator[Tensor]]

    def read(self, first: int, end: int) -> Iterator[Tensor]:
        """Yield the images first ≤ i < end, uint8, (C, H, W). Raises UserError if one cannot be read."""
        return self._read(first, min(end, self.count))


def open_images(spec: str, option: str = "--reference") -> RealImages:
    """Return the images of a data set that torch-fidelity knows, the digits, a folder, or Parquet, in a fixed order.

    Args:
        spec: as for `reference_info`, but for statistics and features.
        option: the user's option that has it, for messages.

    Raises:
        UserError: there are no images; the message names the option.

    """
    if spec == DIGITS_DATA:
        digits = digits_images()
        return RealImages(spec, len(digits), lambda first, end: iter(digits[first:end]))
    if spec in (data_sets := _data_sets()):
        root = Path(torch.hub.get_dir()).parent / "fidelity_datasets"  # where torch-fidelity itself looks
        with node_lock("datasets"):
            root.mkdir(parents=True, exist_ok=True)
            try:
                data = data_sets[spec](str(root), True)
            except Exception as error:  # offline, no room, a changed archive: torchvision raises many kinds
                raise UserError.because(f"{option} {spec} cannot be downloaded to {root}", error) from error
        return RealImages(spec, len(data), lambda first, end: (data[i] for i in range(first, end)))
    if spec.endswith(".parquet") or _parquet_files(spec):
        return _parquet_images(spec, option)
    folder = local_path(option, spec)
    pictures = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _PICTURES)
    if not pictures:
        known = ", ".join([*data_sets, DIGITS_DATA])
        statistics = "an .npz, " if option == "--reference" else ""
        raise UserError(f"{option} {spec} has no images: give a folder with some, Parquet, {statistics}or {known}")

    def read(first: int, end: int) -> Iterator[Tensor]:
        return (_pixels(file, f"{option} {spec}: {file.relative_to(folder)}") for file in pictures[first:end])

    return RealImages(spec, len(pictures), read)


def images_identity(spec: str) -> str:
    """Return text that changes with the images: a data set's name, a file's SHA-256, or that of a folder's listing."""
    if spec == DIGITS_DATA or spec in _data_sets():
        return spec
    if spec.endswith(".parquet"):
        return f"sha256:{sha256_of(local_path('--images', spec))}"
    fs, root = fsspec.core.url_to_fs(spec)
    sizes = sorted((name.removeprefix(root), entry["size"]) for name, entry in fs.find(root, detail=True).items())
    return f"files:{hashlib.sha256(json.dumps(sizes).encode()).hexdigest()}"


def _data_sets() -> dict[str, Callable[[str, bool], Any]]:
    """Return name → how torch-fidelity makes a data set from a folder, and whether to download it."""
    from torch_fidelity.registry import DATASETS_REGISTRY  # a slow import

    return dict(DATASETS_REGISTRY)


def _pixels(source: Path | io.BytesIO, name: str) -> Tensor:
    try:
        image = Image.open(source)
        gray = image.mode in ("1", "L")
        array = np.array(image.convert("L" if gray else "RGB"))
    except Exception as error:  # each format raises its own errors
        raise UserError.because(f"{name} is no image", error) from error
    return torch.from_numpy(array[None] if gray else array.transpose(2, 0, 1).copy())


def _parquet_files(spec: str) -> list[str]:
    fs, root = fsspec.core.url_to_fs(spec)
    return [f for f in sorted(fs.find(root)) if f.endswith(".parquet")] if fs.isdir(root) else []


def _parquet_images(spec: str, option: str) -> RealImages:
    import pyarrow.dataset  # imports pandas, slowly

    fs, root = fsspec.core.url_to_fs(spec)
    data = pyarrow.dataset.dataset(_parquet_files(spec) or root, filesystem=fs, format="parquet")
    columns = [column.name for column in data.schema if pa.types.is_struct(column.type) and "bytes" in _names(column)]
    if not columns:
        raise UserError(f"{option} {spec} has no column of images, which is a struct with `bytes`")
    groups = [group for fragment in data.get_fragments() for group in fragment.split_by_row_group()]
    ends = [*accumulate(group.row_groups[0].num_rows for group in groups)]

    def read(first: int, end: int) -> Iterator[Tensor]:
        for group, last in zip(groups, ends, strict=True):
            start = last - group.row_groups[0].num_rows
            if start >= end or last <= first:
                continue
            rows = group.to_table(columns=columns[:1]).column(0)
            for image in rows.slice(max(0, first - start), min(end, last) - max(first, start)).to_pylist():
                if image["bytes"] is None:
                    raise UserError(f"{option} {spec} names its images by path, {image['path']}: embed their bytes")
                yield _pixels(io.BytesIO(image["bytes"]), f"{option} {spec}: a row")

    return RealImages(spec, ends[-1] if ends else 0, read)


def _names(column: pa.Field) -> list[str]:
    return [column.type.field(i).name for i in range(column.type.num_fields)]
