"""Comparisons made by hand, for the gate and its pages."""

from schedules import SCHEDULE

from pipeline.regression.comparison import Comparison, Speed
from pipeline.regression.statistics import Estimate
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import settings

GRID = settings(SweepConfig(steps=(10, 20), eta=(0.0, "hat")), SCHEDULE)
HERE, THERE = ["AMD EPYC (family 25, model 17), 2 cores"], ["NVIDIA A100-SXM4-40GB"]


def comparison(i, delta=0.0, std=0.0, differing=(), share=0.9, devices=(HERE, HERE), before=0.9):
    """Of the i-th setting of `GRID`, with a baseline's FID of 1, a bias of 0 and 100 images a second."""
    row = {
        "num_images": 500,
        "fid": 1.0 + delta,
        "is_mean": 6.0,
        "kid_mean": 0.1,
        "seconds": 5.0,
        "images_per_second": 100.0,
    }
    same = Estimate(0.0, 0.0, 0.0)
    fid = Estimate(delta, 0.0, std)
    speeds = Speed(100.0, devices[0], before), Speed(100.0, devices[1], share)
    return Comparison(GRID[i], row, row | {"fid": 1.0}, list(differing), fid, same, same, 1.0, speeds)
