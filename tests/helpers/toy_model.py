"""A model that is not the project's, registered by one line: it predicts v of latents of images in two classes."""

import functools
import hashlib
import math

import torch
from torch import nn

from pipeline.diffusion.model import Checkpoint, Model, ModelInfo
from pipeline.sweep.model import MODELS

LATENT, IMAGE = (2, 4, 4), (1, 8, 8)


class ToyNetwork(nn.Module):
    """A convolution of x_t, shifted by time and class."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(2, 16, 3, padding=1)
        self.of_class, self.of_time = nn.Embedding(2, 16), nn.Linear(1, 16)
        self.outer = nn.Conv2d(16, 2, 3, padding=1)

    def forward(self, x_t, node, labels):
        weight = self.inner.weight
        shift = self.of_class(labels) + self.of_time(torch.full((len(x_t), 1), node.t / 1000).to(weight))
        return self.outer(torch.tanh(self.inner(x_t.to(weight)) + shift[:, :, None, None])).to(x_t)


@functools.cache
def weights(seed):
    """The network's state, and the orthonormal rows (32, 64) that latents are the weights of."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ToyNetwork().state_dict(), torch.linalg.qr(torch.randn(64, 32)).Q.T.contiguous()


class Toy(Checkpoint):
    """Its identity is the digest of its weights, as that of any checkpoint."""

    def __init__(self, seed=0):
        self.state, self.rows = weights(seed)
        data = b"".join(tensor.numpy().tobytes() for tensor in (*self.state.values(), self.rows))
        betas = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 2e-2}
        kind = {"prediction_type": "v_prediction", "num_classes": 2, "ema": None}
        self.info = ModelInfo(IMAGE, LATENT, digest=hashlib.sha256(data).hexdigest(), **betas, **kind)

    def load(self, device, precision="float32", form="plain"):
        network = ToyNetwork()
        network.load_state_dict(self.state)
        network.to(device, getattr(torch, precision)).requires_grad_(False)
        rows = self.rows.to(device)
        return Model(
            self.info,
            network,
            decode=lambda z: (z.flatten(1) @ rows).view(-1, *IMAGE),
            encode=lambda x: (x.flatten(1) @ rows.T).view(-1, *LATENT),
        )


MODELS["toy"] = Toy
assert math.prod(LATENT) * 2 == math.prod(IMAGE)
