"""Training of the embedded digits classifier."""

import json
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy

from pipeline.evaluation.digits_classifier import DigitsNetwork
from pipeline.images.digits import digits_data


def digits() -> tuple[Tensor, Tensor]:
    """Return scikit-learn's digits: float32 (1797, 1, 8, 8) in [-1, 1], and their classes."""
    images, labels = digits_data()
    return images.float()[:, None] / 8 - 1, labels.long()


def train_classifier(x_0: Tensor, labels: Tensor, seed: int, epochs: int = 40) -> tuple[DigitsNetwork, float]:
    """Train on a stratified 80 % of the digits and return the network and its accuracy on the other 20 %."""
    from sklearn.model_selection import train_test_split  # of the extra "train"

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


def write_classifier(folder: Path, x_0: Tensor, labels: Tensor, seed: int, command: str) -> None:
    """Train on images x_0 of known classes, print the accuracy, and write the network with a note.

    Args:
        folder: where to write.
        x_0: float32, (N, 1, 8, 8), in [-1, 1].
        labels: int64, (N,).
        seed: of the initial weights, batches and split.
        command: what makes the same files again, for the note.

    """
    torch.manual_seed(seed)
    start = time.perf_counter()
    classifier, accuracy = train_classifier(x_0, labels, seed)
    print(f"classifier: {accuracy:.2%} of the held-out digits right, {time.perf_counter() - start:.0f} s", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(classifier.state_dict(), folder / "classifier.safetensors")
    note = {"command": command, "seed": seed, "held_out_accuracy": accuracy, "held_out_digits": 360}
    (folder / "training.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
