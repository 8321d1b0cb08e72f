"""The bootstrap, an independent road to the errors of FID, IS and KID: it resamples images, paired by seed."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor
from torch_fidelity.defaults import DEFAULTS

Statistic = Callable[[Tensor], Tensor]
"""statistic(index): a metric of each resample. index: int64, (B, N), numbers of images; result: float64, (B,)."""

KID_BLOCK = 1000
"""Number of images that KID compares with each other: torch-fidelity's subset size."""

_ELEMENTS_AT_ONCE = 2**23


@dataclass(frozen=True)
class Estimate:
    """A difference candidate − baseline of a metric, over pairs of images with the same seed."""

    delta: float
    """The difference as measured."""
    bias: float
    """The part of it that comes from the finite number of images."""
    std: float
    """Its standard error."""

    def interval(self, alpha: float) -> tuple[float, float]:
        """Return the interval of confidence 1 − alpha."""
        half = NormalDist().inv_cdf(1 - alpha / 2) * self.std
        return self.delta - self.bias - half, self.delta - self.bias + half


def fid_statistic(features: Tensor, reference: Tensor) -> Statistic:
    """Return FID to a reference as a statistic of resampled images.

    It is torch-fidelity's FID in float64. torch-fidelity computes the trace of √(Σ Σ_ref) by eigenvalues of a matrix
    that is not symmetric. Here it is the equal trace of √(R Σ R) with R = √Σ_ref: symmetric, and R is computed once.

    Args:
        features: float32, (N, D).
        reference: float32, (M, D).

    """
    shift = features.double().mean(dim=0)
    x = features.double() - shift
    n, d = x.shape
    mu, sigma = reference.double().mean(dim=0), torch.cov(reference.double().T).reshape(d, d)
    root = _root(sigma)

    def fid(index: Tensor) -> Tensor:
        values = []
        for part in index.split(max(1, _ELEMENTS_AT_ONCE // x.numel())):
            counts = _counts(part, n)
            mean = counts @ x / n
            second = ((counts[:, None, :] * x.T).flatten(0, 1) @ x).view(-1, d, d)
            covariance = (second - n * mean[:, :, None] * mean[:, None, :]) / (n - 1)
            eigenvalues = torch.linalg.eigvalsh(root @ covariance @ root).clamp(min=0)
            traces = covariance.diagonal(dim1=1, dim2=2).sum(1) + sigma.trace()
            values.append((mean + shift - mu).square().sum(1) + traces - 2 * eigenvalues.sqrt().sum(1))
        return torch.cat(values)

    return fid


def is_statistic(logits: Tensor, splits: int) -> Statistic:
    """Return the Inception Score, with torch-fidelity's shuffle and splits, as a statistic of resampled images.

    Args:
        logits: float32, (N, K).
        splits: see `metric_options`.

    """
    log_p = logits.double().log_softmax(dim=1)
    p = log_p.exp()
    terms = torch.cat([p, (p * log_p).sum(dim=1, keepdim=True)], dim=1)  # a row: p, and minus its entropy
    n = len(logits)
    order = torch.from_numpy(np.random.RandomState(DEFAULTS["rng_seed"]).permutation(n))
    bounds = [i * n // splits for i in range(splits + 1)]

    def score(index: Tensor) -> Tensor:
        shuffled = index[:, order.to(index.device)]
        scores = []
        for first, end in itertools.pairwise(bounds):
            mean = terms[shuffled[:, first:end]].mean(dim=1)
            q = mean[:, :-1]
            scores.append((mean[:, -1] - torch.special.xlogy(q, q).sum(dim=1)).exp())
        return torch.stack(scores).mean(dim=0)

    return score


def kid_statistic(features: Tensor, reference: Tensor) -> Statistic:
    """Return KID, without the term that depends only on the reference, as a statistic of resampled images.

    torch-fidelity averages the unbiased MMD² over 100 random subsets. This estimates the same quantity with less noise:
    images are compared with each other within blocks of `KID_BLOCK`, and all images with the whole reference. An image
    is not compared with its own repeats, which a resample has and which would count as pairs of equal images.

    Args:
        features: float32, (N, D).
        reference: float32, (M, D).

    """
    x = features.double()
    across = torch.cat([_kernel(part, reference.double()).mean(dim=1) for part in x.split(256)])
    blocks = list(range(0, len(x), KID_BLOCK))
    within = [_kernel(part, part).fill_diagonal_(0) for part in x.split(KID_BLOCK)]

    def kid(index: Tensor) -> Tensor:
        counts = _counts(index, len(x))
        pairs = torch.zeros(len(index), dtype=torch.float64, device=index.device)
        weight = torch.zeros_like(pairs)
        for first, kernel in zip(blocks, within, strict=True):
            w = counts[:, first : first + KID_BLOCK]
            pairs += ((w @ kernel) * w).sum(dim=1)
            weight += w.sum(dim=1) ** 2 - (w**2).sum(dim=1)
        return pairs / weight - 2 * (counts @ across) / len(x)

    return kid


def paired_bootstrap(
    candidate: Statistic, baseline: Statistic, num_images: int, resamples: int, device: str = "cpu"
) -> Estimate:
    """Estimate a difference of metrics over pairs of images with the same seed, by resampling pairs.

    The interval is delta − bias ± z·std. The percentile interval fails for FID: FID of N images is too high by a term
    in 1/N, and a resample, which has fewer distinct images, by that term once more. Without a defect these biases of
    the two sides cancel in the difference. With a defect they may not, and percentiles then lie on the wrong side of
    the estimate. So the bias is estimated by the resamples' own excess and subtracted. The quantiles are normal,
    because the resamples' own (the basic interval) could not give p-values below 1/resamples, which Holm's correction
    for many settings needs. A simulation in the tests checks the coverage.

    Pairs must be independent of each other, but the two images of a pair need not be similar: for unrelated images
    the interval is as wide as for two independent runs.

    Args:
        candidate: the metric of one side.
        baseline: the metric of the other side.
        num_images: N.
        resamples: B; the relative error of the standard deviation is 1/√(2 B).
        device: the device on which the statistics compute.

    """
    generator = torch.Generator().manual_seed(0)
    whole = torch.arange(num_images, device=device)[None]
    delta = float(candidate(whole) - baseline(whole))
    differences = []
    at_once = max(1, _ELEMENTS_AT_ONCE // num_images // 16)
    for first in range(0, resamples, at_once):
        shape = (min(at_once, resamples - first), num_images)
        index = torch.randint(num_images, shape, generator=generator).to(device)
        differences.append(candidate(index) - baseline(index))
    spread = torch.cat(differences)
    return Estimate(delta, float(spread.mean()) - delta, float(spread.std()))


def _counts(index: Tensor, n: int) -> Tensor:
    """Return how often each image is in each resample: float64, (B, N)."""
    ones = torch.ones(index.shape, dtype=torch.float64, device=index.device)
    return torch.zeros(len(index), n, dtype=torch.float64, device=index.device).scatter_add_(1, index, ones)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return KID's kernel of all pairs, (x·y/D + 1)³."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def _root(sigma: Tensor) -> Tensor:
    """Return the symmetric square root of a covariance."""
    eigenvalues, vectors = torch.linalg.eigh(sigma)
    root: Tensor = (vectors * eigenvalues.clamp(min=0).sqrt()) @ vectors.T
    return root
