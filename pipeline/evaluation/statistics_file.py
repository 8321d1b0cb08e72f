"""An .npz with mu and sigma of features, as this project and others write it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import UserError
from pipeline.evaluation.extractors import ExtractorInfo


def read_statistics(
    file: Path, spec: str, extractor: ExtractorInfo
) -> tuple[NDArray[np.float32], NDArray[np.float64], dict[str, Any]]:
    """Return mu (D,), sigma (D, D), and what jobs/reference.py wrote of their origin; {} if somebody else wrote them.

    Raises:
        UserError: it is no .npz of an extractor of this width, or has values that are not finite.

    """
    try:
        with np.load(file, allow_pickle=False) as content:
            mu, sigma = content["mu"], content["sigma"]
            made = json.loads(str(content["provenance"])) if "provenance" in content else {}
    except Exception as error:  # a bad zip, header or pickle: numpy raises different errors
        raise UserError.because(f"--reference {spec} is not an .npz with mu and sigma", error) from error
    if mu.shape != (extractor.width,) or sigma.shape != (extractor.width, extractor.width):
        raise UserError(
            f"--reference {spec} has mu {mu.shape} and sigma {sigma.shape}, and {extractor.name} has "
            f"{extractor.width} features"
        )
    if not (np.isfinite(mu).all() and np.isfinite(sigma).all()):
        raise UserError(f"--reference {spec} has values in mu or sigma that are not finite")
    # the dtypes of torch-fidelity's own statistics, which it asserts
    return mu.astype(np.float32), sigma.astype(np.float64), made
