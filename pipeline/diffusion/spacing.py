"""Spacings by name, the paper's and its code's subsequences tau of timesteps, and the search for a budget's count."""

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import cache

import numpy as np

INTEGER_SPACINGS = ("linear", "quadratic", "paper-linear", "paper-quadratic")
LAM_SPACINGS = ("logsnr", "karras")
REAL_SPACINGS = (*LAM_SPACINGS, "time-linear", "time-quadratic")
SPACINGS = (*INTEGER_SPACINGS, *REAL_SPACINGS)
REPEATING = ("quadratic", "paper-quadratic")
"""The spacings that have fewer different times than they are asked for."""
TUNED = "tuned"
"""The times that were searched for a model, sampler and budget, see `tuned`. No formula has them, so it is none of
`SPACINGS`."""


def largest_count(calls: Callable[[int], int], budget: int, total: int) -> int:
    """Return for how many times, of 1 … total, to ask a spacing, so that most calls are made within a budget; or 0.

    Asking for more times never takes fewer calls. Without repeats `budget` + 1 times are the most that can be within
    it. A spacing that repeats times is asked for more, until as many are left.
    """
    calls = cache(calls)
    counts = range(1, total + 1)
    top = upper = min(budget + 1, total)
    if calls(top) > budget:
        return bisect_right(counts[:top], budget, key=calls)
    while upper < total and calls(upper) < budget:
        upper = min(upper + budget - calls(upper), total)
    counts = counts[top - 1 : upper]
    most = calls(counts[bisect_right(counts, budget, key=calls) - 1])
    return counts[bisect_left(counts, most, key=calls)]


def parse_spacing(spacing: str) -> tuple[float, ...] | None:
    """Return the times of a spacing that lists them, such as "0,39.5,250,500"; None for a spacing with a name.

    Whole times are integers. Whether the times are a schedule's, its `tau` says.

    Raises:
        ValueError: the text is neither a known name nor a strictly increasing list of times.

    """
    if spacing in (*SPACINGS, TUNED):
        return None
    try:
        tau = tuple(map(_time, spacing.split(",")))
    except ValueError:
        names = ", ".join([*SPACINGS, TUNED])
        raise ValueError(f"unknown spacing {spacing!r}: use {names}, or times such as 0,39.5,250,500") from None
    if not all(map(math.isfinite, tau)) or tau[0] < 0 or any(a >= b for a, b in itertools.pairwise(tau)):
        raise ValueError(f"spacing {spacing!r} must be a strictly increasing list of times from 0")
    return tau


def canonical(spacing: str) -> str:
    """Return a spacing's text, with numbers that are not written as integers in their shortest form.

    So "0,39.50,1e2" and "0,39.5,100" are one spacing, with one name of its files. For errors see `parse_spacing`.
    """
    listed = parse_spacing(spacing)
    if listed is None or not set(".eE") & set(spacing):
        return spacing
    return ",".join(map(repr, listed))


def _time(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        time = float(text)
        return int(time) if time.is_integer() else time


def make_tau(spacing: str, steps: int, num_train_timesteps: int = 1000) -> list[int]:
    """Return tau, the 0-based timesteps that sampling visits, in ascending order. Its length is the nfe.

    `linear` and `quadratic` follow the authors' released code (github.com/ermongroup/ddim), which made the published
    numbers, including its quirks: `linear` takes more than `steps` steps if `steps` does not divide T; `quadratic`
    ends at 0.8 T and repeats early timesteps, and a repeat is an identity step that still costs a network call.
    `paper-linear` and `paper-quadratic` are the formulas of appendix D.2, floor(c i) and floor(c i^2), with c such
    that the last value is T. The paper counts from 1, so each value is shifted by one. Its subsequence starts at 1 and
    has no repeats, so values of floor(c i^2) that are 0 or repeat are dropped, and the nfe can be below `steps`.

    Args:
        spacing: one of `INTEGER_SPACINGS`.
        steps: S, from 1 to `num_train_timesteps`.
        num_train_timesteps: T.

    Raises:
        ValueError: `steps` is out of range.

    """
    total = num_train_timesteps
    check_steps(steps, total)
    if spacing == "linear":
        return list(range(0, total, total // steps))
    if spacing == "quadratic":
        return [int(s) for s in np.linspace(0, np.sqrt(total * 0.8), steps) ** 2]
    if spacing == "paper-linear":
        return [total * i // steps - 1 for i in range(1, steps + 1)]
    assert spacing == "paper-quadratic"
    return sorted({total * i * i // steps**2 - 1 for i in range(1, steps + 1)} - {-1})


def check_steps(steps: int, num_train_timesteps: int) -> None:
    """Raise ValueError unless a number of times is one that the training timesteps have."""
    if not 1 <= steps <= num_train_timesteps:
        raise ValueError(f"steps must be from 1 to {num_train_timesteps}, the model's training timesteps, not {steps}")
