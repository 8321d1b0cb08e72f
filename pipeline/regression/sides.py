"""Sides: outputs, or single settings of them, that are to be compared, and whether they can be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import UserError
from pipeline.evaluation.reference import Reference
from pipeline.images.folder import FOLDER_IDENTITIES
from pipeline.sweep.grid import Setting
from pipeline.sweep.measured import measured_reference
from pipeline.sweep.run import Run, saved_run

_SAME_NOISE = ("seed", "num_images", "noise")
_CONDITIONS = ("model", "dtype", *_SAME_NOISE, "batch_size")
_MEASURED_BY = ("extractor", "extractor_weights", "reference")


@dataclass(frozen=True)
class Side:
    """An output of a sweep, or one setting of it."""

    text: str
    """As the user gave it: URL, or URL#slug."""
    run: Run
    setting: Setting | None = None
    """The one setting that is compared; None for all."""

    def find(self, slug: str) -> Setting:
        """Return the setting of this name. Raises UserError, with the names that there are."""
        by_slug = {setting.slug: setting for setting in self.run.settings}
        if slug not in by_slug:
            raise UserError(f"{self.text} has no setting {slug!r}; it has {', '.join(by_slug)}")
        return by_slug[slug]


def open_side(text: str, storage_options: dict[str, Any] | None) -> Side:
    """Return the side that a user names as URL or URL#slug.

    Raises:
        UserError: it is no output of a sweep, or has no such setting.
        DamagedFileError: its sweep.json is broken.

    """
    url, mark, slug = text.partition("#")
    try:
        side = Side(url, saved_run(url, storage_options))
    except UserError as error:
        raise UserError(str(error).removeprefix("--out ")) from error
    return Side(text, side.run, side.find(slug)) if mark else side


def pairs(baseline: Side, others: Sequence[Side]) -> list[list[tuple[Setting, Setting]]]:
    """Return, for each other side, the settings to compare: (the baseline's, the other's).

    Whole outputs are compared in the settings that all of them have, in the baseline's order; beside one setting of an
    output, in that setting.

    Raises:
        UserError: whole outputs have no setting in common, or one lacks a setting that the other side names.

    """
    whole = [side for side in (baseline, *others) if side.setting is None]
    slugs = [{setting.slug for setting in side.run.settings} for side in whole]
    common = set.intersection(*slugs) if slugs else set()
    paired_settings = []
    for other in others:
        if other.setting is not None:
            paired_settings.append([(baseline.setting or baseline.find(other.setting.slug), other.setting)])
        elif baseline.setting is not None:
            paired_settings.append([(baseline.setting, other.find(baseline.setting.slug))])
        elif common:
            paired_settings.append([(one, other.find(one.slug)) for one in baseline.run.settings if one.slug in common])
        else:
            raise UserError(f"{', '.join(side.text for side in whole)} have no setting in common")
    return paired_settings


def same_noise(one: Side, other: Side) -> bool:
    """Return whether image i of both sides began with the same noise, and both have as many images."""
    ours, theirs = one.run, other.run
    alike = all(ours.identity.get(name) == theirs.identity.get(name) for name in _SAME_NOISE)
    return alike and ours.model.image_shape == theirs.model.image_shape


def differing(one: Side, other: Side) -> dict[str, tuple[str, str]]:
    """Return the conditions of drawing that differ: name → (one's, the other's); digests are shortened."""
    ours, theirs = one.run.identity, other.run.identity
    return {
        name.replace("_", " "): (_short(ours.get(name)), _short(theirs.get(name)))
        for name in _CONDITIONS
        if ours.get(name) != theirs.get(name)
    }


def common_reference(sides: Sequence[Side]) -> Reference:
    """Return the reference that all sides were measured with, and by the same extractor.

    Raises:
        UserError: they were not.
        DamagedFileError: a reference is missing or damaged.

    """
    first = sides[0]
    identities = [_measured_by(side) for side in sides]
    for side, identity in zip(sides, identities, strict=True):
        if identity != identities[0]:
            _refuse(first, side, identities[0], identity)
    references = [measured_reference(side.run.storage, side.run.measurement) for side in sides]
    digests = [{"content of the reference": reference.provenance.get("digest")} for reference in references]
    for side, reference, digest in zip(sides, references, digests, strict=True):
        if not reference.same_images(references[0]):
            _refuse(first, side, digests[0], digest)
    return references[0]


def _measured_by(side: Side) -> dict[str, Any]:
    identity = {name: side.run.measurement.identity.get(name) for name in _MEASURED_BY}
    # of earlier releases it has sizes and not the content, which is compared by the digest of its pixels
    if str(identity["reference"]).startswith(FOLDER_IDENTITIES):
        identity["reference"] = "a folder"
    return identity


def _refuse(one: Side, other: Side, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    texts = [f"{name.replace('_', ' ')} {ours[name]} and {theirs[name]}" for name in ours if ours[name] != theirs[name]]
    raise UserError(f"{one.text} and {other.text} cannot be compared: {'; '.join(texts)}")


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)
