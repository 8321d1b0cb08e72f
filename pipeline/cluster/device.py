"""The name of the hardware that draws, precise enough to tell whether two speeds can be compared."""

import os
import platform
from pathlib import Path

import torch

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
