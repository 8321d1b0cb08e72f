"""The noise: Random123's known answers, an exact-arithmetic oracle, and independence of batch and order."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats

from pipeline.diffusion.noise import (
    NOISE_VERSION,
    X_T_STEP,
    _sqrt,
    compiled,
    four_normals,
    normal,
    philox4x32,
    step_of,
)

ONES = 0xFFFF_FFFF
# Between two roads in float64: the polynomials' first terms left out are below 2^-49, the radius is up to 6.7 and the
# angle up to 2π, each rounded to 2^-53 on both. It came to half of this.
ROUNDING = 16 * 2**-53 * 6.7


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [  # kat_vectors of Random123: philox 4x32, 10 rounds
        ([0] * 4, (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([ONES] * 4, (ONES, ONES), [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_known_answers_of_random123(counter, key, answer):
    assert philox4x32(torch.tensor(counter), key).tolist() == answer


def python_normals(run_seed, image_seed, step, numel):
    """Philox and Box-Muller in Python's integers and libm: the same draw by another road."""
    values = []
    for block in range((numel + 3) // 4):
        c = [block, step, image_seed & ONES, image_seed >> 32]
        k = [run_seed & ONES, run_seed >> 32]
        for _ in range(10):
            p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
            c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & ONES, (p0 >> 32) ^ c[3] ^ k[1], p0 & ONES]
            k = [(k[0] + 0x9E3779B9) & ONES, (k[1] + 0xBB67AE85) & ONES]
        polar = [
            (math.sqrt(-2 * math.log((radius + 1) / 2**32)), 2 * math.pi * angle / 2**32 - math.pi / 4)
            for radius, angle in (c[:2], c[2:])
        ]
        values += [r * math.cos(a) for r, a in polar] + [r * math.sin(a) for r, a in polar]
    return np.array(values[:numel])


@pytest.mark.parametrize(
    ("run_seed", "image_seed", "step"), [(0, 0, 0), (1, 2**40 + 3, 999), (3, 4, 0x8010_0000), (2**64 - 1, 7, X_T_STEP)]
)
def test_against_python_integers_and_libm(run_seed, image_seed, step):
    ours = normal(run_seed, torch.tensor([image_seed]), step, (3, 5, 7)).numpy().ravel()
    expected = python_normals(run_seed, image_seed, step, 105)
    np.testing.assert_allclose(ours, expected, rtol=2**-24, atol=ROUNDING)  # rtol: the result is a float32


def test_polynomials_are_exact_to_float32_over_the_whole_range():
    words = torch.randint(0, 2**32, (2, 200_000), generator=torch.Generator().manual_seed(0))
    words[0, :3] = torch.tensor([0, 1, ONES])
    words[1, :4] = torch.tensor([0, 2**30, 2**31, ONES])
    from pipeline.diffusion.noise import _box_muller

    ours = _box_muller(words[0], words[1]).view(2, -1)
    radius = torch.sqrt(-2 * torch.log((words[0] + 1).double() / 2**32))
    angle = 2 * math.pi * words[1].double() / 2**32 - math.pi / 4
    expected = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)])
    torch.testing.assert_close(ours, expected, rtol=0, atol=ROUNDING)


