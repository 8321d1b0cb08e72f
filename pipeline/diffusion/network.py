"""A checkpoint's network, loaded, as eps_model(x_t, t)."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from pipeline import UserError

Precision = Literal["float32", "tf32", "bfloat16", "float16"]
"""Of the network alone; the schedule is float64 and the update float32 in all of them."""


class UNet:
    """A diffusers `UNet2DModel` in evaluation mode, as eps_model(x_t, t)."""

    def __init__(self, weights: Path, device: str, precision: Precision = "float32") -> None:
        """Load a network onto `device`. A pickle is loaded with weights_only=True.

        Args:
            weights: see `Checkpoint`.
            device: "cpu" or "cuda".
            precision: of the network. "float32" turns off TF32, which cuDNN has on; "tf32" changes nothing on a CPU.

        Raises:
            UserError: the files do not hold the network that their config describes.

        """
        from diffusers import UNet2DModel  # seconds of imports that only a worker pays

        set_tf32(precision == "tf32")
        folder, safe = weights.parent, weights.suffix == ".safetensors"
        self.dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision, torch.float32)
        try:
            network = UNet2DModel.from_pretrained(
                folder, use_safetensors=safe, low_cpu_mem_usage=False, torch_dtype=self.dtype
            )
        except Exception as error:
            raise UserError.because(f"model {str(folder)!r} cannot be loaded", error) from error
        self.network = network.to(device).eval().requires_grad_(False)

    def __call__(self, x_t: Tensor, t: float) -> Tensor:
        """Return the predicted noise at a timestep, 0-based: x_t's shape and dtype, whatever the network's own."""
        timesteps = torch.full((len(x_t),), t, dtype=torch.float32, device=x_t.device)
        return self.network(x_t.to(self.dtype), timesteps).sample.to(x_t.dtype)  # type: ignore[no-any-return]


def set_tf32(allow: bool) -> None:
    """Let this process multiply float32 matrices and convolve them in TF32 on a GPU, or not."""
    torch.backends.cuda.matmul.allow_tf32 = allow
    torch.backends.cudnn.allow_tf32 = allow
