"""What of a folder is read: every kind of image, once; and what is left out is named with the reason."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import UserError
from pipeline.images.folder import folder_files
from pipeline.images.registry import open_images


def picture(file, value=0):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(file)
    return file


def names(folder):
    return [*folder_files(str(folder), "--reference").paths]


def test_every_kind_of_image_in_the_order_of_names(tmp_path):
    kinds = ["BMP", "PNG", "bmp", "jfif", "jpeg", "jpg", "pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff", "webp"]
    for value, kind in enumerate(reversed(kinds)):
        picture(tmp_path / f"a.{kind}", value)
    assert names(tmp_path) == [f"a.{kind}" for kind in kinds]
    real = open_images(str(tmp_path))
    assert (real.number, real.note, real.left_out) == (14, "", {})
    assert [*real.read(0, 3)][1][0, 0, 0] == 12  # a.PNG, which was written last but one


def test_pixels_and_order_of_an_ordinary_folder_are_pillows_and_the_paths(tmp_path):
    """As every release read them: PNG in RGB, classes as sub-folders, sorted by parts of the path."""
    rng = np.random.default_rng(0)
    for name in ("b/1.png", "b/0.png", "a-b/0.png", "a/z.png", "0.png", "B/0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8)).save(tmp_path / name)
    files = sorted(tmp_path.rglob("*.png"))
    theirs = np.stack([np.array(Image.open(file).convert("RGB")) for file in files]).transpose(0, 3, 1, 2)
    real = open_images(str(tmp_path))
    np.testing.assert_array_equal(np.stack([*real.read(0, 9)]), theirs)
    assert (real.note, real.left_out) == ("", {})


def test_what_is_hidden_or_of_another_kind_is_left_out_and_named(tmp_path):
    for name in ("a.png", "x.png/b.png", ".ipynb_checkpoints/a.png", "._a.png", "__MACOSX/a.png"):
        picture(tmp_path / name)
    for name in ("Thumbs.db", "labels.txt", "more.TXT", "LICENSE", "all.zip", ".DS_Store"):
        (tmp_path / name).touch()
    real = open_images(str(tmp_path))
    assert names(tmp_path) == ["a.png", "x.png/b.png"]
    assert real.left_out == {".db": 1, ".txt": 2, ".zip": 1, "hidden": 4, "without a suffix": 1}
    assert real.note == (
        f"--reference {tmp_path}: 2 images read; left out: 1 .db (Thumbs.db); 2 .txt (labels.txt, more.TXT); "
        "1 .zip (all.zip); 4 hidden (.DS_Store, ._a.png, .ipynb_checkpoints, …); 1 without a suffix (LICENSE)"
    )


def test_links_are_followed_and_each_file_is_read_once(tmp_path):
    """A class elsewhere, a class twice, a file twice, a folder in itself, and one above."""
    picture(tmp_path / "elsewhere" / "z.png")
    folder = tmp_path / "photos"
    for name in ("cats/0.png", "cats/1.png"):
        picture(folder / name)
    (folder / "birds").symlink_to(tmp_path / "elsewhere")
    (folder / "again").symlink_to(folder / "cats")
    (folder / "also.png").symlink_to(folder / "cats" / "0.png")
    (folder / "cats" / "loop").symlink_to(folder)
    (folder / "up").symlink_to(tmp_path)
    assert names(folder) == ["birds/z.png", "cats/0.png", "cats/1.png"]
    left_out = folder_files(str(folder), "--reference").left_out
    assert left_out == {"reached again by a link": ["again", "also.png", "cats/loop", "up"]}
    (tmp_path / "way").symlink_to(folder)
    assert names(tmp_path / "way") == ["birds/z.png", "cats/0.png", "cats/1.png"]


def test_a_link_to_nothing_is_an_image_that_cannot_be_read(tmp_path):
    (picture(tmp_path / "a.png").parent / "b.png").symlink_to(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"b\.png is no image: FileNotFoundError"):
        [*open_images(str(tmp_path)).read(0, 2)]


def test_pictures_beside_parquet_are_refused(tmp_path):
    for i in range(3):
        picture(tmp_path / f"{i}.png")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"has both 3 images \(0\.png, …\) and 1 Parquet files \(a\.parquet, …\)"):
        open_images(str(tmp_path))


@pytest.mark.parametrize(
    ("files", "refused"),
    [
        (["train-00000-of-00001.parquet", "test-00000-of-00001.parquet"], True),
        (["data/train-00000-of-00001-0f.parquet", "data/validation-00000-of-00001-0f.parquet"], True),
        (["train/0.parquet", "test/0.parquet"], True),
        (["my_train.parquet", "my_test.parquet"], True),
        (["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"], False),
        (["contest.parquet", "train.parquet"], False),
        (["train/cat/0.png", "test/cat/0.png"], True),
        (["train/0.png", "bus/0.png"], False),
        (["train.png", "test.png"], False),
        (["a/train/0.png", "a/test/0.png"], False),
    ],
)
def test_splits_of_a_data_set_are_not_mixed(tmp_path, files, refused):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    if not refused:
        assert len(names(tmp_path)) == 2
        return
    with pytest.raises(UserError, match="has several splits, .*: give a file or a folder of one") as error:
        names(tmp_path)
    assert all(file in str(error.value) for file in files)
