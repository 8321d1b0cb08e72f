"""What of two outputs differs, when their images are pairs, and which settings are compared."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from pipeline import UserError
from pipeline.evaluation.difference import Difference
from pipeline.evaluation.features import Features
from pipeline.evaluation.metrics import measure
from pipeline.evaluation.reference import Reference, write_reference
from pipeline.regression.compared import Compared, compared, equal_features
from pipeline.regression.contrast import Beside, Contrast
from pipeline.regression.contrast_pages import to_json, to_markdown
from pipeline.regression.sides import Side, common_reference, differing, pairs, same_noise
from pipeline.storage.store import Storage
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.run import open_run

ALIKE = (SimpleNamespace(slug="a", nfe=5),) * 2
"""A setting beside itself."""


@pytest.fixture(scope="module")
def side(tmp_path_factory):
    out = tmp_path_factory.mktemp("sides") / "out"
    config = SweepConfig(out=str(out), steps=(5, 10), eta=(0.0, 1.0), num_images=90, batch_size=10, shard_size=30)
    return Side("out", open_run(config))


def with_identity(side, **changes):
    return Side("other", replace(side.run, identity=side.run.identity | changes))


def of_steps(side, *steps):
    return Side(str(steps), replace(side.run, config=side.run.config.model_copy(update={"steps": steps})))


@pytest.mark.parametrize(
    ("changes", "shown", "are_pairs"),
    [
        ({}, {}, True),
        ({"model": "b" * 64}, {"model": ("7014003a4d9b", "bbbbbbbbbbbb")}, True),
        ({"dtype": "bfloat16", "batch_size": 30}, {"dtype": ("float32", "bfloat16"), "batch size": ("10", "30")}, True),
        ({"shard_size": 90}, {}, True),
        ({"seed": 7}, {"seed": ("0", "7")}, False),
        ({"num_images": 30}, {"num images": ("90", "30")}, False),
        ({"noise": "another/2"}, {"noise": ("philox4x32-10/box-muller/1", "another/2")}, False),
    ],
)
def test_conditions_that_differ(side, changes, shown, are_pairs):
    other = with_identity(side, **changes)
    assert (differing(side, other), same_noise(side, other)) == (shown, are_pairs)


def test_images_of_another_shape_are_no_pairs(side):
    model = replace(side.run.model, image_shape=(3, 8, 8))
    assert not same_noise(side, Side("rgb", replace(side.run, model=model)))


@pytest.mark.parametrize(
    ("devices", "releases", "shown"),
    [
        ([("A", "A"), ("A", "A")], [("2.9", "2.9")] * 2, {}),
        ([("A", "B"), ("A", "A")], [("2.9", "2.10")] * 2, {"device": ("A", "A/B"), "torch": ("2.9", "2.10")}),
    ],
)
def test_devices_and_releases_are_those_of_the_files(side, devices, releases, shown):
    metric = Compared(1.0, 1.0, Difference(0.0, 0.0, 19))
    contrasts = [
        Contrast({"fid": metric, "is": metric}, ALIKE, False, (1.0, 1.0), *names)
        for names in zip(devices, releases, strict=True)
    ]
    assert Beside(side, side, True, contrasts).differing == shown


def test_settings_that_all_have_in_the_baselines_order(side):
    both, ten = of_steps(side, 10, 5), of_steps(side, 10)
    slugs = [[(one.slug, two.slug) for one, two in of_other] for of_other in pairs(both, [side, ten])]
    expected = [(slug, slug) for slug in ("ddim-S10-eta0-linear", "ddim-S10-eta1-linear")]
    assert slugs == [expected, expected]
    assert len(pairs(both, [side])[0]) == 4
    with pytest.raises(UserError, match=r"\(5,\), \(10,\) have no setting in common"):
        pairs(of_steps(side, 5), [ten])


@pytest.mark.parametrize(
    ("value", "se", "same", "quality"),
    [
        (0.6, 0.2, False, "worse"),
        (-0.6, 0.2, False, "better"),
        (0.6, 0.4, False, "noise"),
        (0.6, None, False, "unknown"),
        (0.0, 0.0, True, "same"),
    ],
)
def test_a_lower_fid_is_better(value, se, same, quality):
    metric = Compared(1.0, 1.0 + value, Difference(value, se, 19))
    assert Contrast({"fid": metric}, ALIKE, same, (1, 1), ("", ""), ("", "")).quality == quality


def test_folders_that_were_known_by_sizes_and_by_content_are_one_reference_by_their_pixels(side):
    def measured(identity, digest):
        storage = Storage(f"{side.run.config.out}/{identity[:4]}")
        reference = Reference.of(torch.rand(9, 4), {"digest": digest})
        run = replace(side.run, config=side.run.config.model_copy(update={"out": storage.url}))
        write_reference(storage, run.paths.reference, reference)
        by = replace(run.measurement, identity=run.measurement.identity | {"reference": identity})
        return Side(identity, replace(run, measurement=by))

    earlier, now = measured("files:1", "same"), measured("content:2", "same")
    assert common_reference([earlier, now]).provenance == {"digest": "same"}
    with pytest.raises(UserError, match="content of the reference same and another"):
        common_reference([earlier, measured("content:3", "another")])


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("extractor_weights", "b" * 64, "extractor weights "),
        ("extractor", "inception-v3-compat", "extractor digits-classifier and inception-v3-compat"),
        ("reference", "photos", "reference digits and photos"),
    ],
)
def test_what_was_measured_otherwise_is_refused(side, name, value, says):
    """Other weights of one extractor too: their features have nothing in common."""
    measurement = side.run.measurement
    changed = replace(measurement, identity=measurement.identity | {name: value})
    other = Side("other", replace(side.run, measurement=changed))
    with pytest.raises(UserError, match=f"out and other cannot be compared: {says}") as refused:
        common_reference([side, side, other])
    assert value in str(refused.value)


def test_an_extractor_without_logits_has_no_is(side):
    """Equal features are the same without logits, and not beside features with some."""
    features = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    reference = Reference.of(torch.randn(90, 4, generator=torch.Generator().manual_seed(1)))
    measured = measure(features, None, reference)
    one, without = (Features([*range(40)], features, logits, {}) for logits in (features, None))
    assert [equal_features(*pair) for pair in ((one, one), (without, without), (one, without))] == [True, True, False]
    assert not equal_features(one, replace(one, logits=features + 1))
    assert not equal_features(without, replace(without, features=features + 1))
    metrics = compared(measured, measured, in_pairs=True)
    assert {name: one.difference.value for name, one in metrics.items()} == {"fid": 0, "kid": 0}
    contrast = Contrast(metrics, ALIKE, True, (1.0, 1.0), ("A", "A"), ("2", "2"))
    besides = [Beside(side, side, True, [contrast])]
    assert to_json(besides)["outputs"][0]["settings"][0]["is"] is None
    row = next(line for line in to_markdown(besides).splitlines() if line.startswith("| a |"))
    assert row.split(" | ")[4] == "–"
