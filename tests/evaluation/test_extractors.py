"""The digits classifier that is shipped: what it knows, and what its note says."""

import json

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from pipeline.evaluation.extractors import DIGITS, DIGITS_WEIGHTS, describe, make_extractor
from pipeline.evaluation.features import extract
from pipeline.evaluation.real_images import digits_images


def test_the_shipped_classifier_is_as_good_as_its_note_says():
    note = json.loads((DIGITS_WEIGHTS.parent / "training.json").read_text())
    labels = torch.tensor(load_digits().target)
    _, held_out = train_test_split(torch.arange(len(labels)), test_size=0.2, stratify=labels, random_state=note["seed"])
    features, logits = extract(make_extractor(describe(DIGITS, None), "cpu"), digits_images()[held_out], "cpu", 360)
    accuracy = (logits.argmax(1) == labels[held_out]).double().mean().item()
    assert accuracy >= 0.98
    # rounding the sixteenths to 255 levels may move one digit of 360
    assert abs(accuracy - note["held_out_accuracy"]) <= 1 / 360 + 1e-9
    assert features.shape == (360, 64)
