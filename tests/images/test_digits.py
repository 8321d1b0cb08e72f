"""The digits of the package are scikit-learn's."""

import torch
from sklearn.datasets import load_digits

from pipeline.images.digits import DIGITS_SHAPE, digits_data, digits_images


def test_they_are_scikit_learns():
    images, labels = digits_data()
    theirs = load_digits()
    assert torch.equal(images.double(), torch.tensor(theirs.images))
    assert torch.equal(labels.long(), torch.tensor(theirs.target))


def test_their_pixels_are_the_sixteen_steps_from_0_to_255():
    images, pixels = digits_data()[0].double(), digits_images()
    assert pixels.shape == (1797, *DIGITS_SHAPE)
    assert torch.equal(pixels[:, 0], (images / 16 * 255 + 0.5).floor().to(torch.uint8))
