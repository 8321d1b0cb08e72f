"""The reference: a data set, a folder, Parquet or an .npz, as features or only as FID's mu and sigma."""

import hashlib
import itertools
import sys
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
from pipeline.evaluation.digits import DIGITS_DATA, DIGITS_SHAPE
from pipeline.evaluation.extractors import ExtractorInfo
from pipeline.evaluation.features import Extractor, as_column, as_tensor, extract
from pipeline.evaluation.real_images import images_identity, open_images
from pipeline.evaluation.statistics_file import read_statistics
from pipeline.storage.local import local_path, sha256_of
from pipeline.storage.store import Storage


@dataclass(frozen=True)
class ReferenceInfo:
    """The description of a reference, made without extracting features."""

    spec: str
    """The reference as the user gave it."""
    kind: Literal["images", "features", "statistics"]
    identity: str
    """The name of a data set, the SHA-256 of a file, or the SHA-256 of a folder's listing."""
    image_shape: tuple[int, ...] | None
    """(C, H, W) of its first image; None if it has no images."""


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


def reference_info(spec: str, extractor: ExtractorInfo) -> ReferenceInfo:
    """Return the description of a reference.

    Args:
        spec: a data set that torch-fidelity knows (cifar10-train, …) or "digits"; a folder of PNG or JPEG files; a
            Parquet file or folder with a column of images as `datasets` and this project write it; a `.parquet` or
            `.npz` of `jobs/reference.py`; any `.npz` with `mu` and `sigma`, as pytorch-fid, EDM, clean-fid and
            guided-diffusion write it. All but data sets are given by path or URL.
        extractor: the extractor whose features are compared.

    Raises:
        UserError: it cannot be read, or it was made with another extractor.

    """
    try:
        return _info(spec, extractor)
    except UserError:
        raise
    except Exception as error:  # each format and each store raises its own errors
        raise UserError.because(f"--reference {spec} cannot be read", error) from error


def _info(spec: str, extractor: ExtractorInfo) -> ReferenceInfo:
    if spec.lower().endswith(".npz"):
        file = local_path("--reference", spec)
        if _from_npz(file, spec, extractor)[1]:
            print(f"--reference {spec}: its provenance is not jobs/reference.py's, and is passed over", file=sys.stderr)
        return ReferenceInfo(spec, "statistics", f"sha256:{sha256_of(file)}", None)
    if spec.lower().endswith(".parquet"):
        file = local_path("--reference", spec)
        identity = f"sha256:{sha256_of(file)}"
        if (made := _made_earlier(file)) is not None:
            _assert_made_by(extractor, spec, made)
            return ReferenceInfo(spec, "features", identity, None)
        return ReferenceInfo(spec, "images", identity, _first_shape(spec))
    shape = DIGITS_SHAPE if spec == DIGITS_DATA else _first_shape(spec)
    return ReferenceInfo(spec, "images", images_identity(spec), shape)


def make_reference(
    info: ReferenceInfo, extractor: Extractor, described: ExtractorInfo, device: str, size: int
) -> Reference:
    """Return the reference: read if it was computed earlier, otherwise extracted in batches of `size` images.

    Raises:
        UserError: an image cannot be read, or has another shape than the first.
        DamagedFileError: the reference that was computed earlier is damaged.

    """
    if info.kind == "statistics":
        return _from_npz(local_path("--reference", info.spec), info.spec, described)[0]
    if info.kind == "features":
        file = local_path("--reference", info.spec)
        return read_reference(Storage(str(file.parent)), file.name)
    pixels = hashlib.sha256()
    parts = []
    real = open_images(info.spec)
    found = real.read(0, real.count)
    while batch := list(itertools.islice(found, size)):
        for image in batch:
            if image.shape != info.image_shape:
                raise UserError(f"--reference {info.spec} has images of {tuple(image.shape)} and of {info.image_shape}")
        stacked = torch.stack(batch)
        pixels.update(stacked.numpy().tobytes())
        parts.append(extract(extractor, stacked, device, size)[0])
    features = torch.cat(parts)
    return Reference.of(
        features,
        {
            "source": info.spec,
            "num_images": len(features),
            "digest": pixels.hexdigest(),
            "extractor": described.name,
            "extractor_weights": described.digest,
        },
    )


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


def _first_shape(spec: str) -> tuple[int, ...]:
    first = [*open_images(spec).read(0, 2)]
    if len(first) < 2:
        raise UserError(f"--reference {spec} has {'one image' if first else 'no images'}: a covariance takes two")
    return tuple(first[0].shape)


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
