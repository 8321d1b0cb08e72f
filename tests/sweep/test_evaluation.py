"""Another measurement of a sweep: its extractor, weights, reference and folder."""

from dataclasses import replace

import pytest

from pipeline.evaluation.extractors import ExtractorInfo
from pipeline.evaluation.measurement import Measurement
from pipeline.evaluation.reference import ReferenceInfo
from pipeline.sweep import run as module
from pipeline.sweep.run import open_evaluation, open_run


@pytest.fixture
def run(small, monkeypatch):
    """A sweep measured with weights and a reference of the user's own, whose images are drawn."""
    monkeypatch.setattr(module, "pending", lambda *_: [])
    measurement = Measurement(
        ExtractorInfo("vgg16", "own.pth", "0" * 64, 4096),
        ReferenceInfo("own.parquet", "features", "1" * 64, (1, 8, 8)),
        {"extractor": "0" * 64},
    )
    return replace(open_run(small), measurement=measurement)


@pytest.mark.parametrize(
    ("asked", "measured"),
    [
        ((None, None, None), ("vgg16", "own.pth", "own.parquet")),
        ((["vgg16"], None, None), ("vgg16", "own.pth", "own.parquet")),
        ((["vgg16"], ["new.pth"], None), ("vgg16", "new.pth", "own.parquet")),
        ((None, ["vgg16=new.pth"], None), ("vgg16", "new.pth", "own.parquet")),
        ((["inception-v3-compat"], None, None), ("inception-v3-compat", None, "own.parquet")),
        ((["inception-v3-compat"], ["new.pth"], "cifar10-val"), ("inception-v3-compat", "new.pth", "cifar10-val")),
        ((None, None, "cifar10-val"), ("vgg16", "own.pth", "cifar10-val")),
    ],
)
def test_what_is_not_asked_for_is_the_sweeps_but_weights_go_with_their_extractor(run, monkeypatch, asked, measured):
    given = []

    def opened(extractor, weights, reference, image_shape, identity, known):
        given.append((extractor, weights, reference))
        assert (image_shape, identity) == (run.model.image_shape, run.identity)
        assert known == ("1" * 64 if reference == "own.parquet" else None)  # another reference has another identity
        return replace(run.measurement, identity={"extractor": "another"})

    monkeypatch.setattr(module, "open_measurement", opened)
    chosen = open_evaluation(run, *asked)
    assert given == [measured]
    assert chosen.measurement.path.startswith(f"evaluations/{measured[0]}-")


def test_the_sweeps_own_measurement_is_its_own_again(run, monkeypatch):
    monkeypatch.setattr(module, "open_measurement", lambda *_: replace(run.measurement, path=""))
    assert open_evaluation(run, ["vgg16"], None, None) == run
