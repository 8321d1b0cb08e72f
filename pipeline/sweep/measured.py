"""Features, read from their files and checked: exactly the planned seeds of a setting, and the whole reference."""

import contextlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pipeline.evaluation.features import Features, read_features
from pipeline.evaluation.measurement import Measurement
from pipeline.evaluation.reference import Reference, ReferenceShard, read_part, read_reference
from pipeline.evaluation.reference_images import plan_reference
from pipeline.storage.store import DamagedFileError, Storage
from pipeline.sweep.grid import Setting
from pipeline.sweep.layout import Paths
from pipeline.sweep.method import Method
from pipeline.sweep.shards import Shard


def read_planned(storage: Storage, path: str, shard: Shard, fingerprint: str) -> Features:
    """Return a shard's features after a check of its seeds and fingerprint. Raises DamagedFileError."""
    part = read_features(storage, path)
    where = f"{storage.url}/{path}"
    if part.seeds != list(range(shard.first, shard.end)):
        raise DamagedFileError(f"{where}: it does not hold exactly the seeds {shard.first} to {shard.end - 1}")
    if part.metadata["fingerprint"] != fingerprint:
        carried = part.metadata["fingerprint"]
        raise DamagedFileError(f"{where}: it has fingerprint {carried}, this run has {fingerprint}")
    return part


def read_setting(storage: Storage, measurement: Measurement, shards: list[Shard]) -> tuple[list[Features], Features]:
    """Return the checked features of each of a setting's shards, and of all together. Raises DamagedFileError."""
    fingerprint = shards[0].setting.fingerprint(measurement.identity)
    parts = [read_planned(storage, measurement.prefix + shard.path("features"), shard, fingerprint) for shard in shards]
    return parts, joined(parts)


def joined(parts: Sequence[Features]) -> Features:
    """Return the features of a setting's shards, which are in order, as one, without metadata."""
    seeds = [seed for part in parts for seed in part.seeds]
    logits = [part.logits for part in parts if part.logits is not None]
    features = torch.cat([part.features for part in parts])
    return Features(seeds, features, torch.cat(logits) if logits else None, {})


def reference_files(measurement: Measurement, sizes: Mapping[str, int]) -> dict[str, ReferenceShard | None]:
    """Return path → shard of the files that make up the reference; None for a file that has all of it.

    Args:
        measurement: the measurement.
        sizes: path → size in bytes, of at least the one file that has all of it: where an earlier release has written
            that, it is taken as it is.

    """
    paths, number = Paths(measurement.prefix), measurement.reference.num_images
    shards = plan_reference(number, measurement.identity["batch_size"]) if number else []
    if len(shards) < 2 or sizes.get(paths.reference):
        return {paths.reference: None}
    return {paths.reference_shard(shard.first, shard.end): shard for shard in shards}


def stored_reference_files(storage: Storage, measurement: Measurement) -> dict[str, ReferenceShard | None]:
    """Return `reference_files` by a look into the output."""
    return reference_files(measurement, _sizes(storage, Paths(measurement.prefix).reference))


def missing_reference(storage: Storage, measurement: Measurement) -> list[ReferenceShard | None]:
    """Return the shards of the reference whose file is missing or empty; [None] if it is to be one file."""
    files = stored_reference_files(storage, measurement)
    sizes = _sizes(storage, next(iter(files)))
    return [shard for path, shard in files.items() if not sizes.get(path)]


def _sizes(storage: Storage, path: str) -> dict[str, int]:
    """Return path → size in bytes of the files beside a path."""
    beside = path.rpartition("/")[0]
    return {f"{beside}/{name}": size for name, size in storage.ls(beside).items()}


def measured_reference(storage: Storage, measurement: Measurement) -> Reference:
    """Return the reference as it was extracted. Raises DamagedFileError."""
    identity, parts = measurement.reference.identity, []
    for path, shard in stored_reference_files(storage, measurement).items():
        if shard is None:
            return read_reference(storage, path)
        parts.append(read_part(storage, path, shard, identity))
    return Reference.join(parts)


def images_per_second(parts: Sequence[Features]) -> float:
    """Return the rate of one worker, from the features of a setting's shards: the upper median of the files' rates.

    A process that was stopped, with its laptop or its virtual machine, counts that time in the seconds of one file. It
    only slows, so up to half of the files may be stopped without a change of the rate.
    """
    return float(statistics.median_high(len(part.seeds) / part.metadata["seconds"] for part in parts))


def largest_of(settings: Sequence[Setting]) -> dict[Setting, Setting]:
    """Return setting → that of the same method with the largest S, where it is another one."""
    largest: dict[Method, Setting] = {}
    for setting in sorted(settings, key=lambda one: one.steps):
        largest[setting.method] = setting
    return {setting: largest[setting.method] for setting in settings if setting != largest[setting.method]}


def read_consistency(storage: Storage, paths: Paths, settings: Sequence[Setting]) -> dict[Setting, dict[str, Any]]:
    """Return setting → its consistency, for the settings that were compared with what is now the largest S."""
    current = {}
    for setting, largest in largest_of(settings).items():
        with contextlib.suppress(DamagedFileError):  # it is compared again
            content = storage.read_json(paths.consistency(setting.slug))
            if content["against"] == largest.slug:
                current[setting] = content
    return current
