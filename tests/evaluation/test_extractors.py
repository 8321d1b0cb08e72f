"""Extractors: the shipped digits classifier, Inception's weights once a node, and what is recorded of each."""

import functools
import http.server
import json
import shutil
import threading
from dataclasses import replace

import pytest
import torch
import torchvision
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch_fidelity import feature_extractor_inceptionv3
from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

from pipeline import UserError
from pipeline.evaluation.extractors import (
    DIGITS,
    DIGITS_WEIGHTS,
    EXTRACTORS,
    INCEPTION,
    ExtractorInfo,
    extractor_info,
    has_logits,
    make_extractor,
)
from pipeline.evaluation.features import extract
from pipeline.images.digits import digits_images
from pipeline.storage.local import sha256_of


def test_the_shipped_classifier_is_as_good_as_its_note_says():
    note = json.loads((DIGITS_WEIGHTS.parent / "training.json").read_text())
    labels = torch.tensor(load_digits().target)
    _, held_out = train_test_split(torch.arange(len(labels)), test_size=0.2, stratify=labels, random_state=note["seed"])
    features, logits = extract(
        make_extractor(extractor_info(DIGITS, None), "cpu"), digits_images()[held_out], "cpu", 360
    )
    accuracy = (logits.argmax(1) == labels[held_out]).double().mean().item()
    assert accuracy >= 0.98
    # rounding the sixteenths to 255 levels may move one digit of 360
    assert abs(accuracy - note["held_out_accuracy"]) <= 1 / 360 + 1e-9
    assert features.shape == (360, 64)


def test_the_shipped_classifier_is_described_as_one_that_is_loaded():
    loaded = extractor_info(DIGITS, str(DIGITS_WEIGHTS))
    assert extractor_info(DIGITS, None) == replace(loaded, weights=None)


@pytest.fixture
def served(tmp_path, inception_weights, monkeypatch):
    """A web server on loopback that has the weights, named by their digest as torch-fidelity's are: requests so far."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = f"weights-inception-{sha256_of(inception_weights)[:8]}.pth"
    (tmp_path / "www").mkdir()
    shutil.copy(inception_weights, tmp_path / "www" / name)
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            requests.append(self.path)

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path / "www"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(
        feature_extractor_inceptionv3, "URL_INCEPTION_V3", f"http://127.0.0.1:{server.server_port}/{name}"
    )
    yield requests, tmp_path / "www" / name
    server.shutdown()
    server.server_close()


def test_inceptions_weights_are_fetched_once_a_node(served, inception_weights):
    requests, _ = served
    described = []
    threads = [threading.Thread(target=lambda: described.append(extractor_info(INCEPTION, None))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(requests) == 1
    assert described == [ExtractorInfo(INCEPTION, None, sha256_of(inception_weights), 2048)] * 3
    assert extractor_info(INCEPTION, str(inception_weights)).digest == described[0].digest


def test_a_download_that_is_not_what_its_name_says_is_refused(served):
    _, file = served
    with file.open("r+b") as content:
        content.seek(1000)
        content.write(b"\xff\x00\xff")
    with pytest.raises(UserError, match="invalid hash value"):
        extractor_info(INCEPTION, None)


def test_other_weights_on_a_node_are_an_error(inception_weights):
    with pytest.raises(ValueError, match="on this node, not 0000"):
        make_extractor(ExtractorInfo(INCEPTION, str(inception_weights), "0" * 64, 2048), "cpu")


def test_a_form_of_inception_is_as_near_to_float64_as_the_plain_one(inception_weights):
    """And differs from it in the last bits. Rounding errors of one size may be twice as large in one draw of them."""
    images = digits_images()[:2]
    info = extractor_info(INCEPTION, str(inception_weights))
    exact = make_extractor(info, "cpu").double()
    exact.feature_extractor_internal_dtype = torch.float64  # its own option "float64" means float32
    expected = extract(exact, images, "cpu", 2)
    plain, ordered = (
        extract(make_extractor(info, "cpu", form), images, "cpu", 2) for form in ("plain", "channels_last")
    )
    for one, other, true in zip(plain, ordered, expected, strict=True):
        assert 0 < (other - one).abs().max() <= 3 * (one - true).abs().max()
        assert (other - true).square().mean() <= 2 * (one - true).square().mean()


def test_an_extractor_without_logits_gives_features_alone(one_layer):
    described = extractor_info(one_layer, None)
    features, logits = extract(make_extractor(described, "cpu"), digits_images()[:20], "cpu", 10)
    expected, _ = extract(make_extractor(extractor_info(DIGITS, None), "cpu"), digits_images()[:20], "cpu", 10)
    assert logits is None
    assert torch.equal(features, expected)
    assert described.width == 64
    assert described.digest == extractor_info(one_layer, None).digest != extractor_info(DIGITS, None).digest


def test_who_has_logits():
    """By reading what each layer is: a classifier's last one, against a hidden one or an embedding."""
    by_hand = {DIGITS: True, INCEPTION: True, "vgg16": False}
    by_hand |= {f"clip-{name}": False for name in ("rn50", "rn101", "rn50x4", "rn50x16", "rn50x64")}
    by_hand |= {f"clip-vit-{name}": False for name in ("b-32", "b-16", "l-14", "l-14-336px")}
    by_hand |= {f"dinov2-vit-{size}-14": False for size in "sblg"}
    assert {name: has_logits(name) for name in EXTRACTORS} == by_hand
    assert {*EXTRACTORS} == {*FEATURE_EXTRACTORS_REGISTRY} - {"quarters"}  # a test's own
    for name, kind in EXTRACTORS.items():
        features, scores = map(FEATURE_EXTRACTORS_REGISTRY[name].get_default_feature_layer_for_metric, ("fid", "isc"))
        assert (features, scores) == (kind.features, kind.logits or features)


@pytest.mark.slow
def test_vgg16_by_name_with_random_weights(tmp_path):
    """Half a gigabyte in the format of torchvision's file: the features are torch-fidelity's."""
    torch.manual_seed(0)
    file = tmp_path / "vgg16.pth"
    torch.save(torchvision.models.vgg16().state_dict(), file)
    described = extractor_info("vgg16", str(file))
    assert (described.width, described.digest) == (4096, sha256_of(file))
    features, logits = extract(make_extractor(described, "cpu"), digits_images()[:4], "cpu", 4)
    theirs = FeatureExtractorVGG16("vgg16", ["fc2_relu"], feature_extractor_weights_path=str(file))
    (expected,) = theirs(digits_images()[:4].expand(-1, 3, -1, -1))
    assert logits is None
    torch.testing.assert_close(features, expected)
    assert features.std() > 0
