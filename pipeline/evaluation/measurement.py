"""Measurement: the extractor, the reference, and the folder of the results."""

from dataclasses import dataclass
from typing import Any

from pipeline import UserError
from pipeline.evaluation import extractors, reference
from pipeline.evaluation.extractors import ExtractorInfo
from pipeline.evaluation.reference import ReferenceInfo


@dataclass(frozen=True)
class Measurement:
    """An extractor and a reference with which the images of a run are measured."""

    extractor: ExtractorInfo
    reference: ReferenceInfo
    identity: dict[str, Any]
    """The identity of the images, and what else the features and metrics depend on."""
    path: str = ""
    """Folder below the output with features/, metrics.json and report/; "" for the sweep's own measurement."""

    @property
    def prefix(self) -> str:
        """The prefix of the results' paths below the output."""
        return f"{self.path}/" if self.path else ""


def open_measurement(
    extractor: str,
    weights: str | None,
    spec: str,
    image_shape: tuple[int, ...],
    images: dict[str, Any],
    known: str | None = None,
) -> Measurement:
    """Return a measurement after all checks that are possible before work begins.

    Args:
        extractor: the extractor's name; see `extractors.extractor_info`.
        weights: file or URL of the extractor's weights, or None for its default.
        spec: the reference; see `reference.reference_info`.
        image_shape: (C, H, W) of the images to be measured.
        images: the identity of the images.
        known: the identity that an output has of this very reference; see `reference.reference_info`.

    Raises:
        UserError: the extractor or the reference cannot be read, or they do not fit the images or each other.

    """
    known_shape = extractors.kind_of(extractor).image_shape
    if known_shape not in (None, image_shape):
        raise UserError(
            f"--extractor {extractor} knows {_text(known_shape)} images alone, and the model draws {_text(image_shape)}"
        )
    described = extractors.extractor_info(extractor, weights)
    real = reference.reference_info(spec, described, known)
    if real.image_shape not in (None, image_shape):
        reference.refuse_mixture(spec, image_shape)
        raise UserError(
            f"--reference {spec} has {_text(real.image_shape)} images, and the model draws {_text(image_shape)}"
        )
    measured_by = {"extractor": extractor, "extractor_weights": described.digest, "reference": real.identity}
    return Measurement(described, real, images | measured_by)


def _text(shape: tuple[int, ...] | None) -> str:
    return "×".join(map(str, shape or ()))
