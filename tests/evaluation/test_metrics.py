"""Our numbers equal torch-fidelity's own on the same images as PNG, and behave as theory says."""

import math

import numpy as np
import pytest
import torch
import torch_fidelity
import toy_metric
from fidelity_names import FIDELITY_NAMES
from PIL import Image
from torch_fidelity import metric_prc

from pipeline.evaluation.extractors import DIGITS, extractor_info, make_extractor
from pipeline.evaluation.features import extract
from pipeline.evaluation.metrics import METRICS, compute_metrics, fid, measure, row_keys
from pipeline.evaluation.metrics.base import Inputs, metric_options
from pipeline.evaluation.reference import Reference
from pipeline.images.digits import digits_images


def save_pngs(folder, images):
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{i:06d}.png")
    return str(folder)


@pytest.mark.parametrize("num_images", [200, pytest.param(900, marks=pytest.mark.slow)])
def test_equal_to_torch_fidelity_on_pngs(tmp_path, num_images):
    reference = digits_images().expand(-1, 3, -1, -1)
    noisy = reference.roll(3, 0)[:num_images].int() + torch.randint(-60, 60, (num_images, 1, 8, 8))
    images = noisy.clamp(0, 255).to(torch.uint8)
    extractor = make_extractor(extractor_info(DIGITS, None), "cpu")
    features, logits = extract(extractor, images, "cpu", 50)
    features_reference, _ = extract(extractor, reference, "cpu", 50)
    ours = compute_metrics(features, logits, Reference.of(features_reference))
    theirs = torch_fidelity.calculate_metrics(
        input1=save_pngs(tmp_path / "generated", images),
        input2=save_pngs(tmp_path / "reference", reference),
        feature_extractor=DIGITS,
        batch_size=50,
        cuda=False,
        cache=False,
        verbose=False,
        save_cpu_ram=True,  # no loader processes
        fid=True,
        isc=True,
        kid=True,
        prc=True,
        **metric_options(num_images, len(reference)),
    )
    for name, theirs_name in FIDELITY_NAMES.items():
        # equal, but that where tensors lie in memory may move a float32 feature's last bit, 6e-8 of it
        assert ours[name] == pytest.approx(theirs[theirs_name], rel=1e-6), name


def normal(n, mean, seed):
    return torch.randn(n, 16, generator=torch.Generator().manual_seed(seed)) + mean


def row_of(name, features, logits, reference):
    """The part of a row that is one metric's."""
    return METRICS[name].row(METRICS[name].measure(Inputs(features, logits, reference)))


def test_fid_of_shifted_gaussians_is_the_squared_distance():
    n, shift = 4000, 1.0
    fid = row_of("fid", normal(n, shift, 0), None, Reference.of(normal(n, 0, 1)))["fid"]
    # bias of FID of two samples in d dimensions is about d (d + 3) / (2 n), as each covariance is estimated
    assert fid == pytest.approx(16 * shift**2, abs=16 * 19 / n + 4 * math.sqrt(8 * 16 / n))


def test_is_of_certain_and_uniform_classes():
    certain = torch.eye(10).repeat(100, 1) * 1000
    measured = row_of("is", normal(1000, 0, 0), certain, Reference.of(normal(1000, 0, 1)))
    # a split of 100 shuffled rows is not quite even: of its log is lost χ²(9) / 200, 9 / 200 in the mean; what is
    # beyond that is within 4 errors of ten splits' mean, √18 / 200 / √10 each, in a number of about 10
    assert measured["is_mean"] == pytest.approx(10 * math.exp(-9 / 200), abs=4 * 10 * math.sqrt(18 / 10) / 200)
    uniform = row_of("is", normal(1000, 0, 0), torch.zeros(1000, 10), Reference.of(normal(1000, 0, 1)))
    assert uniform["is_mean"] == pytest.approx(1, rel=1e-12)  # float64's sums of 100 rows and 10 classes


