"""Networks as functions of tensors: x_t, time and labels in, their output out."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.device import Form, Precision, set_tf32
from pipeline.diffusion.schedule import Node
from pipeline.diffusion.weights import load_network

Network = Callable[[Tensor, Node, Tensor | None], Tensor]
"""network(x_t, node, labels): its output in x_t's shape and dtype, (N, C, H, W); labels are int64, (N,), or None. It
makes its own time of the node, and scales x_t as it wants it."""


class UNet:
    """A diffusers `UNet2DModel` in evaluation mode; its time is that of a `Discrete` schedule, the 0-based timestep."""

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

    def __call__(self, x_t: Tensor, node: Node, labels: Tensor | None = None) -> Tensor:
        """Return its output; see `Network`."""
        timesteps = torch.full((len(x_t),), node.t, dtype=torch.float32, device=x_t.device)
        output = self._forward(x_t.to(self.dtype, memory_format=self.layout), timesteps, labels).sample
        return torch.empty_like(x_t).copy_(output)  # the next call of a CUDA graph writes over its output


class Timed:
    """A network that notes how long its calls take, without making a GPU's queue wait for them."""

    def __init__(self, network: Network, device: str) -> None:
        """Wrap a network on "cpu" or "cuda"."""
        self.network, self.device = network, device
        self.calls: list[tuple[Any, Any]] = []

    def __call__(self, x_t: Tensor, node: Node, labels: Tensor | None = None) -> Tensor:
        """Return what the network returns."""
        start = self._now()
        output = self.network(x_t, node, labels)
        self.calls.append((start, self._now()))
        return output

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
