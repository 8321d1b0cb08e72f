"""Real images, one by one, from a data set that torch-fidelity knows, the digits, a folder, or Parquet."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import torch
from torch import Tensor

from pipeline import UserError
from pipeline.images.digits import DIGITS_DATA, digits_images
from pipeline.images.folder import folder_files
from pipeline.images.parquet import parquet_pictures
from pipeline.images.pictures import Picture, decode_picture, refuse
from pipeline.storage.local import content_of, local_path, node_lock, sha256_of, versions_of

FOLDER_IDENTITIES = _BY_LISTING, _BY_CONTENT = "files:", "content:"
"""What the identity of a local folder begins with: in earlier releases, and now."""


@dataclass(frozen=True)
class RealImages:
    """Images with an index, so that a part of them is read without those before it."""

    spec: str
    """Where they are, as the user gave it."""
    source: str
    """The option and `spec`, for messages."""
    count: int
    pictures: Callable[[int, int], Iterator[Picture]]
    """The images first ≤ i < end, with what is wrong with each."""
    content: Callable[[], str]
    """Text that changes with the images."""
    note: str = ""
    """A line on the files that are left out."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Why → number of files and folders."""

    def read(self, first: int, end: int) -> Iterator[Tensor]:
        """Yield the images first ≤ i < end, uint8, (C, H, W). Raises UserError if one cannot be read."""
        for picture in self.pictures(first, min(end, self.count)):
            if picture.pixels is None:
                refuse(self.source, [picture.misfit(None)], self.count)
            else:
                yield picture.pixels

    def identity(self, known: str | None = None) -> str:
        """Return text that changes with the images: a data set's name, or a digest of all that is read.

        Args:
            known: the identity that an output has of the same `spec`. That of an earlier release was of the names and
                sizes of a folder's files. It is returned if these are as they were: nothing says that pixels changed.

        """
        if known is not None and known.startswith(_BY_LISTING) and known == _identity_by_listing(self.spec):
            return known
        return self.content()


def open_images(spec: str, option: str = "--reference") -> RealImages:
    """Return the images of a data set that torch-fidelity knows, the digits, a folder, or Parquet, in a fixed order.

    Args:
        spec: as for `reference_info`, but for statistics and features.
        option: the user's option that has it, for messages.

    Raises:
        UserError: there are no images, or it is not clear which; the message names the option.

    """
    source = f"{option} {spec}"
    if spec == DIGITS_DATA:
        return _from_tensors(spec, source, digits_images())
    if spec in (data_sets := _data_sets()):
        root = Path(torch.hub.get_dir()).parent / "fidelity_datasets"  # where torch-fidelity itself looks
        with node_lock("datasets"):
            root.mkdir(parents=True, exist_ok=True)
            try:
                data = data_sets[spec](str(root), True)
            except Exception as error:  # offline, no room, a changed archive: torchvision raises many kinds
                raise UserError.because(f"{source} cannot be downloaded to {root}", error) from error
        return _from_tensors(spec, source, data)
    if is_parquet_file(spec):
        file = local_path(option, spec)
        count, read = parquet_pictures(fsspec.filesystem("file"), {file.name: str(file)}, source)
        return RealImages(spec, source, count, read, lambda: f"sha256:{sha256_of(file)}")
    return _from_folder(spec, option, [*data_sets, DIGITS_DATA])


def is_parquet_file(spec: str) -> bool:
    """Return whether a path or URL is one Parquet file, and not a folder of that name."""
    return spec.lower().endswith(".parquet") and not Path(spec).is_dir()


def _from_tensors(spec: str, source: str, images: Any) -> RealImages:
    def read(first: int, end: int) -> Iterator[Picture]:
        return (Picture(f"image {i}", images[i]) for i in range(first, end))

    return RealImages(spec, source, len(images), read, lambda: spec)


def _from_folder(spec: str, option: str, data_sets: list[str]) -> RealImages:
    source = f"{option} {spec}"
    files = folder_files(spec, option)
    if not files.paths:
        statistics = "an .npz, " if option == "--reference" else ""
        known = f"give a folder with some, Parquet, {statistics}or {', '.join(data_sets)}"
        raise UserError(f"{source} has no images: {known}")
    note = f"{source}: {files.note}" if files.note else ""
    left_out = {why: len(names) for why, names in files.left_out.items()}
    if files.parquet:
        fs, _ = fsspec.core.url_to_fs(spec)
        count, read = parquet_pictures(fs, files.paths, source)
    else:
        names, count = [*files.paths], len(files.paths)

        def read(first: int, end: int) -> Iterator[Picture]:
            return (decode_picture(name, Path(files.paths[name])) for name in names[first:end])

    def content() -> str:
        if files.parquet and "://" in spec:
            return f"versions:{versions_of(fs, files.paths)}"
        return f"{_BY_CONTENT}{content_of(files.paths)}"

    return RealImages(spec, source, count, read, content, note, left_out)


def _identity_by_listing(spec: str) -> str:
    """Return the identity of a folder in earlier releases, by the names and sizes of all files in it."""
    fs, root = fsspec.core.url_to_fs(spec)
    sizes = sorted((name.removeprefix(root), entry["size"]) for name, entry in fs.find(root, detail=True).items())
    return f"{_BY_LISTING}{hashlib.sha256(json.dumps(sizes).encode()).hexdigest()}"


def _data_sets() -> dict[str, Callable[[str, bool], Any]]:
    """Return name → how torch-fidelity makes a data set from a folder, and whether to download it."""
    from torch_fidelity.registry import DATASETS_REGISTRY  # a slow import

    return dict(DATASETS_REGISTRY)
