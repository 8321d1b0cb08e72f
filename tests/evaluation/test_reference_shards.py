"""A reference in several files: its features are those of one, its digest is of the shards', and each is checked."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from references import make

from pipeline import UserError
from pipeline.evaluation import reference_images
from pipeline.evaluation.metrics import compute_metrics
from pipeline.evaluation.reference import Part, Reference, ReferenceShard, read_part, write_part
from pipeline.evaluation.reference_images import plan_reference
from pipeline.images.digits import digits_images
from pipeline.storage.store import DamagedFileError, Storage


@pytest.mark.parametrize(
    ("number", "batch", "cuts"),
    [
        (5000, 100, [(0, 5000)]),
        (5001, 100, [(0, 5000), (5000, 5001)]),
        (12000, 64, [(0, 4992), (4992, 9984), (9984, 12000)]),
        (9000, 6000, [(0, 6000), (6000, 9000)]),
        (10000, 2600, [(0, 2600), (2600, 5200), (5200, 7800), (7800, 10000)]),
    ],
)
def test_shards_are_whole_batches_of_5000_images_at_most(number, batch, cuts):
    assert plan_reference(number, batch) == [ReferenceShard(*cut) for cut in cuts]


def test_features_are_bit_for_bit_those_of_one_file_and_the_digest_is_of_the_shards(monkeypatch, extractor):
    """1,797 digits in batches of 100, the last of 97: in one shard, and in shards of 500."""
    whole = make("digits", extractor, 100)[1]
    monkeypatch.setattr(reference_images, "SHARD_SIZE", 599)
    cut = make("digits", extractor, 100)[1]
    assert torch.equal(cut.features, whole.features)
    fids = [compute_metrics(whole.features[:300] + 0.1, None, reference)["fid"] for reference in (whole, cut)]
    assert fids[0] == fids[1]
    pixels = digits_images().numpy()
    digests = [hashlib.sha256(pixels[first : first + 500].tobytes()).hexdigest() for first in range(0, 1797, 500)]
    assert whole.provenance["digest"] == hashlib.sha256(pixels.tobytes()).hexdigest()
    assert cut.provenance == whole.provenance | {
        "digest": hashlib.sha256("".join(digests).encode()).hexdigest(),
        "shard_size": 500,
    }


def photos(folder, number):
    """Gray noise, every third with alpha, beside a text."""
    rng = np.random.default_rng(0)
    for i in range(number):
        image = Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8))
        (image.convert("LA") if i % 3 == 0 else image).save(folder / f"{i:02d}.png")
    (folder / "labels.txt").touch()


def test_what_was_left_out_and_converted_is_that_of_one_file(tmp_path, monkeypatch, extractor):
    photos(tmp_path, 10)
    whole = make(tmp_path, extractor, 2)[1]
    monkeypatch.setattr(reference_images, "SHARD_SIZE", 4)
    cut = make(tmp_path, extractor, 2)[1]
    assert whole.provenance["converted"] == {"alpha dropped": 4}
    for name in ("converted", "left_out", "num_images", "source"):
        assert cut.provenance[name] == whole.provenance[name]


def test_all_that_is_wrong_in_any_shard_is_named_at_once(tmp_path, monkeypatch, extractor):
    photos(tmp_path, 10)
    for name in ("03.png", "09.png"):
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.setattr(reference_images, "SHARD_SIZE", 4)
    with pytest.raises(UserError, match=r"gray 8×8: 2 of 10 images cannot be used: 03\.png is no im.*; 09\.png is no"):
        make(tmp_path, extractor, 2)


def reference(features, digest, **provenance):
    return Reference(None, None, features, {"digest": digest} | provenance)


def test_equal_features_decide_where_digests_are_of_other_shards_and_only_there():
    features = torch.rand(50, 8, generator=torch.Generator().manual_seed(0))
    rounded = features * (1 + 1e-5)
    moved = features.clone()
    moved[7] = features[8]  # one image of fifty is another
    whole, cut = reference(features, "a"), reference(rounded, "b", shard_size=20)
    assert whole.same_images(cut)
    assert cut.same_images(whole)
    assert whole.same_images(reference(features, "c", shard_size=20))
    assert not whole.same_images(reference(moved, "b", shard_size=20))
    assert not whole.same_images(reference(features[:49], "b", shard_size=20))
    assert not whole.same_images(reference(features, "b"))
    assert whole.same_images(reference(moved, "a"))  # of one cut the digest decides
    assert not cut.same_images(reference(rounded, "a", shard_size=20))
    assert cut.same_images(reference(features, "a", shard_size=25))
    statistics = Reference(np.zeros(8), np.eye(8), None, {"digest": "b", "shard_size": 20})
    assert not whole.same_images(statistics)


def test_a_shard_of_other_images_is_refused(tmp_path):
    storage, part = Storage(str(tmp_path)), Part(torch.rand(20, 8), {"digest": "a"})
    write_part(storage, "a.parquet", ReferenceShard(20, 40), "content:1", part)
    assert torch.equal(read_part(storage, "a.parquet", ReferenceShard(20, 40), "content:1").features, part.features)
    for shard in (ReferenceShard(0, 20), ReferenceShard(20, 41)):
        with pytest.raises(DamagedFileError, match="does not hold exactly the images"):
            read_part(storage, "a.parquet", shard, "content:1")
    with pytest.raises(DamagedFileError, match="it is of the reference content:1, this run has content:2"):
        read_part(storage, "a.parquet", ReferenceShard(20, 40), "content:2")
