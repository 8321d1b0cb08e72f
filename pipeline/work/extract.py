"""FeatureWorker: the extractor in __init__; image files to feature files, feature files to a setting's metrics."""

from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
import torch

from pipeline.evaluation.extractors import make_extractor
from pipeline.evaluation.features import Features, extract, read_features, write_features
from pipeline.evaluation.measurement import Evaluation
from pipeline.evaluation.metrics import compute_metrics
from pipeline.evaluation.reference import REFERENCE_PATH, Reference, make_reference, read_reference, write_reference
from pipeline.storage.store import DamagedFileError, Storage
from pipeline.sweep.grid import Setting
from pipeline.sweep.images import read_images
from pipeline.sweep.shards import Shard, folder, plan


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
        evaluation: Evaluation,
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
        self.results = Storage(evaluation.url(out), storage_options)
        self.evaluation = evaluation
        self.extractor = make_extractor(evaluation.extractor, device)
        self.num_images = num_images
        self.shard_size = shard_size
        self.batch_size = batch_size
        self.fingerprint = fingerprint

    @cached_property
    def reference(self) -> Reference:
        """What `extract_shard(None)` wrote."""
        return read_reference(self.results, REFERENCE_PATH)

    def extract_shard(self, shard: Shard | None) -> int:
        """Write the features of an image file, or of the reference for None; return the number of rows."""
        if shard is None:
            described, extractor = self.evaluation.reference, self.evaluation.extractor
            reference = make_reference(described, self.extractor, extractor, self.device, self.batch_size)
            write_reference(self.results, REFERENCE_PATH, reference)
            return len(reference.mu) if reference.features is None else len(reference.features)
        pixels, info = read_images(self.storage, shard, self.fingerprint)
        images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        features, logits = extract(self.extractor, images, self.device, self.batch_size)
        metadata = asdict(info) | {"fingerprint": self.evaluation.fingerprint}
        write_features(self.results, shard.path("features"), shard.first, features, logits, metadata)
        return shard.rows

    def measure(self, setting: Setting) -> dict[str, Any]:
        """Compute a setting's row of metrics.json, write it beside the features, and close the setting's images.

        Raises:
            DamagedFileError: the feature files do not hold exactly the planned seeds of this run.

        """
        shards = plan(setting, self.num_images, self.shard_size)
        parts, whole = read_setting(self.results, shards, self.evaluation.fingerprint)
        seconds = sum(part.metadata["seconds"] for part in parts)
        row = {
            **setting.describe(),
            "num_images": self.num_images,
            **compute_metrics(whole.features, whole.logits, self.reference),
            "seconds": seconds,
            "images_per_second": self.num_images / seconds,
            "reference": self.reference.provenance,
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
        self.results.write_json(metrics_path(setting), row)
        return row


def read_planned(storage: Storage, path: str, shard: Shard, fingerprint: str) -> Features:
    """Return a shard's features, with its seeds and its evaluation checked. Raises DamagedFileError."""
    part = read_features(storage, path)
    where = f"{storage.url}/{path}"
    if part.seeds != list(range(shard.first, shard.end)):
        raise DamagedFileError(f"{where}: it does not hold exactly the seeds {shard.first} to {shard.end - 1}")
    if part.metadata["fingerprint"] != fingerprint:
        found = part.metadata["fingerprint"]
        raise DamagedFileError(f"{where}: it has fingerprint {found}, this run has {fingerprint}")
    return part


def read_setting(storage: Storage, shards: list[Shard], fingerprint: str) -> tuple[list[Features], Features]:
    """Return the features of a setting's shards, each checked, and all of them as one. Raises DamagedFileError."""
    parts = [read_planned(storage, shard.path("features"), shard, fingerprint) for shard in shards]
    seeds = [seed for part in parts for seed in part.seeds]
    features, logits = (torch.cat([getattr(part, name) for part in parts]) for name in ("features", "logits"))
    return parts, Features(seeds, features, logits, {})
