"""References made without a sweep."""

from pipeline.evaluation.extractors import make_extractor
from pipeline.evaluation.reference import reference_info
from pipeline.evaluation.reference_images import make_references


def make(spec, extractor, size):
    """The description of a reference, and the reference itself, extracted in batches of `size` images."""
    info = reference_info(str(spec), extractor)
    return info, make_references(info, [(make_extractor(extractor, "cpu"), extractor)], "cpu", size)[0]
