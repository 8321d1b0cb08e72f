"""One noise stream per image: a counter-based generator, computed on the device of the tensor.

An image's noise is a pure function of (run seed, image seed, step). It is the same in every process, batch, device and
release of torch: the random words come from Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2,
3", SC 2011), and they become normals only by operations that IEEE 754 rounds exactly (+, -, *, /, sqrt and the split
into mantissa and exponent), because the last bits of a library's log or cos can change.
"""

import math
import struct
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

NOISE_VERSION = "philox4x32-10/box-muller/1"
X_T_STEP = 0xFFFF_FFFF
"""The step number of x_T. All other steps are those that `step_of` returns for timesteps."""
Normals = Callable[[Tensor, tuple[int, int]], Tensor]
"""`four_normals`, or what `compiled` returned."""
FRACTIONAL = 0x8000_0000
"""The bit that is set in the step of a fractional timestep."""

_MASK = 0xFFFF_FFFF
# Of the bits of a float64, as an int64: the sign, the fraction, and the numbers ½ and √½.
_SIGN, _FRACTION = -(2**63), 2**52 - 1
_HALF, _ROOT_OF_HALF = (struct.unpack("q", struct.pack("d", x))[0] for x in (0.5, math.sqrt(0.5)))
_MULTIPLIERS = (0xD251_1F53, 0xCD9E_8D57)
_WEYL = (0x9E37_79B9, 0xBB67_AE85)

# log m = 2 atanh(s) = 2 s (1 + s²/3 + s⁴/5 + …), with s = (m-1)/(m+1) and |s| < 0.172 on [√½, √2].
_ATANH = [1 / (2 * k + 1) for k in range(9)]
# sin x / x and cos x in powers of x², for |x| ≤ π/4.
_SIN = [(-1) ** k / math.factorial(2 * k + 1) for k in range(8)]
_COS = [(-1) ** k / math.factorial(2 * k) for k in range(8)]


def philox4x32(counter: Tensor, key: tuple[int, int]) -> Tensor:
    """Return the four 32-bit words of Philox 4x32-10 for each counter: int64, shape (4, ...).

    Args:
        counter: int64, shape (4, ...), unsigned 32-bit values.
        key: two unsigned 32-bit values.

    """
    multipliers, round_keys = (c.view(-1, 2, *[1] * (counter.dim() - 1)) for c in _constants(key, counter.device))
    even, odd = counter[0::2], counter[1::2]  # words (0, 2) and (1, 3): a round treats both words alike
    for i in range(10):
        # int64 wraps at 2^64, so these are the 64 bits of the unsigned product.
        product = (even * multipliers[0]).flip(0)
        even, odd = (product >> 32).bitwise_and_(_MASK).bitwise_xor_(odd).bitwise_xor_(round_keys[i]), product & _MASK
    return torch.stack([even, odd], dim=1).flatten(0, 1)


def four_normals(counter: Tensor, key: tuple[int, int]) -> Tensor:
    """Return the four normals of each counter: float64, shape (4, ...); for the arguments see `philox4x32`."""
    words = philox4x32(counter, key)
    return _box_muller(words[0::2], words[1::2])


def step_of(t: float, resolution: float) -> int:
    """Return the step of a timestep: t if it is whole, else t in units of `resolution` with the bit `FRACTIONAL`."""
    return int(t) if t == int(t) else FRACTIONAL | int(t / resolution)


def normal(
    run_seed: int,
    image_seeds: Tensor,
    step: int,
    shape: tuple[int, ...],
    normals: Normals = four_normals,
) -> Tensor:
    """Return standard normal noise for a batch of images: float32, shape (N, *shape).

    Args:
        run_seed: key of the generator, 0 ≤ run_seed < 2^64.
        image_seeds: int64, shape (N,), each ≥ 0; the result is on their device.
        step: the result of `step_of` for a timestep, or `X_T_STEP`.
        shape: shape of one image.
        normals: what `compiled` returned for as many images of this shape; by default `four_normals`.

    """
    numel = math.prod(shape)
    blocks = torch.arange(_blocks(shape), device=image_seeds.device).expand(len(image_seeds), -1)
    seeds = image_seeds[:, None].expand_as(blocks)
    counter = torch.stack([blocks, torch.full_like(blocks, step), seeds & _MASK, seeds >> 32])
    four = normals(counter, _key(run_seed))  # (4, N, blocks)
    return four.permute(1, 2, 0).flatten(1)[:, :numel].reshape(len(image_seeds), *shape).float()


