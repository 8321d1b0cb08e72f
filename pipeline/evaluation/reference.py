"""The reference: a data set, a folder, Parquet or an .npz, as features or only as FID's mu and sigma."""

import sys
from collections import Counter
from collections.abc import Sequence
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
from pipeline.evaluation.features import as_column, as_tensor
from pipeline.evaluation.statistics_file import read_statistics
from pipeline.images.base import Images
from pipeline.images.parquet import is_parquet_file
from pipeline.images.pictures import all_faults, refuse, shape_text
from pipeline.images.registry import open_images
from pipeline.storage.local import local_path, sha256_of
from pipeline.storage.sealed import sha256
from pipeline.storage.store import Storage

_SAME_IMAGE = 1e-3
"""How far the features of one image may be apart, as a share of their length. Sums in another order move them by far
less (those of the digits, in other batches on a CPU, by 1.5e-7), another image by far more."""


@dataclass(frozen=True)
class ReferenceInfo:
    """The description of a reference, made without extracting features."""

    spec: str
    """The reference as the user gave it."""
    kind: Literal["images", "features", "statistics"]
    identity: str
    """The name of a data set, or a digest of the content of its files; see `Images.identity`."""
    image_shape: tuple[int, ...] | None
    """(C, H, W) of its first image; None if it has no images."""
    note: str = ""
    """A line on the files of a folder that are left out."""
    num_images: int | None = None
    """Number of its images; None if it has none, or as an earlier release described it."""


@dataclass(frozen=True)
class ReferenceShard:
    """The images first ≤ i < end of a reference, whose features are one file."""

    first: int
    end: int


@dataclass(frozen=True)
class Part:
    """The features of a shard of a reference's images, float32, (N, D), and the provenance of these."""

    features: Tensor
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Reference:
    """What images are compared with. `features`, float32, (M, D), is None if only statistics are known."""

    mu: NDArray[np.float32]
    """The mean of the features, (D,)."""
    sigma: NDArray[np.float64]
    """The covariance of the features, (D, D), with M - 1 in the denominator."""
    features: Tensor | None
    provenance: dict[str, Any] = field(default_factory=dict)
    """Source, number of images, SHA-256 of their pixels or of the file, extractor and the digest of its weights.

    Of several shards the digest is the SHA-256 of the shards' own, in hexadecimal and one after another; `shard_size`
    says how many images a shard has.
    """

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

    @classmethod
    def join(cls, parts: Sequence[Part]) -> "Reference":
        """Return the reference whose shards these are, in their order."""
        if len(parts) == 1:
            return cls.of(parts[0].features, parts[0].provenance)
        digests = "".join(part.provenance["digest"] for part in parts)
        provenance = parts[0].provenance | {
            "num_images": sum(len(part.features) for part in parts),
            "digest": sha256(digests.encode()),
            "shard_size": len(parts[0].features),
        }
        for name in ("left_out", "converted"):
            total = sum((Counter(part.provenance.get(name, {})) for part in parts), Counter[str]())
            provenance |= {name: dict(sorted(total.items()))} if total else {}
        return cls.of(torch.cat([part.features for part in parts]), provenance)

    def same_images(self, other: "Reference") -> bool:
        """Return whether both are of the same images, by the same extractor.

        The digests of their pixels say it if both are cut into the same shards. If not, as beside the output of an
        earlier release, which did not cut, or beside one in other batches, the features of each image do.
        """
        if self.provenance.get("shard_size") == other.provenance.get("shard_size"):
            return bool(self.provenance.get("digest") == other.provenance.get("digest"))
        if self.features is None or other.features is None or self.features.shape != other.features.shape:
            return False
        apart = (self.features - other.features).norm(dim=1)
        return bool((apart <= _SAME_IMAGE * self.features.norm(dim=1)).all())


def reference_info(spec: str, extractor: ExtractorInfo, known: str | None = None) -> ReferenceInfo:
    """Return the description of a reference.

    Args:
        spec: a data set that torch-fidelity knows (cifar10-train, …) or "digits"; a folder of image files; a
            Parquet file or folder with a column of images as `datasets` and this project write it; a `.parquet` or
            `.npz` of `jobs/reference.py`; any `.npz` with `mu` and `sigma`, as pytorch-fid, EDM, clean-fid and
            guided-diffusion write it. All but data sets are given by path or URL.
        extractor: the extractor whose features are compared.
        known: the identity that an output has of the same `spec`; see `Images.identity`.

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
    images = open_images(spec)
    shape = images.shape or _first_shape(images)
    if images.number < 2:
        raise UserError(f"{images.source} has one image: a covariance takes two")
    return ReferenceInfo(spec, "images", images.identity(known), shape, images.note, images.number)


def open_reference(info: ReferenceInfo, extractor: ExtractorInfo) -> Reference:
    """Return a reference that has no images: statistics, or features computed earlier. Raises DamagedFileError."""
    file = local_path("--reference", info.spec)
    if info.kind == "statistics":
        return _from_npz(file, info.spec, extractor)[0]
    return read_reference(Storage(str(file.parent)), file.name)


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


def write_part(storage: Storage, path: str, shard: ReferenceShard, identity: str, part: Part) -> None:
    """Commit the features of a shard of a reference's images; `identity` is the reference's."""
    shard_of = {"first": shard.first, "end": shard.end, "identity": identity}
    table = pa.table({"features": as_column(part.features)})
    storage.write_table(path, table, {"reference": part.provenance, "shard": shard_of}, row_group_size=1000)


def read_part(storage: Storage, path: str, shard: ReferenceShard, identity: str) -> Part:
    """Return what `write_part` wrote. Raises DamagedFileError, also if it is of other images."""

    def parse(table: pa.Table, metadata: dict[str, Any]) -> Part:
        part, said = Part(as_tensor(table["features"]), metadata["reference"]), metadata["shard"]
        if (said["first"], said["end"], len(part.features)) != (shard.first, shard.end, shard.end - shard.first):
            raise ValueError(f"it does not hold exactly the images {shard.first} to {shard.end - 1}")
        if said["identity"] != identity:
            raise ValueError(f"it is of the reference {said['identity']}, this run has {identity}")
        return part

    return storage.read_table(path, parse)


def refuse_mixture(spec: str, shape: tuple[int, ...]) -> None:
    """Raise UserError with the images that are not of a shape (C, H, W), if some of the first thousand are."""
    images = open_images(spec)
    if any(not picture.misfit(shape) for picture in images.pictures(0, 1000)):
        source = f"{images.source}, for a model that draws {shape_text(shape)}"
        refuse(source, all_faults(images.pictures(0, images.number), shape), images.number)


def refuse_faulty(images: Images, shape: tuple[int, ...] | None) -> None:
    """Raise UserError with all images that cannot be read or do not have the shape (C, H, W) of the first, if any."""
    refuse(beside(images, shape), all_faults(images.pictures(0, images.number), shape), images.number)


def beside(images: Images, shape: tuple[int, ...] | None) -> str:
    """Return the source of images for messages on those that are not of the shape (C, H, W) of the first."""
    return images.source if shape is None else f"{images.source}, whose first is {shape_text(shape)}"


def _first_shape(images: Images) -> tuple[int, ...] | None:
    first = [*images.pictures(0, 2)]
    shape = None if first[0].pixels is None else tuple(first[0].pixels.shape)
    if shape is None or all_faults(first, shape):  # all that is wrong is named, before anything is drawn
        refuse_faulty(images, shape)
    return shape


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
