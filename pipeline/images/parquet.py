"""Images in Parquet: the column that has them, and its rows as pictures."""

import io
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline import UserError
from pipeline.images.base import Images, Source
from pipeline.images.pictures import Picture, decode_picture
from pipeline.storage.local import digest_of, local_path

_IMAGE = "image"
"""The column that is taken where several have images."""


def parquet_pictures(
    fs: Any, files: Mapping[str, str], source: str
) -> tuple[int, Callable[[int, int], Iterator[Picture]]]:
    """Return the number of images in Parquet files, and a function that yields those first ≤ i < end.

    An image is a struct with `bytes`, as `datasets` writes it, or the bytes themselves. Of several columns with images
    that named `image` is taken; the files need to have no other column in common.

    Args:
        fs: fsspec's store of the files.
        files: name → path in the store, in the order of the images.
        source: what messages begin with.

    Raises:
        UserError: there is no such column, there are several and none is named `image`, or a file lacks it.

    """
    footers: dict[str, pq.FileMetaData] = {}
    groups: list[tuple[str, int, int]] = []  # file, group, number of its first row in the file
    rows: list[int] = []
    column = ""
    for name, path in files.items():
        with pq.ParquetFile(path, filesystem=fs) as file:
            column = column or _column(file, source)
            if column not in _possible(file.schema_arrow):
                raise UserError(
                    f"{source}: {name} has no column of images named {column!r}, as {next(iter(files))} has"
                )
            footers[name] = file.metadata
            counts = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            groups += [(name, group, sum(counts[:group])) for group in range(len(counts))]
            rows += counts
    ends = [*accumulate(rows)]

    def read(first: int, end: int) -> Iterator[Picture]:
        for (name, group, before), count, last in zip(groups, rows, ends, strict=True):
            start = last - count
            if start >= end or last <= first:
                continue
            with pq.ParquetFile(files[name], metadata=footers[name], filesystem=fs) as file:
                values = file.read_row_group(group, columns=[column]).column(0)
            skipped = max(0, first - start)
            wanted = values.slice(skipped, min(end, last) - start - skipped)
            for row, value in enumerate(wanted.to_pylist(), before + skipped):
                yield _picture(f"row {row}" if len(files) == 1 else f"{name} row {row}", value, source)

    return (ends[-1] if ends else 0), read


def _picture(name: str, value: dict[str, Any] | bytes | None, source: str) -> Picture:
    data = value["bytes"] if isinstance(value, dict) else value
    if data is None and isinstance(value, dict) and value.get("path"):
        raise UserError(f"{source} names its images by path, {value['path']}: embed their bytes")
    return Picture(name, None, fault="has no image, it is null") if data is None else decode_picture(name, data)


def _possible(schema: pa.Schema) -> list[str]:
    """Return the columns that may have images."""
    return [field.name for field in schema if _is_struct(field.type) or _is_binary(field.type)]


def _is_struct(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and any(kind.field(i).name == "bytes" for i in range(kind.num_fields))


def _is_binary(kind: pa.DataType) -> bool:
    return kind in (pa.binary(), pa.large_binary())


def _column(file: pq.ParquetFile, source: str) -> str:
    """Return the column of images of a file. Raises UserError."""
    schema = file.schema_arrow
    columns = [name for name in _possible(schema) if _is_struct(schema.field(name).type) or _opens(file, name)]
    if _IMAGE in columns or len(columns) == 1:
        return _IMAGE if _IMAGE in columns else columns[0]
    if columns:
        several = ", ".join(columns)
        raise UserError(f"{source} has several columns of images, {several}: keep one, or name it {_IMAGE!r}")
    raise UserError(f"{source} has no column of images, which is a struct with `bytes`, or bytes of PNG, JPEG, …")


def _opens(file: pq.ParquetFile, column: str) -> bool:
    """Return whether the first value of a column of bytes that is not null is an image."""
    for batch in file.iter_batches(batch_size=64, columns=[column]):
        for value in batch.column(0).drop_null().to_pylist():
            try:
                Image.open(io.BytesIO(value)).close()
            except Exception:  # each format raises its own errors
                return False
            return True
    return False


def is_parquet_file(name: str) -> bool:
    """Return whether a path or URL is one Parquet file, and not a folder of that name."""
    return name.lower().endswith(".parquet") and not Path(name).is_dir()


def _open(name: str, option: str) -> Images:
    file, source = local_path(option, name), f"{option} {name}"
    number, read = parquet_pictures(fsspec.filesystem("file"), {file.name: str(file)}, source)
    return Images(name, source, number, read, lambda known: f"sha256:{digest_of(file)}")


PARQUET = Source(is_parquet_file, _open, lambda: ["Parquet"])
