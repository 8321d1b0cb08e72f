"""The network of a checkpoint as eps_model(x_t, t)."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.device import Form, Precision, set_tf32
from pipeline.diffusion.weights import load_network

EpsModel = Callable[[Tensor, float], Tensor]
"""eps_model(x_t, t): the network's prediction of the noise in x_t, in x_t's shape and dtype; t is 0-based."""


class UNet:
    """A diffusers `UNet2DModel` in evaluation mode, as eps_model(x_t, t)."""

    def __init__(self, weights: Path, device: str, precision: Precision = "float32", form: Form = "plain") -> None:
        """Load a network onto `device`. A pickle is loaded with weights_only=True.

        Args:
            weights: the file of the weights, or the index of several, with config.json beside it.
            device: "cpu" or "cuda".
            precision: the network's. "float32" turns off TF32, cuDNN's default; "tf32" is float32 on a CPU.
            form: how it is run. A compiled network is compiled by its first call, and again for another shape.

        Raises:
            UserError: the files do not hold the network that their config describes.

        """
        set_tf32(precision == "tf32")
        self.dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision, torch.float32)
        network = load_network(weights, self.dtype)
        self.network = network.to(device).eval().requires_grad_(False)
        self.layout = torch.contiguous_format if form == "plain" else torch.channels_last
        self.network.to(memory_format=self.layout)
        self._forward: Callable[..., Any] = self.network
        if form == "compiled":
            mode = "reduce-overhead" if device == "cuda" else "default"
            self._forward = torch.compile(self.network, dynamic=False, mode=mode)

    def __call__(self, x_t: Tensor, t: float) -> Tensor:
        """Return the noise predicted in x_t, (N, C, H, W), at the 0-based timestep t, in x_t's shape and dtype."""
        timesteps = torch.full((len(x_t),), t, dtype=torch.float32, device=x_t.device)
        eps = self._forward(x_t.to(self.dtype, memory_format=self.layout), timesteps).sample
        return torch.empty_like(x_t).copy_(eps)  # the next call of a CUDA graph writes over its output


class Timed:
    """An eps_model that notes how long its calls take, without making a GPU's queue wait for them."""

    def __init__(self, eps_model: EpsModel, device: str) -> None:
        """Wrap a network on "cpu" or "cuda"."""
        self.eps_model, self.device = eps_model, device
        self.calls: list[tuple[Any, Any]] = []

    def __call__(self, x_t: Tensor, t: float) -> Tensor:
        """Return what the network returns."""
        start = self._now()
        eps = self.eps_model(x_t, t)
        self.calls.append((start, self._now()))
        return eps

    def take(self) -> float:
        """Return the mean seconds of a call since the last time. At least one call must have been made."""
        if self.device == "cuda":
            torch.cuda.synchronize()
            seconds = [start.elapsed_time(end) / 1000 for start, end in self.calls]
        else:
            seconds = [end - start for start, end in self.calls]
        self.calls = []
        return statistics.fmean(seconds)

    def _now(self) -> Any:
        if self.device != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
