"""FeatureWorker: the extractor in __init__; image files to feature files, feature files to a setting's metrics."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from pipeline.evaluation.features import (
    REFERENCE_PATH,
    Features,
    extract,
    make_extractor,
    read_features,
    write_features,
)
from pipeline.evaluation.metrics import compute_metrics
from pipeline.evaluation.reference import reference_images
from pipeline.generation.images import read_images
from pipeline.generation.shards import Shard, folder, plan
from pipeline.grid import Setting
from pipeline.storage import DamagedFileError, Storage


def metrics_path(setting: Setting) -> str:
    """Return the path of a setting's row of metrics.json."""
    return f"{folder('features', setting)}/_metrics.json"


def manifest_path(setting: Setting) -> str:
    """Return the path of the list of a setting's image files, which closes the setting."""
    return f"{folder('images', setting)}/_manifest.json"


class FeatureWorker:
    """Turns images into numbers. A plain class, as `Sampler` is."""

    def __init__(
        self,
        device: str,
        out: str,
        storage_options: dict[str, Any] | None,
        extractor: str,
        reference: str,
        num_images: int,
        shard_size: int,
        batch_size: int,
        fingerprint: str,
    ) -> None:
        """Load the extractor; see `Sampler` for the arguments that the two share."""
        if device == "cpu":
            torch.set_num_threads(1)
        self.device = device
        self.storage = Storage(out, storage_options)
        self.extractor = make_extractor(extractor, device)
        self.reference = reference
        self.num_images = num_images
        self.shard_size = shard_size
        self.batch_size = batch_size
        self.fingerprint = fingerprint

    def extract_shard(self, shard: Shard | None) -> int:
        """Write the features of an image file, or of the reference for None; return the number of rows."""
        if shard is None:
            images = reference_images(self.reference)
            features, logits = extract(self.extractor, images, self.device, self.batch_size)
            write_features(self.storage, REFERENCE_PATH, 0, features, logits, {"reference": self.reference})
            return len(images)
        pixels, info = read_images(self.storage, shard, self.fingerprint)
        images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).expand(-1, 3, -1, -1)
        features, logits = extract(self.extractor, images, self.device, self.batch_size)
        write_features(self.storage, shard.path("features"), shard.first, features, logits, asdict(info))
        return shard.rows

    def measure(self, setting: Setting) -> dict[str, Any]:
        """Compute a setting's row of metrics.json, write it beside the features, and close the setting's images.

        Raises:
            DamagedFileError: the feature files do not hold exactly the planned seeds of this run.

        """
        shards = plan(setting, self.num_images, self.shard_size)
        parts = [read_planned(self.storage, shard, self.fingerprint) for shard in shards]
        reference = read_features(self.storage, REFERENCE_PATH)
        features, logits = (torch.cat([getattr(part, name) for part in parts]) for name in ("features", "logits"))
        seconds = sum(part.metadata["seconds"] for part in parts)
        row = {
            **setting.describe(),
            "num_images": self.num_images,
            **compute_metrics(features, logits, reference.features),
            "seconds": seconds,
            "images_per_second": self.num_images / seconds,
            "device": "/".join(sorted({part.metadata["device"] for part in parts})),
        }
        sizes = self.storage.ls(folder("images", setting))
        files = {
            shard.name: {"rows": shard.rows, "size": sizes[shard.name], "digest": part.metadata["digest"]}
            for shard, part in zip(shards, parts, strict=True)
        }
        described = asdict(setting)
        manifest = {"fingerprint": self.fingerprint, "setting": described, "files": files}
        self.storage.write_json(manifest_path(setting), manifest)
        self.storage.write_json(metrics_path(setting), row)
        return row


def read_planned(storage: Storage, shard: Shard, fingerprint: str) -> Features:
    """Return a shard's features, with its seeds and its run checked. Raises DamagedFileError."""
    part = read_features(storage, shard.path("features"))
    where = f"{storage.url}/{shard.path('features')}"
    if part.seeds != list(range(shard.first, shard.end)):
        raise DamagedFileError(f"{where}: it does not hold exactly the seeds {shard.first} to {shard.end - 1}")
    if part.metadata["fingerprint"] != fingerprint:
        found = part.metadata["fingerprint"]
        raise DamagedFileError(f"{where}: it has fingerprint {found}, this run has {fingerprint}")
    return part
