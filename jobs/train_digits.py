"""Train the embedded digits U-Net and the digits classifier, and write them with a note on how they were made.

    python jobs/train_digits.py                    # into pipeline/assets: what is shipped
    python jobs/train_digits.py --out /tmp/assets --steps 500

Prints a loss line every 500 steps, the classifier's held-out accuracy, and where the files went.
"""

from pipeline.cli import Parser, exit_with

import json
import time
from pathlib import Path

import torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from pipeline.diffusion.schedule import alphas_cumprod, linear_betas
from pipeline.evaluation.digits_classifier import DigitsNetwork

NUM_TRAIN_TIMESTEPS = 1000
WARM_UP_STEPS = 200


def digits() -> tuple[Tensor, Tensor]:
    """Return scikit-learn's digits: float32 (1797, 1, 8, 8) in [-1, 1], and their classes."""
    data = load_digits()
    return torch.tensor(data.images, dtype=torch.float32)[:, None] / 8 - 1, torch.tensor(data.target)


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


def train_classifier(x_0: Tensor, labels: Tensor, seed: int, epochs: int = 40) -> tuple[DigitsNetwork, float]:
    """Train on a stratified 80 % of the digits and return the network and its accuracy on the other 20 %."""
    train, held_out = train_test_split(torch.arange(len(x_0)), test_size=0.2, stratify=labels, random_state=seed)
    network = DigitsNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    batches = (len(train) + 63) // 64
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=epochs * batches)
    for _ in range(epochs):
        for index in train[torch.randperm(len(train))].split(64):
            loss = cross_entropy(network(x_0[index])[1], labels[index], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        accuracy = (network(x_0[held_out])[1].argmax(1) == labels[held_out]).double().mean().item()
    return network.eval(), accuracy


def main() -> int:
    """Train both networks and write `digits-ddpm/` and `digits-classifier/`."""
    parser = Parser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("pipeline/assets"), help="folder to write into")
    parser.add_argument("--steps", type=int, default=12_000, help="optimiser steps of the U-Net (12000)")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights, batches and split (0)")
    args = parser.parse_args()
    if args.steps <= WARM_UP_STEPS:
        parser.error(f"--steps must be above {WARM_UP_STEPS}, the warm-up")
    out, steps, seed = args.out, args.steps, args.seed
    command = f"python jobs/train_digits.py --steps {steps} --seed {seed}"
    x_0, labels = digits()
    torch.manual_seed(seed)
    start = time.perf_counter()
    classifier, accuracy = train_classifier(x_0, labels, seed)
    print(f"classifier: {accuracy:.2%} of the held-out digits right, {time.perf_counter() - start:.0f} s", flush=True)
    folder = out / "digits-classifier"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(classifier.state_dict(), folder / "classifier.safetensors")
    note = {"command": command, "seed": seed, "held_out_accuracy": accuracy, "held_out_digits": 360}
    (folder / "training.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")

    torch.manual_seed(seed)
    start = time.perf_counter()
    unet = train_unet(x_0, steps)
    seconds = time.perf_counter() - start
    # clip_sample and set_alpha_to_one as in the paper's eta path.
    scheduler = DDIMScheduler(NUM_TRAIN_TIMESTEPS, clip_sample=False, set_alpha_to_one=True)
    DDIMPipeline(unet, scheduler).save_pretrained(out / "digits-ddpm")
    note = {"command": command, "seed": seed, "steps": steps, "seconds": round(seconds)}
    note |= {"torch": torch.__version__, "threads": torch.get_num_threads()}
    (out / "digits-ddpm" / "training.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    (out / "digits-ddpm" / "weights.json").write_text(json.dumps({"ema": True}, indent=2) + "\n", encoding="utf-8")
    print(f"U-Net: {steps} steps in {seconds:.0f} s; both are in {out}")
    return 0


if __name__ == "__main__":
    exit_with(main)
