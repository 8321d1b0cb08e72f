"""What a sweep has to do, and another measurement of it: its extractor, weights, reference and folder."""

from dataclasses import replace

import pytest

from pipeline.evaluation.extractors import ExtractorInfo
from pipeline.evaluation.measurement import Measurement
from pipeline.evaluation.reference import ReferenceInfo
from pipeline.storage.sealed import fingerprint
from pipeline.sweep.run import open_run
from pipeline.work import complete


def test_a_plan_says_what_is_there_and_what_is_to_do(small, capsys):
    """Of four shards a setting, the last of 15 images, the first setting has two files."""
    run = open_run(small)
    for shard in (run.shards()[0], run.shards()[3]):
        run.storage.write(shard.path("images"), b"x")
    complete.print_plan(run)
    assert capsys.readouterr().out.splitlines() == [
        "ddim-S5-eta0-linear            5 calls an image, 2 of 4 shards found",
        "ddim-S5-etahat-linear-clip     5 calls an image, 0 of 4 shards found",
        f"2 settings × 90 images in {small.out}, fingerprint {fingerprint(run.identity)}",
        "2 shards found, 6 missing: 700 network calls × images to do",
    ]


@pytest.fixture
def run(small):
    """A sweep measured with weights and a reference of the user's own."""
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
        (("vgg16", None, None), ("vgg16", "own.pth", "own.parquet")),
        (("vgg16", "new.pth", None), ("vgg16", "new.pth", "own.parquet")),
        ((None, "new.pth", None), ("vgg16", "new.pth", "own.parquet")),
        (("inception-v3-compat", None, None), ("inception-v3-compat", None, "own.parquet")),
        (("inception-v3-compat", "new.pth", "cifar10-val"), ("inception-v3-compat", "new.pth", "cifar10-val")),
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

    monkeypatch.setattr(complete, "open_measurement", opened)
    chosen = complete._chosen(run, *asked)
    assert given == [measured]
    assert chosen.path.startswith(f"evaluations/{measured[0]}-")


def test_the_sweeps_own_measurement_is_its_own_again(run, monkeypatch):
    monkeypatch.setattr(complete, "open_measurement", lambda *_: replace(run.measurement, path=""))
    assert complete._chosen(run, "vgg16", None, None) == run.measurement
