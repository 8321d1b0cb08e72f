"""Measurement: in which features images are measured, against which reference, and in which folder."""

from dataclasses import dataclass
from typing import Any

from pipeline import UserError
from pipeline.evaluation import extractors, reference
from pipeline.evaluation.extractors import DIGITS, DIGITS_SHAPE, ExtractorInfo
from pipeline.evaluation.reference import ReferenceInfo


@dataclass(frozen=True)
class Measurement:
    """One way of measuring the images of a run."""

    extractor: ExtractorInfo
    reference: ReferenceInfo
    identity: dict[str, Any]
    """Of the images, and what fixes the features and metrics beside it."""
    path: str = ""
    """Folder of features/, metrics.json and report/ below the output; "" for the sweep's own."""

    @property
    def prefix(self) -> str:
        """What the paths of the results begin with, below the output."""
        return f"{self.path}/" if self.path else ""

    @classmethod
    def load(cls, saved: dict[str, Any]) -> "Measurement":
        """Return what `dataclasses.asdict` made of a measurement."""
        shape = saved["reference"]["image_shape"]
        described = ReferenceInfo(**saved["reference"] | {"image_shape": tuple(shape) if shape else None})
        return cls(ExtractorInfo(**saved["extractor"]), described, saved["identity"], saved["path"])


def open_measurement(
    extractor: str, weights: str | None, spec: str, image_shape: tuple[int, ...], images: dict[str, Any]
) -> Measurement:
    """Return how images are to be measured, with everything checked that can be before work begins.

    Args:
        extractor: name; see `extractors.extractor_info`.
        weights: file or URL of the extractor's, or None.
        spec: of the reference; see `reference.reference_info`.
        image_shape: (C, H, W) of the images to be measured.
        images: their identity.

    Raises:
        UserError: extractor or reference cannot be had, or do not suit the images or each other.

    """
    if extractor == DIGITS and image_shape != DIGITS_SHAPE:
        raise UserError(f"--extractor {DIGITS} knows 1×8×8 images alone, and the model draws {_text(image_shape)}")
    described = extractors.extractor_info(extractor, weights)
    real = reference.reference_info(spec, described)
    if real.image_shape not in (None, image_shape):
        raise UserError(
            f"--reference {spec} has {_text(real.image_shape)} images, and the model draws {_text(image_shape)}"
        )
    measured_by = {"extractor": extractor, "extractor_weights": described.digest, "reference": real.identity}
    return Measurement(described, real, images | measured_by)


def _text(shape: tuple[int, ...] | None) -> str:
    return "×".join(map(str, shape or ()))
