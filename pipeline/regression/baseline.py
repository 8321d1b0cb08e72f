"""A baseline: the features, rows and digests of a finished run, written once and compared with every night."""

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from statistics import median
from typing import Any

from pydantic import ValidationError

from pipeline import UserError
from pipeline.evaluation.features import Features, content, read_features, write_features
from pipeline.images.pixels import Pixels
from pipeline.regression.comparison import Speed
from pipeline.storage.sealed import sha256
from pipeline.storage.store import DamagedFileError, Storage, StorageError
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import Row, Setting, read_row
from pipeline.sweep.images import read_images
from pipeline.sweep.measured import images_per_second, read_setting
from pipeline.sweep.output import load, open_folder, refuse_newer
from pipeline.sweep.run import Run
from pipeline.sweep.shards import plan

EMBEDDED = "digits"
PATH = "baseline.json"
FORMAT = 1
"""The format of a baseline; one without a number has format 1."""
MAY_DIFFER = ("model",)
"""The parts of a run's identity in which it may differ from the baseline: the check compares their results."""

_LIBRARIES = ("torch", "numpy", "diffusers", "torch-fidelity")
_DIGITS_OF_AN_IMAGE = 8


@dataclass(frozen=True)
class Entry:
    """A baseline's data on one setting."""

    file: str
    """Path of its features in the baseline, with every image's digest in the metadata."""
    row: Row
    """The setting's row of metrics.json."""
    digests: list[str]
    """The digest of each image file's pixels."""
    images_per_second: float
    devices: list[str]
    network_share: float | None = None
    """See `Speed`; None in baselines of earlier releases."""

    @property
    def speed(self) -> Speed:
        """How fast the setting was drawn."""
        return Speed(self.images_per_second, self.devices, self.network_share)


@dataclass(frozen=True)
class Baseline:
    """The content of baseline.json, and where it is."""

    storage: Storage
    config: SweepConfig
    identity: dict[str, Any]
    versions: dict[str, str]
    written: str
    """Date and time of writing, UTC."""
    entries: dict[str, Entry]
    """Slug of the setting → entry."""


def versions(settings: Sequence[Setting] = ()) -> dict[str, str]:
    """Return name → version of everything that computes pixels or features, and of the settings' samplers."""
    samplers = {f"sampler {setting.sampler.name}": str(setting.sampler.version) for setting in settings}
    return {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES} | samplers


def speed(parts: list[Features]) -> Speed:
    """Return how fast a setting was drawn, from the features of its shards."""
    timed = all(part.metadata.get("network_seconds") is not None for part in parts)
    # a median, since a process that is stopped between two calls has lost nothing of its speed
    share = median(part.metadata["network_seconds"] / part.metadata["seconds"] for part in parts) if timed else None
    return Speed(images_per_second(parts), sorted({part.metadata["device"] for part in parts}), share)


def image_digests(pixels: Pixels) -> list[str]:
    """Return a short digest of each image, long enough to find images that differ."""
    return [hashlib.sha256(image.tobytes()).hexdigest()[:_DIGITS_OF_AN_IMAGE] for image in pixels]


def write_baseline(storage: Storage, run: Run) -> int:
    """Write a baseline from a finished run; return the number of bytes written.

    Feature files have the digest of their content in their names, and baseline.json is written last, so that a baseline
    can be read at any moment while it is replaced. The files of the previous baseline stay.

    Args:
        storage: where the baseline goes.
        run: a run whose settings are all measured.

    Raises:
        UserError: the run's reference has only statistics, but resampling needs its features.
        DamagedFileError: a file of the run is missing or damaged.

    """
    if (reference := run.measurement.reference).kind == "statistics":
        raise UserError(f"--reference {reference.spec} has statistics alone: a baseline needs its features")
    entries, size = {}, 0
    config, measurement = run.config, run.measurement
    for setting, row in run.metrics().items():
        shards = plan(setting, config.num_images, config.shard_size)
        parts, whole = read_setting(run.storage, measurement, shards)
        fingerprint = setting.fingerprint(run.identity)
        images = "".join("".join(image_digests(read_images(run.storage, shard, fingerprint)[0])) for shard in shards)
        digest = sha256(content(whole.features, whole.logits) + images.encode())[:12]
        path = f"features/{setting.slug}-{digest}.parquet"
        metadata = {"fingerprint": setting.fingerprint(measurement.identity), "images": images}
        write_features(storage, path, 0, whole.features, whole.logits, metadata)
        size += storage.ls("features")[path.removeprefix("features/")]
        entries[setting.slug] = Entry(path, row, [part.metadata["digest"] for part in parts], **asdict(speed(parts)))
    content_of_json = {
        "format": FORMAT,
        "config": config.model_dump(exclude={"out"}),
        "identity": measurement.identity,
        "versions": versions(run.settings),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "entries": {slug: asdict(entry) for slug, entry in entries.items()},
    }
    storage.write_json(PATH, content_of_json)
    return size + storage.ls("")[PATH]


def open_baseline(url: str, options: dict[str, Any] | None = None) -> Baseline:
    """Return the baseline at a URL, or the embedded one; its features are not read yet.

    Raises:
        UserError: there is no baseline, or it is damaged.

    """
    if url == EMBEDDED:
        url = str(files("pipeline") / "assets" / "digits-baseline")
    storage, names = open_folder("--baseline", url, options)
    if PATH not in names:
        raise UserError(f"--baseline {url} holds no {PATH}: write one with --update-baseline from a finished run")
    try:
        saved = storage.read_json(PATH)
        refuse_newer("it", saved, FORMAT)
        config, entries = load(SweepConfig, saved["config"]), load(dict[str, Entry], saved["entries"])
        for entry in entries.values():
            read_row(entry.row)
        return Baseline(storage, config, saved["identity"], saved["versions"], saved["written"], entries)
    except ValidationError as error:
        raise UserError(f"--baseline {url}: it is not one of this release: {error.errors()[0]['msg']}") from None
    except (OSError, KeyError, TypeError, ValueError, StorageError, DamagedFileError) as error:
        raise UserError(f"--baseline {url}: {error}") from error


def read_entry(storage: Storage, entry: Entry) -> tuple[Features, list[str]]:
    """Return a setting's features in a baseline, and the digest of each image. Raises DamagedFileError."""
    features = read_features(storage, entry.file)
    text, width = features.metadata["images"], _DIGITS_OF_AN_IMAGE
    return features, [text[i : i + width] for i in range(0, len(text), width)]


def refuse_another(baseline: Baseline, settings: list[Setting], identity: dict[str, Any]) -> None:
    """Check that a run can be paired with a baseline, image by image, and that the baseline can be read.

    Raises:
        UserError: the baseline has another grid, number of images, extractor, reference, seed, noise or plan, or a file
            of it is missing or damaged. The message names what differs.

    """
    slugs = [setting.slug for setting in settings]
    differ = [
        f"{name.replace('_', ' ')} {value} there, {identity.get(name)} here"
        for name, value in baseline.identity.items()
        if name not in MAY_DIFFER and identity.get(name) != value
    ]
    differ += [f"grid: {slug} is not in it" for slug in slugs if slug not in baseline.entries]
    differ += [f"grid: {slug} is in it alone" for slug in baseline.entries if slug not in slugs]
    if differ:
        raise UserError(f"--baseline {baseline.storage.url} is another run's ({'; '.join(differ)})")
    try:
        for entry in baseline.entries.values():
            read_entry(baseline.storage, entry)
    except (DamagedFileError, StorageError) as error:
        raise UserError(f"--baseline {error}") from error
