"""Comparisons made by hand, for the gate and its pages."""

import math

from schedules import SCHEDULE

from pipeline.evaluation.difference import Difference
from pipeline.regression.compared import Compared
from pipeline.regression.comparison import Comparison, Speed
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import settings

GRID = settings(SweepConfig(steps=(10, 20), eta=(0.0, "hat")), SCHEDULE)
HERE, THERE = ["AMD EPYC (family 25, model 17), 2 cores"], ["NVIDIA A100-SXM4-40GB"]


def metric(baseline, delta=0.0, se=0.0, degrees=math.inf):
    return Compared(baseline, baseline + delta, Difference(delta, se, degrees))


def comparison(i, delta=0.0, se=0.0, differing=(), share=0.9, devices=(HERE, HERE), before=0.9, degrees=math.inf):
    """Of the i-th setting of `GRID`, with a baseline's FID of 1, a bias of 0 and 100 images a second."""
    row = {
        "num_images": 500,
        "fid": 1.0 + delta,
        "is_mean": 6.0,
        "kid_mean": 0.1,
        **dict.fromkeys(("fid_se", "is_se", "kid_se")),
        "seconds": 5.0,
        "images_per_second": 100.0,
    }
    fid, equal = metric(1.0, delta, se, degrees), not differing and se == 0
    speeds = Speed(100.0, devices[0], before), Speed(100.0, devices[1], share)
    metrics = {"fid": fid, "is": metric(6.0), "kid": metric(0.1)}
    return Comparison(metrics, GRID[i], row, row | {"fid": 1.0}, list(differing), equal, speeds)


def unlike(i):
    """A comparison of the i-th setting of `GRID` of which no two numbers are equal; each error has other degrees."""
    row = {
        **{"num_images": 500 + 3 * i, "fid": 1.31 + 0.2 * i, "is_mean": 6.1 + 0.3 * i, "kid_mean": 0.11 + 0.02 * i},
        **{"fid_se": 0.31 + 0.04 * i, "is_se": 0.042 + 0.007 * i, "kid_se": 0.0123 + 0.002 * i},
        **{"seconds": 5.2 + 0.7 * i, "images_per_second": 412.0 + 60 * i},
    }
    fid = Compared(1.07 + 0.33 * i, row["fid"], Difference(0.21 - 0.13 * i, 0.021 + 0.004 * i, 19), 0.05 / 3)
    score = Compared(6.2 + 0.3 * i, row["is_mean"], Difference(-0.17 + 0.05 * i, 0.033 + 0.005 * i, math.inf))
    kid = Compared(0.05 + 0.02 * i, row["kid_mean"], Difference(0.056 - 0.01 * i, 0.009 + 0.001 * i, 17))
    speeds = Speed(533.0 + 40 * i, HERE, 0.91 - 0.02 * i), Speed(417.0 + 50 * i, HERE, 0.85 - 0.03 * i)
    baseline = row | {"fid": 1.09 + 0.3 * i}
    return Comparison({"fid": fid, "is": score, "kid": kid}, GRID[i], row, baseline, [41 + i], False, speeds)
