"""FID by a symmetric root, its influence function, and what it becomes without groups of images; FID without bias."""

import torch
from torch import Tensor

from pipeline.evaluation.metrics.base import Inputs, Metric
from pipeline.evaluation.reference import Reference
from pipeline.evaluation.uncertainty import Measured, jackknife

_ROWS = 8192
"""Rows that are computed at once: 128 MB of float64 at 2,048 features."""
_ZERO = 1e-12
"""Share of the largest eigenvalue below which one is rounding."""
INFLUENCE_FROM = 5
"""Images a feature from which the influence function is used: it needs the inverse of a covariance."""


class FID(Metric):
    """The Fréchet distance of the features' normal laws: what settings are judged by."""

    name = "fid"
    title = "FID"
    in_tables = compared = True
    significant = 3
    keys = ("fid", "fid_se", "fid_bias")

    def compute(self, inputs: Inputs) -> Measured:
        """Return FID."""
        return inputs.once(distance_of)

    def values(self, measured: Measured) -> tuple[float | None, ...]:
        """Return FID, its error, and what it has too much because there are only N images."""
        return measured.value, measured.se, measured.bias


class UnbiasedFID(Metric):
    """FID less its bias: of so many images as there may be."""

    name = "fid_inf"
    title = "FID − bias"
    keys = ("fid_inf",)

    def compute(self, inputs: Inputs) -> Measured | None:
        """Return FID less its bias, whose error is not known; None below 10 images."""
        distance = inputs.once(distance_of)
        return None if distance.bias is None else Measured(distance.value - distance.bias)

    def values(self, measured: Measured) -> tuple[float | None, ...]:
        """Return the value alone."""
        return (measured.value,)


def distance_of(inputs: Inputs) -> Measured:
    """Return FID of the inputs, see `fid`."""
    return fid(inputs.features, inputs.reference)


def frechet_distance(square: float, sigma: Tensor, reference: Reference) -> float:
    """Return FID for |μ - μ_r|² and a covariance, float64, (D, D).

    torch-fidelity takes the trace of √(Σ Σ_r) from eigenvalues of a matrix that is not symmetric. This is the equal
    trace of √(R Σ R) with R = √Σ_r; FIDs differ by 1e-9 where there are more images than features, and else by 1e-6.
    """
    root = reference.root
    return _distance(square, float(sigma.trace()), reference, torch.linalg.eigvalsh(root @ sigma @ root))


def fid_value(features: Tensor, reference: Reference) -> float:
    """Return FID of images, float32 features (N, D); see `frechet_distance`."""
    mu, sigma, _, square = _moments(features, reference)
    if len(features) <= len(mu):
        x = features.double() - mu
        return _distance_of_few(square, x, _products(x, reference), reference)
    return frechet_distance(square, sigma, reference)


def fid(features: Tensor, reference: Reference) -> Measured:
    """Return FID of images, float32 features (N, D), with its influence function and without each group.

    The influence function is the first-order change of FID by an image x:
    2 (x - μ)·(μ - μ_r) + (x - μ)ᵀ G (x - μ) - tr(G Σ), with G = I - R (R Σ R)^(-1/2) R. It is left out where there are
    fewer than `INFLUENCE_FROM` images a feature.
    """
    mu, sigma, shift, square = _moments(features, reference)
    n, d = features.shape
    if n <= d:
        return _fid_of_few(features.double() - mu, shift, square, reference)

    def without(part: slice) -> float:
        x = features[part].double() - mu
        left = n - len(x)
        mean = -x.sum(0) / left  # of the others, from mu
        scatter = (n - 1) * sigma - x.T @ x - left * mean[:, None] * mean
        return frechet_distance(float((shift + mean).square().sum()), scatter / (left - 1), reference)

    if n < INFLUENCE_FROM * d:
        value, influence = frechet_distance(square, sigma, reference), None
    else:
        root = reference.root
        eigenvalues, vectors = torch.linalg.eigh(root @ sigma @ root)
        value = _distance(square, float(sigma.trace()), reference, eigenvalues)
        inner = vectors.T @ root
        # a feature that never changes has no variance, and no part in the influence
        inverse = eigenvalues.rsqrt().where(eigenvalues > _ZERO * eigenvalues[-1], 0.0)
        g = torch.eye(d, dtype=torch.float64) - inner.T @ (inner * inverse[:, None])
        parts = []
        for part in features.split(_ROWS):
            x = part.double() - mu
            parts.append(2 * (x @ shift) + ((x @ g) * x).sum(1))
        influence = torch.cat(parts)
        influence = influence - influence.mean()
    return Measured(value, influence, jackknife(n, without))


def _fid_of_few(x: Tensor, shift: Tensor, square: float, reference: Reference) -> Measured:
    """Return FID of no more images than features, and without each group, from x, float64, (N, D), and μ - μ_r."""
    products = _products(x, reference)

    def without(part: slice) -> float:
        kept = torch.ones(len(x), dtype=torch.bool)
        kept[part] = False
        some = x[kept]
        moved = float((shift + some.mean(0)).square().sum())
        return _distance_of_few(moved, some, products[kept][:, kept], reference)

    return Measured(_distance_of_few(square, x, products, reference), None, jackknife(len(x), without))


def _products(x: Tensor, reference: Reference) -> Tensor:
    """Return X Σ_r Xᵀ, float64, (n, n)."""
    return x @ torch.as_tensor(reference.sigma).double() @ x.T


def _distance_of_few(square: float, x: Tensor, products: Tensor, reference: Reference) -> float:
    """Return FID of the n images x, float64, (n, D), with their `_products`; neither needs a mean of 0.

    Σ = Xᵀ X / (n - 1), so the eigenvalues of Σ Σ_r are those of X Σ_r Xᵀ / (n - 1) and zeros: a matrix of (n, n) has
    all that one of (D, D) has, without the rounding of D - n zeros.
    """
    n = len(x)
    centred = products - products.mean(0)
    centred = centred - centred.mean(1, keepdim=True)
    variance = float((x - x.mean(0)).square().sum()) / (n - 1)
    return _distance(square, variance, reference, torch.linalg.eigvalsh(centred / (n - 1)))


def _moments(features: Tensor, reference: Reference) -> tuple[Tensor, Tensor, Tensor, float]:
    """Return μ and Σ of the images, μ - μ_r, all float64, and |μ - μ_r|²."""
    from torch_fidelity.metric_fid import fid_features_to_statistics  # a slow import that only workers need

    statistics = fid_features_to_statistics(features)
    mu, sigma = (torch.as_tensor(statistics[name]).double() for name in ("mu", "sigma"))
    difference = statistics["mu"] - reference.mu  # in float32, and so is its square, as torch-fidelity's
    return mu, sigma, torch.as_tensor(difference).double(), float(difference.dot(difference))


def _distance(square: float, variance: float, reference: Reference, eigenvalues: Tensor) -> float:
    """Return FID for |μ - μ_r|², tr Σ, and the eigenvalues of Σ Σ_r, of which rounding may make some negative."""
    return square + variance + float(reference.sigma.trace()) - 2 * float(eigenvalues.clamp(min=0).sqrt().sum())
