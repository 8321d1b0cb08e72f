"""FeatureWorker: the extractor in __init__; image files to feature files, feature files to a setting's metrics."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from pipeline.evaluation.features import REFERENCE_PATH, extract, make_extractor, read_features, write_features
from pipeline.evaluation.metrics import compute_metrics
from pipeline.evaluation.reference import reference_images
from pipeline.generation.images import DamagedFileError, read_images
from pipeline.generation.shards import Shard, folder, plan
from pipeline.grid import Setting
from pipeline.storage import Storage

METRICS_NAME = "_metrics.json"
MANIFEST_NAME = "_manifest.json"


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
        generated = read_features(self.storage, [shard.path("features") for shard in shards])
        where = f"{self.storage.url}/{folder('features', setting)}"
        if generated.seeds != list(range(self.num_images)):
            raise DamagedFileError(f"{where} does not hold exactly the seeds 0 to {self.num_images - 1}")
        if foreign := {info["fingerprint"] for info in generated.metadata} - {self.fingerprint}:
            raise DamagedFileError(f"{where} has fingerprint {foreign.pop()}, this run has {self.fingerprint}")
        reference = read_features(self.storage, [REFERENCE_PATH])
        seconds = sum(info["seconds"] for info in generated.metadata)
        row = {
            **setting.describe(),
            "num_images": self.num_images,
            **compute_metrics(generated.features, generated.logits, reference.features),
            "seconds": seconds,
            "images_per_second": self.num_images / seconds,
            "device": "/".join(sorted({info["device"] for info in generated.metadata})),
        }
        files = {shard.name: info for shard, info in zip(shards, generated.metadata, strict=True)}
        manifest = {"fingerprint": self.fingerprint, "files": files}
        self.storage.write_json(f"{folder('images', setting)}/{MANIFEST_NAME}", manifest)
        self.storage.write_json(f"{folder('features', setting)}/{METRICS_NAME}", row)
        return row
