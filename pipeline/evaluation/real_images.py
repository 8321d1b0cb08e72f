"""Real images, one by one, from a data set that torch-fidelity knows, the digits, a folder, or Parquet."""

import io
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor
from torch_fidelity.registry import DATASETS_REGISTRY, register_dataset

from pipeline import UserError
from pipeline.diffusion.pixels import to_uint8
from pipeline.storage.local import local_path, node_lock

_PICTURES = (".png", ".jpg", ".jpeg")


def images(spec: str) -> Iterator[Tensor]:
    """Yield the images of a reference, uint8, (C, H, W), in a fixed order.

    Raises:
        UserError: there are no images, or one cannot be read; the message names it.

    """
    if spec in DATASETS_REGISTRY:
        root = Path(torch.hub.get_dir()).parent / "fidelity_datasets"  # where torch-fidelity itself looks
        with node_lock("datasets"):
            root.mkdir(parents=True, exist_ok=True)
            try:
                data = DATASETS_REGISTRY[spec](str(root), True)
            except Exception as error:  # offline, no room, a changed archive: torchvision raises many kinds
                raise UserError.because(f"--reference {spec} cannot be downloaded to {root}", error) from error
        yield from (data[i] for i in range(len(data)))
    elif spec.endswith(".parquet") or _parquet_files(spec):
        yield from _parquet_images(spec)
    else:
        folder = local_path("--reference", spec)
        pictures = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _PICTURES)
        if not pictures:
            known = ", ".join(DATASETS_REGISTRY)
            raise UserError(f"--reference {spec} has no images: give a folder with some, Parquet, an .npz, or {known}")
        yield from (_pixels(file, f"--reference {spec}: {file.relative_to(folder)}") for file in pictures)


def digits_images() -> Tensor:
    """Return scikit-learn's 1,797 digits: uint8, (1797, 1, 8, 8), by the rule for samples, `to_uint8`."""
    return to_uint8(torch.tensor(load_digits().images)[:, None] / 8 - 1)


register_dataset("digits", lambda root, download: digits_images())


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


def _parquet_images(spec: str) -> Iterator[Tensor]:
    fs, root = fsspec.core.url_to_fs(spec)
    data = pyarrow.dataset.dataset(_parquet_files(spec) or root, filesystem=fs, format="parquet")
    columns = [column.name for column in data.schema if pa.types.is_struct(column.type) and "bytes" in _names(column)]
    if not columns:
        raise UserError(f"--reference {spec} has no column of images, which is a struct with `bytes`")
    for batch in data.to_batches(columns=columns[:1], batch_size=1000):
        for image in batch.column(0).to_pylist():
            if image["bytes"] is None:
                raise UserError(f"--reference {spec} names its images by path, {image['path']}: embed their bytes")
            yield _pixels(io.BytesIO(image["bytes"]), f"--reference {spec}: a row")


def _names(column: pa.Field) -> list[str]:
    return [column.type.field(i).name for i in range(column.type.num_fields)]
