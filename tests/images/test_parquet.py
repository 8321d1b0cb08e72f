"""Images in Parquet: the right column, of every file, every row; what is unclear is asked in one line."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import UserError
from pipeline.images.registry import open_images

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(value):
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def column(values, kind=IMAGE):
    data = [None if value is None else png(value) for value in values]
    return pa.array([one and {"bytes": one, "path": None} for one in data] if kind == IMAGE else data, kind)


def values(spec):
    real = open_images(str(spec))
    return [int(image[0, 0, 0]) for image in real.read(0, real.number)]


@pytest.mark.parametrize("kind", [IMAGE, pa.binary(), pa.large_binary()])
def test_a_column_of_bytes_is_as_good_as_a_struct(tmp_path, kind):
    labels = pa.array([b"\x00\x01", b"no image", b""], pa.binary())
    pq.write_table(pa.table({"key": labels, "img": column([3, 1, 2], kind)}), tmp_path / "a.parquet", row_group_size=2)
    assert values(tmp_path / "a.parquet") == [3, 1, 2]
    assert [int(image[0, 0, 0]) for image in open_images(str(tmp_path)).read(1, 3)] == [1, 2]


@pytest.mark.parametrize("kinds", [(IMAGE, IMAGE), (pa.binary(), IMAGE), (IMAGE, pa.binary())])
def test_of_several_columns_that_named_image_is_taken(tmp_path, kinds):
    table = pa.table({"mask": column([7, 8], kinds[0]), "image": column([1, 2], kinds[1])})
    pq.write_table(table, tmp_path / "a.parquet")
    assert values(tmp_path / "a.parquet") == [1, 2]
    pq.write_table(table.rename_columns(["mask", "photo"]), tmp_path / "b.parquet")
    with pytest.raises(UserError, match="several columns of images, mask, photo: keep one, or name it 'image'$"):
        open_images(str(tmp_path / "b.parquet"))


def test_files_need_to_agree_on_the_images_alone(tmp_path):
    pq.write_table(pa.table({"label": [0], "image": column([1])}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"image": column([2], pa.binary()), "text": ["x"]}), tmp_path / "b.parquet")
    assert values(tmp_path) == [1, 2]
    pq.write_table(pa.table({"picture": column([3])}), tmp_path / "c.parquet")
    with pytest.raises(UserError, match=r"c\.parquet has no column of images named 'image', as a\.parquet has$"):
        open_images(str(tmp_path))


def test_rows_without_an_image_are_named_by_number(tmp_path):
    rows = column([1, None, 2, 3, None, None])
    pq.write_table(pa.table({"image": rows}), tmp_path / "a.parquet", row_group_size=2)
    real = open_images(str(tmp_path / "a.parquet"))
    assert [p.name for p in real.pictures(0, 6) if p.pixels is None] == ["row 1", "row 4", "row 5"]
    pq.write_table(pa.table({"image": rows}), tmp_path / "b.parquet", row_group_size=4)
    faults = [p.misfit(None) for p in open_images(str(tmp_path)).pictures(0, 12) if p.pixels is None]
    expected = [f"{file}.parquet row {row} has no image, it is null" for file in "ab" for row in (1, 4, 5)]
    assert faults == expected


def test_a_folder_may_be_named_as_a_file(tmp_path):
    (tmp_path / "all.parquet").mkdir()
    pq.write_table(pa.table({"image": column([5, 6])}), tmp_path / "all.parquet" / "part-0.parquet")
    assert values(tmp_path / "all.parquet") == [5, 6]
