"""Image files: lossless, checked against every promise they make, and pictures to other readers."""

import hashlib
import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from schedules import SCHEDULE

from pipeline.images.pixels import pixel_digest
from pipeline.storage.store import DamagedFileError, Storage
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import settings
from pipeline.sweep.images import ImageFile, read_first_images, read_images, write_images
from pipeline.sweep.shards import Shard

SHARD = Shard(settings(SweepConfig(steps=(5,), eta=("hat",)), SCHEDULE)[0], 10, 22)


def pixels(channels, size=8):
    return np.random.default_rng(0).integers(0, 256, (12, size, size, channels), dtype=np.uint8)


def write(storage, images, shard=SHARD, fingerprint="f", digest=None):
    info = ImageFile(fingerprint, len(images), digest or pixel_digest(images), 1.5, "cpu", "2")
    write_images(storage, shard, images, info, [0, 200, 400, 600, 800])
    return info


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_come_back(tmp_path, channels):
    storage = Storage(str(tmp_path))
    images = pixels(channels)
    info = write(storage, images)
    back, footer = read_images(storage, SHARD, "f")
    assert np.array_equal(back, images)
    assert footer == info


def test_the_digest_is_of_every_pixel():
    images = pixels(3)
    assert pixel_digest(images) == hashlib.sha256(images.tobytes()).hexdigest()
    for i in range(len(images)):
        changed = images.copy()
        changed[i, -1, -1, -1] ^= 1
        assert pixel_digest(changed) != pixel_digest(images)


def test_a_file_says_its_setting_and_shows_pictures(tmp_path):
    write(Storage(str(tmp_path)), pixels(3))
    table = pq.read_table(tmp_path / SHARD.path("images"), partitioning=None)
    row = table.to_pylist()[0]
    assert (row["seed"], row["steps"], row["eta"], row["spacing"], row["sampler"]) == (10, 5, "hat", "linear", "ddim")
    picture = Image.open(io.BytesIO(row["image"]["bytes"]))
    assert (picture.format, picture.size, picture.mode) == ("PNG", (8, 8), "RGB")
    assert b"huggingface" in table.schema.metadata


@pytest.mark.parametrize("size", [8, 256])
def test_row_groups_are_small(tmp_path, size):
    write(Storage(str(tmp_path)), pixels(3, size))
    assert pq.ParquetFile(tmp_path / SHARD.path("images")).metadata.row_group(0).num_rows == 12


def test_the_first_images_are_those_of_the_whole_shard(tmp_path):
    storage = Storage(str(tmp_path))
    write(storage, pixels(3))
    whole, _ = read_images(storage, SHARD, "f")
    for count in (1, 5, 100):
        assert np.array_equal(read_first_images(storage, SHARD, "f", count), whole[:count])
    with pytest.raises(DamagedFileError, match="has fingerprint f, this run has g"):
        read_first_images(storage, SHARD, "g", 5)
    file = tmp_path / SHARD.path("images")
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)
    with pytest.raises(DamagedFileError):
        read_first_images(storage, SHARD, "f", 5)


def test_every_broken_promise_is_found(tmp_path):
    storage = Storage(str(tmp_path))
    with pytest.raises(DamagedFileError, match="is missing"):
        read_images(storage, SHARD, "f")
    write(storage, pixels(1))
    with pytest.raises(DamagedFileError, match="has fingerprint f, this run has g"):
        read_images(storage, SHARD, "g")
    write(storage, pixels(1), digest="0" * 64)
    with pytest.raises(DamagedFileError, match="digest"):
        read_images(storage, SHARD, "f")
    shorter = Shard(SHARD.setting, 10, 21)
    write(storage, pixels(1)[:11], shorter)
    file = tmp_path / SHARD.path("images")
    file.write_bytes((tmp_path / shorter.path("images")).read_bytes())
    with pytest.raises(DamagedFileError, match="exactly the seeds 10 to 21"):
        read_images(storage, SHARD, "f")
    other = Shard(settings(SweepConfig(steps=(5,), eta=(0.0,)), SCHEDULE)[0], 10, 22)
    write(storage, pixels(1), other)
    file.write_bytes((tmp_path / other.path("images")).read_bytes())
    with pytest.raises(DamagedFileError, match="it holds images of ddim-S5-eta0-linear"):
        read_images(storage, SHARD, "f")
    for damaged in (b"", file.read_bytes()[:-50], b"PAR1" + bytes(500) + b"PAR1"):
        file.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match="seeds-000000010-000000022"):
            read_images(storage, SHARD, "f")
