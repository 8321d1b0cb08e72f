"""The network of the DDIM authors, transcribed as functions of a state dict: the oracle for converted checkpoints.

It shares nothing with diffusers or with the pipeline, and computes in the dtype of its tensors: in float64 its rounding
is nothing beside that of what is tested. State dicts are random; `trained_list` wraps them as their trainer does.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn.functional import conv2d, group_norm, interpolate, linear, pad


@dataclass(frozen=True)
class Config:
    """What the authors' YAML files say of a network."""

    ch: int
    ch_mult: tuple[int, ...]
    image_size: int
    num_res_blocks: int = 2
    channels: int = 3
    attn_resolution: int = 16

    @property
    def widths(self):
        return [self.ch * mult for mult in self.ch_mult]

    def has_attention(self, level):
        return self.image_size >> level == self.attn_resolution


CIFAR10 = Config(128, (1, 2, 2, 2), 32)
CELEBA = Config(32, (1, 2, 2, 2, 4), 64)  # 128 channels in theirs, as in the next
LSUN = Config(32, (1, 1, 2, 2, 4, 4), 256)
SMALL = Config(32, (1, 2), 32, num_res_blocks=1)


def shapes(config):
    """Name and shape of every tensor."""
    found = {}

    def layer(name, out, *rest):
        found[f"{name}.weight"], found[f"{name}.bias"] = (out, *rest), (out,)

    def block(name, before, after):
        layer(f"{name}.norm1", before)
        layer(f"{name}.conv1", after, before, 3, 3)
        layer(f"{name}.temb_proj", after, 4 * config.ch)
        layer(f"{name}.norm2", after)
        layer(f"{name}.conv2", after, after, 3, 3)
        if before != after:
            layer(f"{name}.nin_shortcut", after, before, 1, 1)

    def attention(name, width):
        layer(f"{name}.norm", width)
        for part in ("q", "k", "v", "proj_out"):
            layer(f"{name}.{part}", width, width, 1, 1)

    layer("temb.dense.0", 4 * config.ch, config.ch)
    layer("temb.dense.1", 4 * config.ch, 4 * config.ch)
    layer("conv_in", config.ch, config.channels, 3, 3)
    width, skips = config.ch, [config.ch]
    for level, after in enumerate(config.widths):
        for index in range(config.num_res_blocks):
            block(f"down.{level}.block.{index}", width, after)
            if config.has_attention(level):
                attention(f"down.{level}.attn.{index}", after)
            width = after
            skips.append(width)
        if level < len(config.widths) - 1:
            layer(f"down.{level}.downsample.conv", width, width, 3, 3)
            skips.append(width)
    block("mid.block_1", width, width)
    attention("mid.attn_1", width)
    block("mid.block_2", width, width)
    for level, after in reversed(list(enumerate(config.widths))):
        for index in range(config.num_res_blocks + 1):
            block(f"up.{level}.block.{index}", width + skips.pop(), after)
            if config.has_attention(level):
                attention(f"up.{level}.attn.{index}", after)
            width = after
        if level > 0:
            layer(f"up.{level}.upsample.conv", width, width, 3, 3)
    layer("norm_out", width)
    layer("conv_out", config.channels, width, 3, 3)
    return found


def random_state(config, seed=0):
    """Random tensors, biases and norms too, of a size that keeps activations near 1."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes(config).items():
        noise = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            state[name] = noise / math.sqrt(math.prod(shape[1:]))
        else:
            state[name] = noise * 0.2 + ("norm" in name and name.endswith("weight"))
    return state


def save(content, file, **options):
    """torch.save that returns the file."""
    torch.save(content, file, **options)
    return file


def trained_list(model, shadow=None):
    """What their trainer saves: the wrapped model, Adam, epoch, step and, with EMA, the shadow of the parameters."""
    parameters = [torch.nn.Parameter(torch.ones(2))]
    parameters[0].grad = torch.ones(2)
    adam = torch.optim.Adam(parameters, lr=2e-4)
    adam.step()
    states = [{f"module.{name}": tensor for name, tensor in model.items()}, adam.state_dict(), 3, 5000]
    return states if shadow is None else [*states, shadow]


def forward(state, config, x, t):
    """eps of x (N, C, H, W) at the timesteps t (N,), as their forward computes it."""

    def dense(name, h):
        return linear(h, state[f"{name}.weight"], state[f"{name}.bias"])

    def conv(name, h, **options):
        return conv2d(h, state[f"{name}.weight"], state[f"{name}.bias"], **options)

    def norm(name, h):
        return group_norm(h, 32, state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-6)

    def swish(h):
        return h * torch.sigmoid(h)

    def block(name, x):
        h = conv(f"{name}.conv1", swish(norm(f"{name}.norm1", x)), padding=1)
        h = h + dense(f"{name}.temb_proj", swish(temb))[:, :, None, None]
        h = conv(f"{name}.conv2", swish(norm(f"{name}.norm2", h)), padding=1)
        return h + (conv(f"{name}.nin_shortcut", x) if f"{name}.nin_shortcut.weight" in state else x)

    def attention(name, x):
        h = norm(f"{name}.norm", x)
        q, k, v = (conv(f"{name}.{part}", h).flatten(2) for part in "qkv")
        weights = torch.einsum("nci,ncj->nij", q, k).div(math.sqrt(x.shape[1])).softmax(dim=-1)
        attended = torch.einsum("nij,ncj->nci", weights, v).view_as(x)
        return x + conv(f"{name}.proj_out", attended)

    def block_and_attention(side, level, index, h):
        h = block(f"{side}.{level}.block.{index}", h)
        return attention(f"{side}.{level}.attn.{index}", h) if config.has_attention(level) else h

    half = config.ch // 2
    frequencies = torch.exp(torch.arange(half, dtype=x.dtype) * (-math.log(10000) / (half - 1)))
    angles = t.to(x.dtype)[:, None] * frequencies
    temb = dense("temb.dense.0", torch.cat([angles.sin(), angles.cos()], dim=1))
    temb = dense("temb.dense.1", swish(temb))

    levels = range(len(config.ch_mult))
    h = conv("conv_in", x, padding=1)
    skips = [h]
    for level in levels:
        for index in range(config.num_res_blocks):
            h = block_and_attention("down", level, index, h)
            skips.append(h)
        if level != levels[-1]:
            h = conv(f"down.{level}.downsample.conv", pad(h, (0, 1, 0, 1)), stride=2)
            skips.append(h)
    h = block("mid.block_2", attention("mid.attn_1", block("mid.block_1", h)))
    for level in reversed(levels):
        for index in range(config.num_res_blocks + 1):
            h = block_and_attention("up", level, index, torch.cat([h, skips.pop()], dim=1))
        if level:
            h = conv(f"up.{level}.upsample.conv", interpolate(h, scale_factor=2, mode="nearest"), padding=1)
    return conv("conv_out", swish(norm("norm_out", h)), padding=1)
