"""An .npz with mu and sigma of features, by this project or another: read, and held to be a mean and a covariance."""

import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from pipeline import UserError
from pipeline.evaluation.extractors import ExtractorInfo

_ASYMMETRY = 2e-5
"""How far sigma[i, j] and sigma[j, i] may be apart, as a share of sigma's largest entry. Storage keeps them equal, also
in float32; a float32 sum of 50,000 products, in two orders, moves by √50,000 · 2⁻²⁴ = 1.3e-5 of them."""
_NEGATIVE = 1e-6
"""How far below 0 an eigenvalue may be, as a share of the trace: float32's rounding of sigma moves it by 6e-8 of it."""
_PROVENANCE = {
    *("source", "file", "num_images", "digest", "shard_size"),
    *("extractor", "extractor_weights", "left_out", "converted"),
}
"""The keys that jobs/reference.py writes: "source" and "digest" always, and no other key."""


def read_statistics(
    file: Path, spec: str, extractor: ExtractorInfo
) -> tuple[NDArray[np.float32], NDArray[np.float64], dict[str, Any] | None]:
    """Return mu (D,), sigma (D, D), and the provenance that jobs/reference.py wrote beside them.

    The provenance is {} if there is none, and None if an entry of this name is somebody else's.

    Raises:
        UserError: it is no .npz with mu and sigma, these are not of an extractor of this width or not finite real
            numbers, or sigma is no covariance: not symmetric, or with an eigenvalue below -1e-6 of its trace.

    """
    try:
        with np.load(file, allow_pickle=False) as content:
            names: list[str] = content.files
            arrays = [content[name] for name in ("mu", "sigma") if name in names]
            made = _provenance(content) if "provenance" in names else {}
    except Exception as error:  # a bad zip, header or pickle: numpy raises different errors
        raise UserError.because(f"--reference {spec} is not an .npz with mu and sigma", error) from error
    if len(arrays) < 2:
        raise UserError(f"--reference {spec} is not an .npz with mu and sigma: {_instead(names)}")
    for name, array in zip(("mu", "sigma"), arrays, strict=True):
        if array.dtype.kind not in "fiu":
            raise UserError(f"--reference {spec}: {name} is of {array.dtype}, and real numbers are needed")
    mu, sigma = arrays
    if mu.shape != (extractor.width,) or sigma.shape != (extractor.width, extractor.width):
        raise UserError(
            f"--reference {spec} has mu {mu.shape} and sigma {sigma.shape}, and {extractor.name} has "
            f"{extractor.width} features"
        )
    with np.errstate(over="ignore"):  # what is beyond float32 is not finite then
        mu, sigma = mu.astype(np.float32), sigma.astype(np.float64)  # as torch-fidelity's own, which it asserts
    if not (np.isfinite(mu).all() and np.isfinite(sigma).all()):
        raise UserError(f"--reference {spec} has values in mu or sigma that are not finite")
    if fault := _fault(sigma):
        raise UserError(f"--reference {spec}: sigma is no covariance, {fault}")
    return mu, sigma, made


def _fault(sigma: NDArray[np.float64]) -> str:
    """Return why a finite square matrix is no covariance; empty if it is one."""
    largest, apart = float(np.abs(sigma).max()), np.abs(sigma - sigma.T)
    i, j = map(int, np.unravel_index(apart.argmax(), apart.shape))
    if apart[i, j] > _ASYMMETRY * largest:
        return (
            f"it is not symmetric: [{i}, {j}] is {sigma[i, j]:.3g} and [{j}, {i}] is {sigma[j, i]:.3g}, "
            f"{apart[i, j] / largest:.2g} of its largest entry apart ({_ASYMMETRY:g} at most)"
        )
    matrix, trace = torch.from_numpy(sigma), float(sigma.trace())
    # a root by Cholesky takes a third of the time of eigenvalues, and there is one if all are above the limit
    if not torch.linalg.cholesky_ex(matrix + _NEGATIVE * trace * torch.eye(len(sigma), dtype=torch.float64)).info:
        return ""
    least = float(torch.linalg.eigvalsh(matrix)[0])
    if least >= -_NEGATIVE * trace:
        return ""
    return f"its least eigenvalue is {least:.3g} for a trace of {trace:.3g} (-{_NEGATIVE:g} of the trace at least)"


def _provenance(content: NpzFile) -> dict[str, Any] | None:
    try:
        made = json.loads(str(content["provenance"]))
    except ValueError:  # no JSON, or a pickle
        return None
    ours = isinstance(made, dict) and {"source", "digest"} <= made.keys() <= _PROVENANCE
    return made if ours else None


def _instead(names: list[str]) -> str:
    """Return what an .npz without mu or sigma has."""
    if names == ["arr_0"]:
        return "it has arr_0 alone, as a batch of images does; give images as a folder or as Parquet"
    lacking = " and ".join(name for name in ("mu", "sigma") if name not in names)
    return f"it has {textwrap.shorten(', '.join(names), 200, placeholder=' …') or 'nothing'}, and no {lacking}"
