"""A folder as reference: its identity follows its pixels, and what is read, converted and wrong is said."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from references import make

from pipeline import UserError
from pipeline.evaluation.digits import DIGITS
from pipeline.evaluation.extractors import make_extractor
from pipeline.evaluation.measurement import open_measurement
from pipeline.evaluation.reference import reference_info
from pipeline.evaluation.reference_images import make_references
from pipeline.images.pixels import png


def test_images_of_several_shapes_are_refused_by_name(tmp_path, extractor):
    for i, size in enumerate([8, 8, 9]):
        Image.new("L", (size, size)).save(tmp_path / f"{i}.png")
    with pytest.raises(UserError, match=r"first is gray 8×8: 1 of 3 images cannot be used: 2\.png is gray 9×9$"):
        make(tmp_path, extractor, 10)


def test_a_folder_is_another_reference_when_its_files_change(tmp_path, extractor):
    for name in ("a.png", "b.png"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    first = reference_info(str(tmp_path), extractor).identity
    assert reference_info(str(tmp_path), extractor).identity == first
    Image.new("L", (8, 8)).save(tmp_path / "c.png")
    assert reference_info(str(tmp_path), extractor).identity != first


def test_a_folder_is_another_reference_when_pixels_change_and_sizes_do_not(tmp_path, extractor):
    for name in ("a.pgm", "b.pgm"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    first, size = reference_info(str(tmp_path), extractor), (tmp_path / "a.pgm").stat().st_size
    (tmp_path / ".DS_Store").touch()  # which is not read
    assert reference_info(str(tmp_path), extractor).identity == first.identity
    Image.new("L", (8, 8), 255).save(tmp_path / "b.pgm")
    assert (tmp_path / "b.pgm").stat().st_size == size
    assert reference_info(str(tmp_path), extractor).identity != first.identity
    with pytest.raises(UserError, match="has changed since this run began"):
        make_references(first, [(make_extractor(extractor, "cpu"), extractor)], "cpu", 10)


def test_the_identity_of_an_earlier_release_holds_while_names_and_sizes_do(tmp_path, extractor):
    """It was of the names and sizes of all files; the text is what that release made of this folder."""
    for name in ("a.pgm", "b.pgm"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    sizes = json.dumps([["/a.pgm", 75], ["/b.pgm", 75]])
    known = f"files:{hashlib.sha256(sizes.encode()).hexdigest()}"
    info = reference_info(str(tmp_path), extractor, known)
    assert info.identity == known
    (reference,) = make_references(info, [(make_extractor(extractor, "cpu"), extractor)], "cpu", 10)
    assert reference.provenance["num_images"] == 2
    assert reference_info(str(tmp_path), extractor).identity.startswith("content:")
    Image.new("L", (8, 9)).save(tmp_path / "b.pgm")
    Image.new("L", (8, 9)).save(tmp_path / "a.pgm")
    assert reference_info(str(tmp_path), extractor, known).identity.startswith("content:")


def test_what_was_left_out_and_converted_stands_in_the_provenance(tmp_path, extractor):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    Image.new("LA", (8, 8)).save(tmp_path / "b.png")
    Image.fromarray(np.full((8, 8), 65535, np.uint16)).save(tmp_path / "c.png")
    (tmp_path / "labels.txt").touch()
    info, made = make(tmp_path, extractor, 10)
    assert info.note == f"--reference {tmp_path}: 3 images read; left out: 1 .txt (labels.txt)"
    assert made.provenance["left_out"] == {".txt": 1}
    assert made.provenance["converted"] == {"16 bits to 8": 1, "alpha dropped": 1}
    pixels = np.stack([np.zeros((8, 8)), np.zeros((8, 8)), np.full((8, 8), 255)]).astype(np.uint8)
    assert made.provenance["digest"] == hashlib.sha256(pixels.tobytes()).hexdigest()


def test_all_that_is_wrong_is_named_at_once(tmp_path, extractor):
    """What is wrong in the first images before anything is drawn, what is wrong later when features are made."""
    for i in range(2, 30):
        Image.new("RGB" if i == 5 else "L", (8, 8)).save(tmp_path / f"{i:02d}.png")
    (tmp_path / "11.png").write_bytes(b"x")
    with pytest.raises(UserError, match=r"first is gray 8×8: 2 of 28 images .*: 05\.png is RGB 8×8; 11\.png is no im"):
        make(tmp_path, extractor, 10)
    for i in range(2):
        (tmp_path / f"{i:02d}.png").write_bytes(b"x")
    with pytest.raises(UserError, match=r"3 of 30 images cannot be used: 00\.png is no image.*; 01\.png.*; 11\.png"):
        reference_info(str(tmp_path), extractor)


def test_what_does_not_fit_the_model_is_named_though_it_is_the_first(tmp_path):
    for i in range(5):
        Image.new("RGB" if i < 2 else "L", (8, 8)).save(tmp_path / f"{i}.png")
    with pytest.raises(UserError, match=r"draws gray 8×8: 2 of 5 images cannot be used: 0\.png is RGB 8×8; 1\.png is"):
        open_measurement(DIGITS, None, str(tmp_path), (1, 8, 8), {})
    for i in range(2, 5):
        (tmp_path / f"{i}.png").unlink()
    with pytest.raises(UserError, match="has 3×8×8 images, and the model draws 1×8×8"):
        open_measurement(DIGITS, None, str(tmp_path), (1, 8, 8), {})


@pytest.mark.parametrize("kind", ["png", "parquet"])
def test_a_folder_at_a_url_is_as_the_same_folder_here(tmp_path, extractor, monkeypatch, kind):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    MemoryFileSystem.store.clear()
    store = MemoryFileSystem()
    folder = tmp_path / "photos"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "a.png").touch()
    if kind == "png":
        for i in range(3):
            Image.new("L", (8, 8), i).save(folder / f"{i}.png")
    else:
        images = [png(np.full((8, 8, 1), i, np.uint8)) for i in range(3)]
        pq.write_table(pa.table({"image": images}), folder / "0.parquet")
    store.put(str(folder), f"/{kind}", recursive=True)
    info, made = make(f"memory://{kind}", extractor, 10)
    here = make(folder, extractor, 10)[1]
    assert made.provenance["digest"] == here.provenance["digest"]
    assert "left out: 1 hidden (.git" in info.note
    assert reference_info(f"memory://{kind}", extractor).identity == info.identity
    store.cp_file(f"/{kind}/0.{kind}", f"/{kind}/3.{kind}")
    assert reference_info(f"memory://{kind}", extractor).identity != info.identity
