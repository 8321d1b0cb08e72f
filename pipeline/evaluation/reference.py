"""The reference: a data set, a folder, Parquet or an .npz, as features or only as FID's mu and sigma."""

import hashlib
import itertools
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline import UserError
from pipeline.evaluation.extractors import ExtractorInfo
from pipeline.evaluation.features import Extractor, as_column, as_tensor, extract
from pipeline.evaluation.statistics_file import read_statistics
from pipeline.images.base import RealImages, is_parquet_file, open_images
from pipeline.images.digits import DIGITS_DATA, DIGITS_SHAPE
from pipeline.images.pictures import all_faults, refuse, shape_text
from pipeline.storage.local import local_path, sha256_of
from pipeline.storage.store import Storage


@dataclass(frozen=True)
class ReferenceInfo:
    """The description of a reference, made without extracting features."""

    spec: str
    """The reference as the user gave it."""
    kind: Literal["images", "features", "statistics"]
    identity: str
    """The name of a data set, or a digest of the content of its files; see `RealImages.identity`."""
    image_shape: tuple[int, ...] | None
    """(C, H, W) of its first image; None if it has no images."""
    note: str = ""
    """A line on the files of a folder that are left out."""


@dataclass(frozen=True)
class Reference:
    """What images are compared with. `features`, float32, (M, D), is None if only statistics are known."""

    mu: NDArray[np.float32]
    """The mean of the features, (D,)."""
    sigma: NDArray[np.float64]
    """The covariance of the features, (D, D), with M - 1 in the denominator."""
    features: Tensor | None
    provenance: dict[str, Any] = field(default_factory=dict)
    """Source, number of images, SHA-256 of their pixels or of the file, extractor and the digest of its weights."""

    @cached_property
    def root(self) -> Tensor:
        """The symmetric square root of `sigma`, float64, (D, D)."""
        eigenvalues, vectors = torch.linalg.eigh(torch.as_tensor(self.sigma).double())
        root: Tensor = (vectors * eigenvalues.clamp(min=0).sqrt()) @ vectors.T
        return root

    @classmethod
    def of(cls, features: Tensor, provenance: dict[str, Any] | None = None) -> "Reference":
        """Return the reference with these features, float32, (M, D)."""
        from torch_fidelity.metric_fid import fid_features_to_statistics  # a slow import that only workers need

        return cls(**fid_features_to_statistics(features), features=features, provenance=provenance or {})


def reference_info(spec: str, extractor: ExtractorInfo, known: str | None = None) -> ReferenceInfo:
    """Return the description of a reference.

    Args:
        spec: a data set that torch-fidelity knows (cifar10-train, …) or "digits"; a folder of image files; a
            Parquet file or folder with a column of images as `datasets` and this project write it; a `.parquet` or
            `.npz` of `jobs/reference.py`; any `.npz` with `mu` and `sigma`, as pytorch-fid, EDM, clean-fid and
            guided-diffusion write it. All but data sets are given by path or URL.
        extractor: the extractor whose features are compared.
        known: the identity that an output has of the same `spec`; see `RealImages.identity`.

    Raises:
        UserError: it cannot be read, or it was made with another extractor.

    """
    try:
        return _info(spec, extractor, known)
    except UserError:
        raise
    except Exception as error:  # each format and each store raises its own errors
        raise UserError.because(f"--reference {spec} cannot be read", error) from error


def _info(spec: str, extractor: ExtractorInfo, known: str | None) -> ReferenceInfo:
    if spec.lower().endswith(".npz"):
        file = local_path("--reference", spec)
        if _from_npz(file, spec, extractor)[1]:
            print(f"--reference {spec}: its provenance is not jobs/reference.py's, and is passed over", file=sys.stderr)
        return ReferenceInfo(spec, "statistics", f"sha256:{sha256_of(file)}", None)
    if is_parquet_file(spec):
        file = local_path("--reference", spec)
        if (made := _made_earlier(file)) is not None:
            _assert_made_by(extractor, spec, made)
            return ReferenceInfo(spec, "features", f"sha256:{sha256_of(file)}", None)
    if spec == DIGITS_DATA:
        return ReferenceInfo(spec, "images", spec, DIGITS_SHAPE)
    real = open_images(spec)
    return ReferenceInfo(spec, "images", real.identity(known), _first_shape(real), real.note)


