"""FIDs of many nights at once, as `metrics.fid` measures one: whose sides are alike, in pairs of the same noise."""

import torch
from torch import Tensor

from pipeline.evaluation.metrics.fid import INFLUENCE_FROM
from pipeline.evaluation.reference import Reference
from pipeline.evaluation.uncertainty import Measured, groups

CORRELATION = 0.99
"""Of a pair's features: of two samplers' images of the same noise, or of one sampler's on two releases."""


def fids(count: int, n: int, reference: Reference, seed: int) -> tuple[list[Measured], list[Measured], Tensor]:
    """Return FIDs of both sides of `count` settings of N images, and the features: float64, (2, count, N, D).

    Both sides have the same law, which is not the reference's.
    """
    d = len(reference.mu)
    generator = torch.Generator().manual_seed(seed)
    common, *own = (torch.randn(count, n, d, generator=generator, dtype=torch.float64) for _ in range(3))
    x = 3 + 1.3 * torch.stack([CORRELATION**0.5 * common + (1 - CORRELATION) ** 0.5 * part for part in own])
    influence = _influence(x, reference) if n >= INFLUENCE_FROM * d else [[None] * count] * 2
    left_out = torch.stack([_fid(torch.cat([x[:, :, : g.start], x[:, :, g.stop :]], 2), reference) for g in groups(n)])
    values = _fid(x, reference)
    sides = ([Measured(values[s, i].item(), influence[s][i], left_out[:, s, i]) for i in range(count)] for s in (0, 1))
    return *sides, x


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    mu = x.mean(-2)
    y = x - mu[..., None, :]
    return mu, y.mT @ y / (x.shape[-2] - 1)


def _fid(x: Tensor, reference: Reference) -> Tensor:
    mu, sigma = _moments(x)
    theirs, root = torch.as_tensor(reference.sigma).double(), reference.root
    roots = torch.linalg.eigvalsh(root @ sigma @ root).clamp(min=0).sqrt().sum(-1)
    traces = sigma.diagonal(dim1=-2, dim2=-1).sum(-1) + theirs.trace()
    return (mu - torch.as_tensor(reference.mu).double()).square().sum(-1) + traces - 2 * roots


def _influence(x: Tensor, reference: Reference) -> Tensor:
    mu, sigma = _moments(x)
    root, y = reference.root, x - mu[..., None, :]
    eigenvalues, vectors = torch.linalg.eigh(root @ sigma @ root)
    g = torch.eye(len(root)) - root @ (vectors * eigenvalues.rsqrt()[..., None, :]) @ vectors.mT @ root
    shift = mu - torch.as_tensor(reference.mu).double()
    influence = 2 * (y @ shift[..., None])[..., 0] + ((y @ g) * y).sum(-1)
    return influence - influence.mean(-1, keepdim=True)
