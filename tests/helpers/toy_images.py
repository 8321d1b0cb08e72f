"""A source of images that is not the project's: "toy:12" is twelve gray images of noise."""

import torch

from pipeline.images.base import Images, Source, numbered


def toy_images(number):
    """uint8, (number, 1, 8, 8)."""
    return torch.randint(256, (number, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def open_toy(name, option):
    images = toy_images(int(name.removeprefix("toy:")))
    return Images(name, f"{option} {name}", len(images), numbered(images), lambda known: name)


TOY = Source(lambda name: name.startswith("toy:"), open_toy, lambda: ["toy:N"])
