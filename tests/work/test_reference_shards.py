"""A reference of several files is resumed, verified and repaired by file; one file of an earlier release stays."""

import pytest
import torch
from in_process import InProcess

from pipeline.evaluation import reference_images
from pipeline.evaluation.reference import ReferenceShard, write_reference
from pipeline.storage.store import DamagedFileError
from pipeline.sweep.measured import measured_reference
from pipeline.sweep.run import open_run, saved_run
from pipeline.work.claim import claim
from pipeline.work.extract import ExtractWorker
from pipeline.work.flow import flow
from pipeline.work.inventory import Inventory
from pipeline.work.perform import IncompleteError
from pipeline.work.verify import set_aside, verify

CUTS = [(0, 592), (592, 1184), (1184, 1776), (1776, 1797)]  # whole batches of 16
FILES = [f"features/reference/images-{first:09d}-{end:09d}.parquet" for first, end in CUTS]


@pytest.fixture
def begun(small, monkeypatch):
    """A sweep of one setting of 16 images beside the digits, in files of 600 at most."""
    monkeypatch.setattr(reference_images, "SHARD_SIZE", 600)
    run = open_run(small.model_copy(update={"eta": (0.0,), "steps": (2,), "num_images": 32, "shard_size": 16}))
    claim(run)
    return run


@pytest.fixture
def extracted(monkeypatch):
    """The shards of references that workers have begun, as they begin them."""
    shards, of_reference = [], ExtractWorker.of_reference

    def recorded(self, shard, paths):
        shards.append(shard)
        return of_reference(self, shard, paths)

    monkeypatch.setattr(ExtractWorker, "of_reference", recorded)
    return shards


def shards(*indices):
    return [ReferenceShard(*CUTS[i]) for i in indices]


def rows(run):
    """The row but for times: those of drawing."""
    (row,) = run.metrics().values()
    return {name: value for name, value in row.items() if name not in ("seconds", "images_per_second")}


def problems(run):
    inventory = Inventory(saved_run(run.config.out))
    named = verify(inventory, InProcess())
    return inventory, named, [(problem.kind, problem.path) for problem in named if problem.path != "metrics.json"]


def broken_at(monkeypatch, first, error):
    """Let the shard that begins there end in an error, before it is committed."""
    plain = reference_images.extract_parts

    def failing(info, images, shard, *how):
        if shard.first == first:
            raise error
        return plain(info, images, shard, *how)

    monkeypatch.setattr("pipeline.work.extract.extract_parts", failing)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("not this one")])
def test_what_is_missing_alone_is_extracted_again(begun, extracted, monkeypatch, error):
    """After a kill at the second shard, and after a failure of it; the numbers are those of one file."""
    with monkeypatch.context() as patch:
        broken_at(patch, 592, error)
        with pytest.raises((KeyboardInterrupt, IncompleteError)) as raised:
            flow(begun, InProcess())
    if isinstance(error, ValueError):
        assert raised.value.failures == {"images 592 to 1183 of the reference": "ValueError: not this one"}
        assert begun.metrics() == {}
    left = [i for i, path in enumerate(FILES) if path not in begun.storage.find()]
    assert 1 in left
    assert len(left) < len(FILES)
    extracted.clear()
    flow(begun, InProcess())
    assert extracted == shards(*left)
    extracted.clear()
    cut = rows(begun)
    begun.storage.move(begun.paths.row(begun.settings[0].slug), "_set-aside/row")
    monkeypatch.setattr(reference_images, "SHARD_SIZE", 5000)
    flow(begun, InProcess())
    assert extracted == ["the reference"]
    whole = rows(begun)
    assert cut.pop("reference")["digest"] != whole.pop("reference")["digest"]
    assert cut == whole


def test_verify_names_a_damaged_shard_and_a_repair_brings_its_digest_back(begun, extracted):
    flow(begun, InProcess())
    before = {path: begun.storage.read(path) for path in FILES}
    digest = measured_reference(begun.storage, begun.measurement).provenance["digest"]
    assert problems(begun)[2] == []
    damages = {
        "a flipped bit": before[FILES[1]][:300] + bytes([before[FILES[1]][300] ^ 1]) + before[FILES[1]][301:],
        "another shard": before[FILES[2]],
    }
    for name, content in damages.items():
        begun.storage.write(FILES[1], content)
        assert problems(begun)[2] == [("bad", FILES[1])], name
        with pytest.raises(DamagedFileError, match="images-000000592-000001184"):
            measured_reference(begun.storage, begun.measurement)
    surplus = "features/reference/images-000000000-000000600.parquet"  # of another cut
    begun.storage.write(surplus, before[FILES[0]])
    inventory, named, kinds = problems(begun)
    assert kinds == [("bad", FILES[1]), ("surplus", surplus)]
    row = begun.paths.row(begun.settings[0].slug)
    assert set_aside(inventory, named) == sorted([FILES[1], surplus, row])
    extracted.clear()
    flow(begun, InProcess())
    assert extracted == shards(1)
    assert {path: begun.storage.read(path) for path in FILES} == before
    assert measured_reference(begun.storage, begun.measurement).provenance["digest"] == digest
    assert rows(begun)["reference"]["digest"] == digest
    assert problems(begun)[2] == []
    begun.storage.move(FILES[3], "_set-aside/last")
    assert problems(begun)[2] == [("missing", FILES[3])]


def test_one_file_of_an_earlier_release_is_used_as_it_is(begun, extracted, monkeypatch):
    """Its description did not say how many images there are."""
    flow(begun, InProcess())
    whole = measured_reference(begun.storage, begun.measurement)
    for path in FILES:
        begun.storage.move(path, f"_set-aside/{path}")
    write_reference(begun.storage, begun.paths.reference, whole)
    saved = begun.storage.read_json("sweep.json")
    assert saved["evaluation"]["reference"].pop("num_images") == 1797
    begun.storage.write_json("sweep.json", saved)
    extracted.clear()
    for run in (open_run(begun.config), saved_run(begun.config.out)):
        flow(run, InProcess())
        assert torch.equal(measured_reference(run.storage, run.measurement).features, whole.features)
    assert extracted == []
    assert problems(begun)[2] == []