def make_reference(
    info: ReferenceInfo, extractor: Extractor, described: ExtractorInfo, device: str, size: int
) -> Reference:
    """Return the reference: read if it was computed earlier, otherwise extracted in batches of `size` images.

    Raises:
        UserError: images cannot be read or have another shape than the first, of which ten are named; or they have
            changed since they were described.
        DamagedFileError: the reference that was computed earlier is damaged.

    """
    if info.kind == "statistics":
        return _from_npz(local_path("--reference", info.spec), info.spec, described)[0]
    if info.kind == "features":
        file = local_path("--reference", info.spec)
        return read_reference(Storage(str(file.parent)), file.name)
    pixels = hashlib.sha256()
    parts: list[Tensor] = []
    faults: list[str] = []
    changes: Counter[str] = Counter()
    real = open_images(info.spec)
    found = real.pictures(0, real.count)
    while batch := list(itertools.islice(found, size)):
        faults += all_faults(batch, info.image_shape)
        if faults:
            continue  # nothing can come of it, but all are to be named
        changes.update(change for picture in batch for change in picture.changes)
        stacked = torch.stack([picture.pixels for picture in batch if picture.pixels is not None])
        pixels.update(stacked.numpy().tobytes())
        parts.append(extract(extractor, stacked, device, size)[0])
    refuse(_beside(real.source, info.image_shape), faults, real.count)
    if real.identity(info.identity) != info.identity:
        raise UserError(f"{real.source} has changed since this run began: run it again")
    features = torch.cat(parts)
    provenance: dict[str, Any] = {
        "source": info.spec,
        "num_images": len(features),
        "digest": pixels.hexdigest(),
        "extractor": described.name,
        "extractor_weights": described.digest,
    }
    done = {"left_out": real.left_out, "converted": dict(sorted(changes.items()))}
    return Reference.of(features, provenance | {name: counts for name, counts in done.items() if counts})


def write_reference(storage: Storage, path: str, reference: Reference) -> None:
    """Commit a reference: its features, or without features, mu and sigma, one row of sigma per value of mu."""
    if reference.features is not None:
        columns = {"features": as_column(reference.features)}
    else:
        columns = {"mu": pa.array(reference.mu), "sigma": as_column(torch.from_numpy(reference.sigma))}
    storage.write_table(path, pa.table(columns), {"reference": reference.provenance}, row_group_size=1000)


def read_reference(storage: Storage, path: str) -> Reference:
    """Return the reference that `write_reference` wrote. Raises DamagedFileError."""

    def parse(table: pa.Table, metadata: dict[str, Any]) -> Reference:
        if "features" in table.column_names:
            return Reference.of(as_tensor(table["features"]), metadata["reference"])
        sigma = as_tensor(table["sigma"]).numpy()
        return Reference(table["mu"].to_numpy(), sigma, None, metadata["reference"])

    return storage.read_table(path, parse)


def refuse_mixture(spec: str, shape: tuple[int, ...]) -> None:
    """Raise UserError with the images that are not of a shape (C, H, W), if some of the first thousand are."""
    real = open_images(spec)
    if any(not picture.misfit(shape) for picture in real.pictures(0, 1000)):
        source = f"{real.source}, for a model that draws {shape_text(shape)}"
        refuse(source, all_faults(real.pictures(0, real.count), shape), real.count)


def _first_shape(real: RealImages) -> tuple[int, ...]:
    first = [*real.pictures(0, 2)]
    if not first:
        raise UserError(f"{real.source} has no images: a covariance takes two")
    shape = None if first[0].pixels is None else tuple(first[0].pixels.shape)
    if shape is None or all_faults(first, shape):  # all that is wrong is named, before anything is drawn
        refuse(_beside(real.source, shape), all_faults(real.pictures(0, real.count), shape), real.count)
    if shape is None or len(first) < 2:
        raise UserError(f"{real.source} has one image: a covariance takes two")
    return shape


def _beside(source: str, shape: tuple[int, ...] | None) -> str:
    return source if shape is None else f"{source}, whose first is {shape_text(shape)}"


def _made_earlier(file: Path) -> dict[str, Any] | None:
    """Return the provenance of a file of features that `write_reference` wrote; None for any other Parquet file."""
    schema = pq.read_schema(file)
    if schema.names != ["features"]:
        return None
    return read_reference(Storage(str(file.parent)), file.name).provenance


def _assert_made_by(extractor: ExtractorInfo, spec: str, made: dict[str, Any]) -> None:
    if (other := made["extractor_weights"]) != extractor.digest:
        raise UserError(
            f"--reference {spec} is in the features of {made['extractor']}, weights {other[:8]}, not of "
            f"{extractor.name}, {extractor.digest[:8]}"
        )


def _from_npz(file: Path, spec: str, extractor: ExtractorInfo) -> tuple[Reference, bool]:
    """Return the reference, and whether the file has a provenance that is not ours."""
    mu, sigma, made = read_statistics(file, spec, extractor)
    if made and "extractor_weights" in made:
        _assert_made_by(extractor, spec, made)
    provenance = {"source": spec, "file": file.name, "digest": sha256_of(file)} | (made or {})
    return Reference(mu, sigma, None, provenance), made is None
