"""The network of a checkpoint as eps_model(x_t, t)."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from pipeline import UserError

Precision = Literal["float32", "tf32", "bfloat16", "float16"]
"""The precision of the network. The schedule is always float64 and the update always float32."""


class UNet:
    """A diffusers `UNet2DModel` in evaluation mode, as eps_model(x_t, t)."""

    def __init__(self, weights: Path, device: str, precision: Precision = "float32") -> None:
        """Load a network onto `device`. A pickle is loaded with weights_only=True.

        Args:
            weights: the file of the weights, with config.json beside it.
            device: "cpu" or "cuda".
            precision: the network's. "float32" turns off TF32, cuDNN's default; "tf32" is float32 on a CPU.

        Raises:
            UserError: the files do not hold the network that their config describes.

        """
        from diffusers import UNet2DModel  # a slow import that only workers need

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
        """Return the noise predicted in x_t, (N, C, H, W), at the 0-based timestep t, in x_t's shape and dtype."""
        timesteps = torch.full((len(x_t),), t, dtype=torch.float32, device=x_t.device)
        return self.network(x_t.to(self.dtype), timesteps).sample.to(x_t.dtype)  # type: ignore[no-any-return]


def set_tf32(allow: bool) -> None:
    """Allow or forbid TF32 for float32 matrix products and convolutions of this process on a GPU."""
    torch.backends.cuda.matmul.allow_tf32 = allow
    torch.backends.cudnn.allow_tf32 = allow