def test_the_square_root_is_rounded_as_ieee_754_says():
    """By rational numbers: r is the nearest double to √x if x lies between the squares of the midpoints beside it."""
    x = -2.0 * torch.log((torch.arange(1, 2**32, 2**32 // 4000)).double() * 2.0**-32)
    for square, root in zip(x.tolist(), _sqrt(x).tolist(), strict=True):
        half = math.ulp(root) / 2
        below, above = Fraction(root) - Fraction(half), Fraction(root) + Fraction(half)
        assert below**2 < Fraction(square) < above**2


@pytest.mark.slow
def test_compiled_noise_has_every_bit_of_the_plain():
    seeds = torch.tensor([0, 1, ONES, ONES + 1, 2**63 - 1])
    fused = compiled(ONES + 7, len(seeds), (3, 501), "cpu")
    assert fused is not four_normals
    for step in (0, 1, X_T_STEP):
        counter = torch.stack(torch.meshgrid(seeds & ONES, torch.arange(376), indexing="ij"))
        counter = torch.cat([counter, torch.full_like(counter, step)])
        for key in ((0, 0), (ONES, 12345)):
            assert torch.equal(fused(counter, key).view(torch.int64), four_normals(counter, key).view(torch.int64))
        assert torch.equal(normal(ONES + 7, seeds, step, (3, 501), fused), normal(ONES + 7, seeds, step, (3, 501)))


def test_a_compiler_that_changes_a_bit_is_not_used(monkeypatch):
    """One that contracts a * b + c has another last bit in one of a thousand doubles, and one is enough."""

    def compile_wrongly(function, **_):
        def other(*arguments):
            found = function(*arguments)
            found.view(torch.int64)[-1, -1, -1] ^= 1
            return found

        return other

    monkeypatch.setattr(torch, "compile", compile_wrongly)
    assert compiled(0, 4, (1, 8, 8), "cpu") is four_normals
    monkeypatch.setattr(torch, "compile", lambda function, **_: lambda *arguments: function(*arguments))
    assert compiled(0, 4, (1, 8, 8), "cpu") is not four_normals


def test_an_image_is_the_same_in_any_batch_and_order():
    shape = (1, 8, 8)
    together = normal(5, torch.arange(100), 40, shape)
    assert torch.equal(normal(5, torch.tensor([99, 3]), 40, shape), together[[99, 3]])
    assert torch.equal(normal(5, torch.arange(100).flip(0), 40, shape), together.flip(0))


def test_steps_images_and_runs_differ():
    draws = [normal(run, torch.tensor([image]), step, (64,)) for run in (0, 1) for image in (0, 1) for step in (0, 1)]
    assert len({tuple(draw.ravel().tolist()) for draw in draws}) == 8


@pytest.mark.parametrize(
    ("run_seed", "image_seed", "step", "words", "normals"),
    [
        (
            *(0, 0, X_T_STEP),
            [0xF633989D, 0x0F07F8D6, 0x938401FE, 0xC3CE5F6F],
            ["0x1.05a1acp-2", "-0x1.570566p-1", "-0x1.ceefb8p-4", "-0x1.9df0c2p-1"],
        ),
        (
            *(1, 2**40 + 3, 999),
            [0x26992233, 0xB9428D8D, 0x08A2ECFC, 0xEDA38089],
            ["-0x1.954daep+0", "0x1.b5eddcp-1", "-0x1.215550p+0", "-0x1.3ac138p+1"],
        ),
        (
            *(2**64 - 1, 7, 0),
            [0xDA207BB2, 0xF2F9310E, 0x36608B17, 0xC35B3354],
            ["0x1.042fc4p-2", "-0x1.23570ep+0", "-0x1.02df22p-1", "-0x1.57c6bcp+0"],
        ),
    ],
)
def test_pinned_so_that_published_images_stay_reproducible(run_seed, image_seed, step, words, normals):
    """For good: a change here is another NOISE_VERSION."""
    counter = torch.tensor([0, step, image_seed & ONES, image_seed >> 32])
    assert philox4x32(counter, (run_seed & ONES, run_seed >> 32)).tolist() == words
    drawn = normal(run_seed, torch.tensor([image_seed]), step, (4,)).ravel().tolist()
    assert drawn == [float.fromhex(text) for text in normals]


@pytest.mark.parametrize(
    ("t", "resolution", "step"),
    [
        (0.0, 2**-21, 0),
        (999.0, 2**-21, 999),
        (0.5, 2**-21, 0x8010_0000),
        (855.25, 2**-21, 0x8000_0000 + 855 * 2**21 + 2**19),
        (998 + 2**-21, 2**-21, 0x8000_0000 + 998 * 2**21 + 1),
        (3998.5, 2**-19, 0x8000_0000 + 3998 * 2**19 + 2**18),
    ],
)
def test_the_step_of_a_time_is_pinned(t, resolution, step):
    assert step_of(t, resolution) == step < X_T_STEP


def test_the_version_of_what_is_pinned():
    assert NOISE_VERSION == "philox4x32-10/box-muller/1"


def test_normal_and_uncorrelated():
    z = normal(3, torch.arange(4000), 17, (64,)).double().numpy()
    # p-values of a right generator are uniform: each line fails for one seed in ten thousand, and the seed is fixed
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-4
    assert stats.kstest(z.sum(axis=1) / 8, "norm").pvalue > 1e-4
    assert stats.kstest(z.sum(axis=0) / math.sqrt(4000), "norm").pvalue > 1e-4
    correlation = np.corrcoef(z.T)[np.triu_indices(64, 1)]
    assert stats.kstest(correlation * math.sqrt(4000), "norm").pvalue > 1e-4
    next_step = normal(3, torch.arange(4000), 18, (64,)).double().numpy()
    assert abs((z * next_step).mean()) * math.sqrt(z.size) < 4