def test_a_registered_metric_is_computed_with_its_error_and_known_as_a_rows_key(monkeypatch):
    features, reference = normal(200, 1, 0), Reference.of(normal(300, 0, 1))
    before = compute_metrics(features, None, reference)
    assert row_keys() == before.keys() | {"is_mean", "is_std", "is_se"}
    toy_metric.registered(monkeypatch)
    norms = features.double().norm(dim=1)
    after = compute_metrics(features, None, reference)
    assert row_keys() == after.keys()
    expected = {"norm": norms.mean().item(), "norm_se": pytest.approx(norms.std().item() / math.sqrt(200))}
    assert after == before | expected
    assert measure(features, None, reference).keys() == {"fid", "kid", "norm"}


@pytest.mark.parametrize("lacking", ["logits", "reference features"])
def test_what_lacks_its_need_is_none_and_all_else_is_the_same(lacking):
    features, logits, real = normal(200, 0, 0), normal(200, 0, 2), Reference.of(normal(300, 0, 1))
    whole = compute_metrics(features, logits, real)
    if lacking == "logits":
        part = compute_metrics(features, None, real)
    else:
        part = compute_metrics(features, logits, Reference(real.mu, real.sigma, None))
    concerned = {key for metric in METRICS.values() if lacking in metric.needs for key in metric.keys}
    assert len(concerned) == {"logits": 3, "reference features": 7}[lacking]
    assert {key for key in row_keys() - {"options"} if part[key] != whole[key]} == concerned
    assert {part[key] for key in concerned} == {None}
    assert whole["options"].items() - part["options"].items() == (
        {("isc_splits", 10)} if lacking == "logits" else set()
    )


def test_what_two_metrics_read_is_computed_once(monkeypatch):
    """FID's 21 roots, and the distances of precision and recall."""
    calls = []
    for module, name in ((metric_prc, "calculate_precision_recall_part"), (fid, "jackknife")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, real=real, name=name: calls.append(name) or real(*args))
    compute_metrics(normal(200, 0, 0), None, Reference.of(normal(300, 0, 1)))
    assert sorted(calls) == ["calculate_precision_recall_part", "jackknife"]


def test_precision_and_recall_are_not_swapped():
    """Generated images in one of the reference's two places: all are real-looking, half of the real is missed."""
    reference = torch.cat([normal(500, 0, 0), normal(500, 100, 1)])
    measured = compute_metrics(normal(500, 0, 2), torch.zeros(500, 10), Reference.of(reference))
    assert measured["precision"] > 0.5
    assert measured["recall"] < 0.5
    assert measured["precision"] > 1.5 * measured["recall"]


def test_kid_of_one_distribution_is_nothing_and_of_two_is_something():
    same = row_of("kid", normal(2000, 0, 0), None, Reference.of(normal(2000, 0, 1)))
    other = row_of("kid", normal(2000, 0.5, 0), None, Reference.of(normal(2000, 0, 1)))
    assert abs(same["kid_mean"]) < 4 * same["kid_std"]
    assert other["kid_mean"] > 5 * other["kid_std"]


@pytest.mark.parametrize("n", [2, 3, 7, 100])
def test_a_handful_of_images_is_measured_too(n):
    measured = compute_metrics(normal(n, 0, 0), normal(n, 0, 2)[:, :10], Reference.of(normal(50, 0, 1)))
    unknown = {"fid_se", "fid_bias", "fid_inf", "recall_se"} if n < 10 else set()  # five groups of two images
    assert {name for name, value in measured.items() if value is None} == unknown
    numbers = {name: value for name, value in measured.items() if name not in ("options", "jackknife", *unknown)}
    assert all(map(math.isfinite, numbers.values()))


def test_options_are_torch_fidelitys_defaults_for_a_papers_count():
    assert metric_options(50_000, 50_000) == {"kid_subset_size": 1000, "isc_splits": 10, "prc_neighborhood": 3}
    assert metric_options(2000, 1797)["kid_subset_size"] == 224


def test_the_reference_is_every_digit():
    images = digits_images()
    assert (images.shape, images.dtype) == ((1797, 1, 8, 8), torch.uint8)
    assert sorted(np.unique(images)) == [math.floor(level / 16 * 255 + 0.5) for level in range(17)]
