"""Settings and metrics of a proof that are made up: a metric that is a mean, whose law is known exactly."""

import torch

from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.evaluation.uncertainty import Measured, jackknife
from pipeline.sweep.grid import Setting
from pipeline.sweep.method import Method


def setting(number):
    """One of many settings, by its number."""
    return Setting(Method(DDIM(), "linear"), number + 1, number + 1)


def mean_of(x):
    """The mean of numbers, float64, (N,), as a metric: without bias, and of exactly first order in each number."""
    left_out = jackknife(len(x), lambda part: (x.sum() - x[part].sum()).item() / (len(x) - (part.stop - part.start)))
    return Measured(x.mean().item(), x - x.mean(), left_out)


def sides(columns, first=0):
    """Setting → its "FID", for columns of numbers, (N, settings), of which row i is of one seed."""
    return {setting(first + i): {"fid": mean_of(x)} for i, x in enumerate(columns.T)}


def normals(seed, *shape):
    """Normal numbers, float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
