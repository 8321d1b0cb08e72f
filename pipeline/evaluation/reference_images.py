"""A reference's images: cut into shards, read in batches, and extracted."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from pipeline import UserError
from pipeline.evaluation.extractors import ExtractorInfo
from pipeline.evaluation.features import Extractor, feed
from pipeline.evaluation.reference import (
    Part,
    Reference,
    ReferenceInfo,
    ReferenceShard,
    beside,
    open_reference,
    refuse_faulty,
)
from pipeline.images.base import Images
from pipeline.images.pictures import all_faults, refuse
from pipeline.images.registry import open_images

By = tuple[Extractor, ExtractorInfo]
"""An extractor and its description."""
SHARD_SIZE = 5000
"""Images of a reference in one file, at most; but always whole batches, so that the cut changes no feature."""


def plan_reference(num_images: int, batch_size: int) -> list[ReferenceShard]:
    """Return the shards of a reference's images."""
    size = max(1, SHARD_SIZE // batch_size) * batch_size
    return [ReferenceShard(first, min(first + size, num_images)) for first in range(0, num_images, size)]


class Batches:
    """The images of a shard in batches, uint8, (N, C, H, W), each decoded once. After the last their digest is known.

    Iterating raises UserError if images cannot be read or have another shape (C, H, W) than the first of the reference.
    """

    def __init__(self, images: Images, shape: tuple[int, ...] | None, shard: ReferenceShard, size: int) -> None:
        self.images, self.shape, self.shard, self.size = images, shape, shard, size
        self.pixels = hashlib.sha256()
        self.converted: Counter[str] = Counter()
        """What was converted → number of images."""

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the batches; the last is not filled."""
        faults: list[str] = []
        pictures = self.images.pictures(self.shard.first, self.shard.end)
        while batch := list(itertools.islice(pictures, self.size)):
            faults += all_faults(batch, self.shape)
            if faults:
                continue  # nothing can come of it, but all are to be named
            self.converted.update(change for picture in batch for change in picture.changes)
            stacked = torch.stack([picture.pixels for picture in batch if picture.pixels is not None])
            self.pixels.update(stacked.numpy().tobytes())
            yield stacked
        refuse(beside(self.images, self.shape), faults, self.shard.end - self.shard.first)


def extract_parts(
    info: ReferenceInfo, images: Images, shard: ReferenceShard, by: Sequence[By], device: str, size: int
) -> list[Part]:
    """Return the features of a shard of a reference's images by each extractor, extracted in batches of `size`.

    Raises:
        UserError: images of it cannot be used, of which ten are named; or the images have changed since they were
            described.

    """
    batches = Batches(images, info.image_shape, shard, size)
    fed = feed([extractor for extractor, _ in by], batches, device)
    if images.identity(info.identity) != info.identity:
        raise UserError(f"{images.source} has changed since this run began: run it again")
    # what is left out is so of the whole, and said once
    counts = {"left_out": {} if shard.first else images.left_out, "converted": dict(sorted(batches.converted.items()))}
    parts = []
    for (_, described), (features, _) in zip(by, fed, strict=True):
        provenance: dict[str, Any] = {
            "source": info.spec,
            "num_images": len(features),
            "digest": batches.pixels.hexdigest(),
            "extractor": described.name,
            "extractor_weights": described.digest,
        }
        parts.append(Part(features, provenance | {name: numbers for name, numbers in counts.items() if numbers}))
    return parts


def make_references(info: ReferenceInfo, by: Sequence[By], device: str, size: int) -> list[Reference]:
    """Return the reference by each extractor: read if it has no images, otherwise extracted in batches of `size`.

    Raises:
        UserError: images cannot be used, of which ten are named; or they have changed since they were described.
        DamagedFileError: the reference that was computed earlier is damaged.

    """
    if info.kind != "images":
        return [open_reference(info, described) for _, described in by]
    images = open_images(info.spec)
    try:
        shards = plan_reference(images.number, size)
        parts = [extract_parts(info, images, shard, by, device, size) for shard in shards]
        return [Reference.join(of_one) for of_one in zip(*parts, strict=True)]
    except UserError:
        refuse_faulty(images, info.image_shape)  # those of the later shards too
        raise
