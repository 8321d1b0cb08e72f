"""Comparer: one setting of tonight's run beside the baseline's: digests, bootstrapped differences, speed."""

from dataclasses import dataclass
from typing import Any

import torch

from pipeline.evaluation.features import Features
from pipeline.evaluation.measurement import Evaluation
from pipeline.evaluation.metrics import metric_options
from pipeline.evaluation.reference import REFERENCE_PATH, read_reference
from pipeline.regression.baseline import image_digests, open_baseline, read_entry, speed
from pipeline.regression.statistics import (
    Estimate,
    fid_statistic,
    is_statistic,
    kid_statistic,
    paired_bootstrap,
)
from pipeline.storage.store import Storage
from pipeline.sweep.grid import Setting
from pipeline.sweep.images import read_images
from pipeline.sweep.shards import plan
from pipeline.work.extract import metrics_path, read_setting

RESAMPLES = 1000
"""Gives a standard deviation to 2 %."""

NOTHING = Estimate(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Comparison:
    """What is known of one setting, before anything is decided."""

    setting: Setting
    row: dict[str, Any]
    """Tonight's, of metrics.json."""
    baseline_row: dict[str, Any]
    differing: list[int]
    """Seeds of the images whose pixels are not the baseline's, ascending."""
    fid: Estimate
    inception_score: Estimate
    kid: Estimate
    baseline_fid: float
    """Of the baseline's features beside tonight's reference; the baseline's row where the extractor is the same."""
    speeds: tuple[float, float]
    """Images a second: the baseline's, tonight's."""
    devices: tuple[list[str], list[str]]
    """The baseline's, tonight's."""

    @property
    def change(self) -> float:
        """Difference of FID, relative to the baseline's."""
        return self.fid.delta / self.baseline_fid


def estimate(
    ours: Features, theirs: Features, reference: torch.Tensor, device: str = "cpu"
) -> tuple[Estimate, Estimate, Estimate]:
    """Return the differences of FID, IS and KID between features of the same seeds.

    Args:
        ours: tonight's.
        theirs: the baseline's.
        reference: float32, (M, D).
        device: where to compute.

    """
    if all(torch.equal(getattr(ours, name), getattr(theirs, name)) for name in ("features", "logits")):
        return NOTHING, NOTHING, NOTHING
    n, beside = len(ours.seeds), reference.to(device)
    splits = metric_options(n, len(reference))["isc_splits"]
    (x, y), (p, q) = ([getattr(side, name).to(device) for side in (ours, theirs)] for name in ("features", "logits"))
    return (
        paired_bootstrap(fid_statistic(x, beside), fid_statistic(y, beside), n, RESAMPLES, device),
        paired_bootstrap(is_statistic(p, splits), is_statistic(q, splits), n, RESAMPLES, device),
        paired_bootstrap(kid_statistic(x, beside), kid_statistic(y, beside), n, RESAMPLES, device),
    )


class Comparer:
    """Compares settings. A plain class, as `Sampler` is."""

    def __init__(
        self,
        device: str,
        out: str,
        storage_options: dict[str, Any] | None,
        evaluation: Evaluation,
        baseline: str,
        num_images: int,
        shard_size: int,
        fingerprint: str,
    ) -> None:
        """Open both outputs; `baseline` is the baseline's URL, the rest as for `FeatureWorker`."""
        if device == "cpu":
            torch.set_num_threads(1)
        self.device = device
        self.storage = Storage(out, storage_options)
        self.baseline = open_baseline(baseline, storage_options)
        self.num_images = num_images
        self.shard_size = shard_size
        self.fingerprint = fingerprint
        self.evaluation = evaluation

    def compare(self, setting: Setting) -> Comparison:
        """Compare one setting. Raises DamagedFileError."""
        entry = self.baseline.entries[setting.slug]
        theirs, images = read_entry(self.baseline.storage, entry)
        shards = plan(setting, self.num_images, self.shard_size)
        parts, ours = read_setting(self.storage, shards, self.evaluation.fingerprint)
        reference = read_reference(self.storage, REFERENCE_PATH).features
        assert reference is not None  # `write_baseline` takes no others
        differing = []
        for shard, part, digest in zip(shards, parts, entry.digests, strict=True):
            if part.metadata["digest"] != digest:
                tonight = image_digests(read_images(self.storage, shard, self.fingerprint)[0])
                before = images[shard.first : shard.end]
                pairs = enumerate(zip(tonight, before, strict=True), shard.first)
                differing += [seed for seed, (here, there) in pairs if here != there]
        rate, devices = speed(parts)
        whole = torch.arange(self.num_images)[None]
        return Comparison(
            setting,
            self.storage.read_json(metrics_path(setting)),
            entry.row,
            differing,
            *estimate(ours, theirs, reference, self.device),
            float(fid_statistic(theirs.features, reference)(whole)),
            (entry.images_per_second, rate),
            (entry.devices, devices),
        )
