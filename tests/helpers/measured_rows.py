"""Rows of metrics.json made by hand in which no two numbers are equal and no two columns have one order.

A report that takes another column, another setting, another error or S in place of the calls then shows it.
"""

from schedules import SCHEDULE

from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import Setting, settings
from pipeline.sweep.method import Method

_PRIME = 61


def rank(i, factor, shift):
    """Of the i-th setting from 0 to 60, in an order of each factor's own; of up to 61 settings no two have the same."""
    return (factor * i + shift) % _PRIME


def numbers(i, num_images=40):
    """Metrics of the i-th setting. Of the first nine the sixth has the best FID; the first is within noise of it."""
    fid = 0.3 + 0.05 * rank(i, 23, 10)
    bias = 0.021 + 0.0003 * rank(i, 19, 5)
    return {
        "fid": fid,
        "fid_se": 0.12 + 0.001 * rank(i, 31, 2),
        "fid_bias": bias,
        "fid_inf": fid - bias,
        "is_mean": 3.04 + 0.05 * rank(i, 14, 7),
        "is_std": 0.31 + 0.007 * rank(i, 11, 1),
        "is_se": 0.05 + 0.003 * rank(i, 26, 8),
        "kid_mean": -0.0123 + 0.0317 * rank(i, 38, 3),
        "kid_std": 0.2 + 0.01 * rank(i, 5, 2),
        "kid_se": 0.0417 + 0.0013 * rank(i, 42, 6),
        "precision": 0.31 + 0.009 * rank(i, 17, 20),
        "precision_se": 0.007 + 0.0002 * rank(i, 12, 4),
        "recall": 0.24 + 0.011 * rank(i, 9, 30),
        "recall_se": 0.031 + 0.0004 * rank(i, 33, 9),
        "seconds": 2.0 + 0.3 * rank(i, 21, 11),
        "images_per_second": 53.7 + 41.3 * rank(i, 45, 1),
        "num_images": num_images,
        "reference": {"source": "digits", "num_images": 1797},
        "device": "a device",
        "options": {"isc_splits": 10},
    }


def consistency(i):
    """Distance of the i-th setting from its sampler's largest S."""
    return {"consistency": 0.043 + 0.015 * rank(i, 50, 17), "consistency_se": 0.003 + 0.0007 * rank(i, 27, 13)}


def published(i):
    """Numbers of others, unlike ours and each other; the second setting has no second-hand one."""
    return {"fid_paper": 4.11 + 0.31 * i, "fid_published": None if i == 1 else 5.23 + 0.17 * i}


def by_setting(rows):
    """Setting → row, of rows with the keys of `Setting.describe`; none may be another's setting."""
    found = {Setting(Method.read(row)[0], row["steps"], row["nfe"]): row for row in rows}
    assert len(found) == len(rows)
    return found


GRID = settings(
    SweepConfig(sampler=("ddim", "ddim:eta=hat", "unipc", "heun"), steps=(7, 10, 30), eta=None, num_images=40), SCHEDULE
)
"""Of four samplers with three spacings. DDIM takes 8, 10 and 31 calls, Heun 7, 9 and 29."""
ROWS = [setting.describe() | numbers(i) | consistency(i) for i, setting in enumerate(GRID)]


def lines(rows):
    """(sampler, eta, spacing) → the rows of a line of a chart, from few calls to many."""
    found = {}
    for row in rows:
        found.setdefault((row["sampler"], row.get("eta"), row["spacing"]), []).append(row)
    return {key: sorted(line, key=lambda row: row["nfe"]) for key, line in found.items()}


def unbeaten(pairs):
    """The positions of the pairs that no other is as good as in both numbers and better in one, low being good."""
    return {i for i, (x, y) in enumerate(pairs) if not any((a <= x and b <= y) and (a, b) != (x, y) for a, b in pairs)}
