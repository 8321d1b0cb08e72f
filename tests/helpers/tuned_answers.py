"""Answers of a tuning from made-up metrics, whose errors and whose differences' errors are chosen."""

import numpy as np
import torch
from schedules import SCHEDULE
from scipy.linalg import hadamard

from pipeline.evaluation.uncertainty import Measured
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import settings
from pipeline.tuning.answer import Answer
from pipeline.tuning.cost import Cost, repaid, same_quality
from pipeline.tuning.proof import prove

N = 64
_WAVES = torch.tensor(hadamard(N), dtype=torch.float64)
"""Rows of ±1; all but the first have mean 0, and no two have anything in common."""
BIAS = 0.027
NUM_IMAGES = 10_000
TEACHER = "unipc", "time-quadratic", 50


def setting(sampler, spacing, steps=5):
    """The setting of a sampler's text; S is that of listed times."""
    config = SweepConfig(sampler=(sampler,), spacing=(spacing,), steps=(steps,), eta=None)
    (one,) = settings(config, SCHEDULE)
    return one


def measured(value, own, wave, bias=BIAS, common=0.008):
    """A metric of `value` without bias; of its error `common` is shared, and a difference of two has both `own`."""
    influence = np.sqrt(N - 1) * (common * _WAVES[1] + own * _WAVES[2 + wave])
    left_out = torch.full((20,), value + bias + bias / 19, dtype=torch.float64)
    return Measured(value + bias, influence, left_out)


def metrics(fid, own, wave):
    """FID, IS and KID of a setting, each in an order of its own."""
    return {
        "fid": measured(fid, own, wave),
        "is": Measured(9.5 - 0.37 * wave, measured(0.0, 0.03, wave).influence),
        "kid": Measured(0.0123 + 0.0041 * (wave % 3), measured(0.0, 0.0007, wave).influence),
    }


def answer(calls, searched, defaults, teacher=0.102, ladder=(), cost=(1_234_000, 765_000), num_images=NUM_IMAGES):
    """The answer for a budget.

    Args:
        calls: the budget.
        searched: (sampler, spacing, FID without bias, its own error) of each finalist.
        defaults: the same of each default.
        teacher: the FID of UniPC-2 at 50 calls.
        ladder: (calls, FID) of UniPC-2 on its default grid.
        cost: of search and proof.
        num_images: fresh seeds.

    """
    given = [*searched, *defaults]
    each = {setting(name, spacing, calls): metrics(fid, own, i) for i, (name, spacing, fid, own) in enumerate(given)}
    assert len(each) == len(given)
    finalists, others = dict([*each.items()][: len(searched)]), dict([*each.items()][len(searched) :])
    proof = prove(finalists, others, num_images)
    steps = {setting("unipc", "time-quadratic", at): metrics(fid, 0.009, 20 + i) for i, (at, fid) in enumerate(ladder)}
    paid = Cost(*cost)
    of_ladder = {one.nfe: of_one["fid"] for one, of_one in steps.items()}
    quality = proof.best and same_quality(proof.best.measured["fid"], of_ladder)
    return Answer(
        calls,
        num_images,
        proof,
        setting(*TEACHER),
        metrics(teacher, 0.006, 40),
        steps,
        paid,
        repaid(paid, calls, quality, [*of_ladder]),
        {one: f"grid {i}, refined by pixels" for i, one in enumerate(finalists)},
    )


TIMES = "0,39,95,313,452,774"
DEFAULTS = [("dpmpp_2m", "time-quadratic", 0.364, 0.02), ("unipc", "time-quadratic", 0.245, 0.012)]
"""The best is the second."""
SEARCHED = [("unipc:order=3", "0,17,71.5,307,540,812", 3.23, 0.05), ("unipc", TIMES, 0.131, 0.009)]
"""Of the tested budget; the second wins."""
LADDER = [(6, 0.19), (8, 0.121)]


def winner(**changes):
    """UniPC-2 wins by 0.114, whose error is 0.015, as hypot(0.012, 0.009)."""
    return answer(5, SEARCHED, **{"defaults": DEFAULTS, "ladder": LADDER, **changes})


def none_wins(**changes):
    """At 8 calls the better of two finalists is lower by 0.011, whose error is 0.015."""
    times = "0,10,39,95,200,313,452,600,900", "1,50,99,200,300,400,500,800"
    searched = [("unipc", times[0], 0.108, 0.009), ("ddim", times[1], 2.0, 0.1)]
    defaults = [("unipc", "time-quadratic", 0.119, 0.012), ("ddim", "linear", 0.9, 0.05)]
    return answer(8, searched, defaults, **changes)


def worse(**changes):
    """At 3 calls what was searched is worse by 1.2, whose error is 0.1."""
    searched = [("unipc", "0,17,71,700", 1.8, 0.08)]
    return answer(3, searched, [("unipc", "time-quadratic", 0.6, 0.06)], **changes)


def pictures(*answers):
    """Ten gray images a setting, each of one value of its own."""
    shown = [setting for one in answers for setting in (one.proof.best_default, one.lead.setting, one.teacher)]
    return {
        one: np.full((10, 8, 8, 1), 30 + 25 * i, np.uint8) + np.arange(10, dtype=np.uint8)[:, None, None, None]
        for i, one in enumerate(dict.fromkeys(shown))
    }
