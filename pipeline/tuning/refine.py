"""Local refinement of a grid of times by the scores of others near it."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from pipeline.tuning.grids import Times

_RADII = {"initial_tr_radius": 0.03, "final_tr_radius": 0.0006}
"""COBYQA's first and last moves, in parts of the root's range. On the digits the last are some tenths of a timestep."""


@dataclass(frozen=True)
class Refined:
    """What a refinement came to."""

    times: Times
    """The times with the least score."""
    score: float
    """Their score."""
    tried: int
    """How many grids were scored."""


class _NoMovesLeftError(Exception):
    pass


def refine(
    score: Callable[[list[Times]], list[float]], start: Times, low: float, high: float, fixed: int, moves: int
) -> Refined:
    """Return the times with the least score near some others, by a derivative-free method that draws no random number.

    It is COBYQA (Ragonneau and Zhang, 2023), which models the score by quadratics within a radius, on the roots of the
    times, since small times need small moves. It begins anew from the best times as long as that makes them better:
    networks see the time in waves, which give the score ripples. All times but the fixed ones are rounded, those of the
    start too: to tenths, or to ten-thousandths on a schedule whose times end at 1.

    Args:
        score: the scores of some grids, less is better. It is asked for one at a time, since each tells where to look
            next.
        start: ascending times, of which the search begins.
        low: the least time.
        high: the highest.
        fixed: how many of the first times stay as they are.
        moves: how many grids are scored at most, the start among them.

    """
    scale = 10 if high > 1 else 10**4
    held = start[:fixed]
    least, most = math.floor(held[-1] * scale) + 1 if held else math.ceil(low * scale), math.floor(high * scale)
    scores: dict[Times, float] = {}

    def rounded(free: list[float]) -> Times:
        limits = itertools.count(most - len(free) + 1)
        ticks = [min(round(time * scale), limit) for time, limit in zip(sorted(free), limits, strict=False)]
        ascending = itertools.accumulate(ticks, lambda before, tick: max(before + 1, tick), initial=least - 1)
        return (*held, *(tick / scale for tick in itertools.islice(ascending, 1, None)))

    def objective(root: np.ndarray) -> float:
        times = rounded((low + (high - low) * root**2).tolist())
        if times not in scores:
            if len(scores) == moves:
                raise _NoMovesLeftError
            (scores[times],) = score([times])
        return scores[times]

    best = rounded([*start[fixed:]])
    (scores[best],) = score([best])
    try:
        while True:
            begun = best
            root = np.sqrt((np.array(begun[fixed:]) - low) / (high - low))
            minimize(objective, root, method="COBYQA", bounds=[(0, 1)] * len(root), options=_RADII)
            best = min(scores, key=scores.__getitem__)
            if best == begun:
                break
    except _NoMovesLeftError:
        best = min(scores, key=scores.__getitem__)
    return Refined(best, scores[best], len(scores))
