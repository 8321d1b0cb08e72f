"""Sampler: the model in __init__, then one shard to one file a call. A plain class; it runs anywhere."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pipeline.cluster.device import device_name
from pipeline.diffusion import checkpoint as unet
from pipeline.diffusion import noise
from pipeline.diffusion.samplers import ddim
from pipeline.storage.local import model_folder
from pipeline.storage.store import Storage
from pipeline.sweep.grid import Setting
from pipeline.sweep.images import ImageFile, Pixels, pixel_digest, write_images
from pipeline.sweep.shards import Shard


@dataclass(frozen=True)
class Drawn:
    """What a finished shard reports to the driver."""

    rows: int
    seconds: float
    digest: str


class Sampler:
    """Draws shards of images. The same object serves a unit test, an embedded Ray and a cluster."""

    def __init__(
        self,
        device: str,
        out: str,
        storage_options: dict[str, Any] | None,
        model: str,
        model_digest: str,
        precision: unet.Precision,
        seed: int,
        batch_size: int,
        fingerprint: str,
    ) -> None:
        """Load the model.

        Args:
            device: "cpu" or "cuda". On a CPU a worker is one thread: a sum's order, so its last bit, depends on how
                many threads share it.
            out: URL of the output.
            storage_options: fsspec's.
            model: see `sources.model_folder`.
            model_digest: what it must be on this node.
            precision: of the network.
            seed: the run's.
            batch_size: images a network call.
            fingerprint: the run's, for the files.

        Raises:
            ValueError: the model here is another one, or the device has no such precision.

        """
        if device == "cpu":
            torch.set_num_threads(1)
            if precision == "tf32":
                raise ValueError("tf32 is a GPU's, and torch sees none here")
        info = unet.describe(model_folder(model))
        if info.digest != model_digest:
            raise ValueError(f"model {model!r} is another one on this node: digest {info.digest}, not {model_digest}")
        self.precision = precision
        self.eps_model = unet.UNet(info, device, precision)
        self.image_shape = info.image_shape
        self.alphas_cumprod = info.alphas_cumprod()
        self.device = device
        self.seed = seed
        self.batch_size = batch_size
        self.fingerprint = fingerprint
        self.storage = Storage(out, storage_options)

    def draw_shard(self, shard: Shard) -> Drawn:
        """Draw the images of a shard and commit its file."""
        start = time.perf_counter()
        # Every batch is full, the last one by seeds past the end: kernels choose their sums by batch size.
        batches = [
            self.draw_batch(shard.setting, torch.arange(first, first + self.batch_size, device=self.device))
            for first in range(shard.first, shard.end, self.batch_size)
        ]
        pixels = np.concatenate(batches)[: shard.rows]
        seconds = time.perf_counter() - start
        digest = pixel_digest(pixels)
        info = ImageFile(self.fingerprint, shard.rows, digest, seconds, device_name(self.device), torch.__version__)
        write_images(self.storage, shard, pixels, info)
        return Drawn(shard.rows, seconds, digest)

    @torch.inference_mode()
    def draw_batch(self, setting: Setting, seeds: torch.Tensor) -> Pixels:
        """Return the images with the given seeds: uint8, (N, H, W, C).

        Raises:
            ValueError: an image is not finite. As uint8 it would look like any other.

        """

        def normal(step: int) -> torch.Tensor:
            return noise.normal(self.seed, seeds, step, self.image_shape)

        x_0 = ddim.sample(
            self.eps_model,
            normal(noise.X_T_STEP),
            list(setting.tau),
            self.alphas_cumprod,
            noise=normal,
            eta=setting.eta,
            clip=setting.clip,
        )
        if bad := seeds[~x_0.flatten(1).isfinite().all(1)].tolist():
            raise ValueError(
                f"{len(bad)} of {len(seeds)} images are not finite, the first has seed {bad[0]}: the weights are "
                f"broken, or too large for --dtype {self.precision}"
            )
        return ddim.to_uint8(x_0).permute(0, 2, 3, 1).cpu().numpy()