@torch.inference_mode()
def compiled(run_seed: int, batch_size: int, shape: tuple[int, ...], device: str) -> Normals:
    """Return `four_normals` for batches of images of this shape as a few fused kernels, or itself if a bit differs.

    The option keeps a compiler from contracting a * b + c, which would round once instead of twice.
    """
    fused = torch.compile(four_normals, dynamic=False, options={"emulate_precision_casts": True})
    counter = torch.arange(4 * batch_size * _blocks(shape), device=device).view(4, batch_size, -1)
    same = torch.equal(*(made(counter, _key(run_seed)).view(torch.int64) for made in (fused, four_normals)))
    return fused if same else four_normals


def slerp(x_0: Tensor, x_1: Tensor, a: float) -> Tensor:
    """Return the spherical interpolation between two batches of x_T, image by image (eq. 67).

    Args:
        x_0: shape (N, ...); the result at a = 0.
        x_1: same shape; the result at a = 1. No image may be parallel to its counterpart.
        a: from 0 to 1.

    """
    norms = x_0.flatten(1).norm(dim=1) * x_1.flatten(1).norm(dim=1)
    theta = torch.arccos((x_0 * x_1).flatten(1).sum(1) / norms).view(-1, *[1] * (x_0.dim() - 1))
    return torch.sin((1 - a) * theta) / torch.sin(theta) * x_0 + torch.sin(a * theta) / torch.sin(theta) * x_1


@cache
def _constants(key: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the multipliers, (2,), and the keys of the rounds, (10, 2), once: a GPU waits for a copy to it."""
    keys = [[(key[j] + i * _WEYL[j]) & _MASK for j in (0, 1)] for i in range(10)]
    return torch.tensor(_MULTIPLIERS, device=device), torch.tensor(keys, device=device)


def _key(run_seed: int) -> tuple[int, int]:
    return run_seed & _MASK, run_seed >> 32


def _blocks(shape: tuple[int, ...]) -> int:
    """Return how many counters an image of this shape takes."""
    return (math.prod(shape) + 3) // 4


def _box_muller(radius_word: Tensor, angle_word: Tensor) -> Tensor:
    """Return two float64 normals for each pair of uniform 32-bit words, joined along dimension 0."""
    radius = _sqrt(-2.0 * _log((radius_word + 1).double() * 2.0**-32))
    # The angle is a quarter turn (the top two bits) plus x, uniform in [-π/4, π/4).
    quarter = angle_word >> 30
    x = ((angle_word & 0x3FFF_FFFF).double() * 2.0**-30 - 0.5) * (math.pi / 2)
    square = x * x
    sin, cos = _polynomial(_SIN, square) * x, _polynomial(_COS, square)
    # On the bits of the doubles, since torch is slow at choosing: odd quarters exchange sin and cos; the second bit, of
    # quarter + 1 and of quarter, is the sign, + - - + for cos and + + - - for sin.
    cos_bits, sin_bits = cos.view(torch.int64), sin.view(torch.int64)
    exchanged = (cos_bits ^ sin_bits).bitwise_and_(-(quarter & 1))
    cos_bits.bitwise_xor_(exchanged).bitwise_xor_((quarter + 1 << 62) & _SIGN)
    sin_bits.bitwise_xor_(exchanged).bitwise_xor_((quarter << 62) & _SIGN)
    return torch.cat([radius * cos, radius * sin])


def _sqrt(x: Tensor) -> Tensor:
    """Return √x as IEEE 754 rounds it. On a CPU torch's own is MKL's, in which one in eighty has another last bit."""
    return torch.sqrt(x) if x.is_cuda else torch.from_numpy(np.sqrt(x.numpy()))


def _log(u: Tensor) -> Tensor:
    """Return log u of float64 in [2^-32, 1], which have no denormals: u = 2^exponent m with m in [√½, √2]."""
    bits = u.view(torch.int64)
    half = (bits & _FRACTION) | _HALF  # the mantissa, in [½, 1)
    low = (half < _ROOT_OF_HALF).long()
    m = (half + (low << 52)).view(torch.float64)
    exponent = ((bits >> 52) - 1022 - low).double()
    s = (m - 1.0) / (m + 1.0)
    log: Tensor = exponent * math.log(2.0) + 2.0 * s * _polynomial(_ATANH, s * s)
    return log


def _polynomial(coefficients: list[float], x: Tensor) -> Tensor:
    """Evaluate by Horner's rule, with separate multiplication and addition: a fused one would round differently."""
    total = x * coefficients[-1] + coefficients[-2]
    for c in reversed(coefficients[:-2]):
        total.mul_(x).add_(c)
    return total
