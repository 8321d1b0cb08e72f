"""Training of the embedded digits U-Net."""

import json
import time
from pathlib import Path

import torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from torch import Tensor
from torch.nn.functional import mse_loss

from pipeline.diffusion.betas import alphas_cumprod, linear_betas

NUM_TRAIN_TIMESTEPS = 1000
WARM_UP_STEPS = 200


def train_unet(x_0: Tensor, steps: int, batch_size: int = 128, peak_lr: float = 4e-3) -> UNet2DModel:
    """Train with L_simple (eq. 5, gamma = 1) and return the network with its EMA weights."""
    network = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        mid_block_type=None,  # saves a fifth of the cost; the 4×4 level sees the whole digit without it
        norm_num_groups=4,
    )
    alphas = alphas_cumprod(linear_betas(NUM_TRAIN_TIMESTEPS)).float()
    ema = EMAModel(network.parameters(), decay=0.9995)
    optimizer = torch.optim.AdamW(network.parameters(), lr=peak_lr, betas=(0.9, 0.99), weight_decay=1e-4)
    warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=WARM_UP_STEPS)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - WARM_UP_STEPS, eta_min=0.02 * peak_lr)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm_up, cosine], milestones=[WARM_UP_STEPS])
    running = None
    for step in range(1, steps + 1):
        batch = x_0[torch.randint(len(x_0), (batch_size,))]
        # One timestep from each of batch_size equal strata has L_simple's expectation with less variance.
        t = ((torch.arange(batch_size) + torch.rand(batch_size)) / batch_size * NUM_TRAIN_TIMESTEPS).long()
        alpha_t = alphas[t].view(-1, 1, 1, 1)
        eps = torch.randn_like(batch)
        x_t = alpha_t.sqrt() * batch + (1 - alpha_t).sqrt() * eps  # eq. 4
        loss = mse_loss(network(x_t, t).sample, eps)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        ema.step(network.parameters())
        running = loss.item() if running is None else 0.99 * running + 0.01 * loss.item()
        if step % 500 == 0:
            print(f"U-Net step {step}/{steps}  loss {running:.4f}", flush=True)
    ema.copy_to(network.parameters())
    return network.eval()


def write_unet(folder: Path, x_0: Tensor, steps: int, seed: int, command: str) -> float:
    """Train on images x_0 and write the network as a diffusers pipeline, with notes; return the seconds of training.

    Args:
        folder: where to write.
        x_0: float32, (N, 1, 8, 8), in [-1, 1].
        steps: optimiser steps, above the warm-up's.
        seed: of the initial weights and batches.
        command: what makes the same files again, for the notes.

    """
    torch.manual_seed(seed)
    start = time.perf_counter()
    unet = train_unet(x_0, steps)
    seconds = time.perf_counter() - start
    # clip_sample and set_alpha_to_one as in the paper's eta path.
    scheduler = DDIMScheduler(NUM_TRAIN_TIMESTEPS, clip_sample=False, set_alpha_to_one=True)
    DDIMPipeline(unet, scheduler).save_pretrained(folder)
    note = {"command": command, "seed": seed, "steps": steps, "seconds": round(seconds)}
    note |= {"torch": torch.__version__, "threads": torch.get_num_threads()}
    (folder / "training.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    (folder / "weights.json").write_text(json.dumps({"ema": True}, indent=2) + "\n", encoding="utf-8")
    return seconds
