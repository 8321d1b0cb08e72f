"""The device: the precision and form of what runs on it, and its name."""

import os
import platform
from pathlib import Path
from typing import Literal

import torch

Precision = Literal["float32", "tf32", "bfloat16", "float16"]
"""The precision of the network. The schedule is always float64 and the update always float32."""
Form = Literal["plain", "channels_last", "compiled"]
"""How a network is run: as diffusers has it; with values in channels_last order; or so and compiled by torch.compile
for one shape of input, with CUDA graphs on a GPU. Each form rounds differently. All have fused attention."""

_CPUINFO = Path("/proc/cpuinfo")


def device_name(device: str) -> str:
    """Return the GPU's name for "cuda"; for "cpu" the processor's name, family and model, and the number of cores.

    Virtual machines give many processors the same name; family and model tell more of them apart.
    """
    if device == "cuda":
        return torch.cuda.get_device_name()
    lines = _CPUINFO.read_text(encoding="utf-8").splitlines() if _CPUINFO.exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = fields.get("model name") or platform.processor() or platform.machine()
    if {"cpu family", "model"} <= fields.keys():
        name += f" (family {fields['cpu family']}, model {fields['model']})"
    return f"{name}, {os.cpu_count()} cores"


def set_tf32(allow: bool) -> None:
    """Allow or forbid TF32 for float32 matrix products and convolutions of this process on a GPU."""
    torch.backends.cuda.matmul.allow_tf32 = allow
    torch.backends.cudnn.allow_tf32 = allow
