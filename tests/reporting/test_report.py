"""The report's files are there and are pictures."""

import io

import numpy as np
from PIL import Image

from pipeline.generation.images import ImageFile, pixel_digest, write_images
from pipeline.generation.shards import plan
from pipeline.grid import settings
from pipeline.reporting.report import caption, write_report
from pipeline.storage import Storage


def test_every_file_is_written(small):
    storage = Storage(small.out)
    grid = settings(small, 1000)
    rows = []
    for setting in grid:
        (shard,) = plan(setting, 20, 25)
        pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
        write_images(storage, shard, pixels, ImageFile("f", 20, pixel_digest(pixels), 1.0, "cpu", "2"))
        numbers = {"fid": 2.0, "is_mean": 3.0, "is_std": 0.1, "images_per_second": 20.0, "num_images": 20}
        rows.append(setting.describe() | numbers)
    text = caption(rows, "digits-classifier", "digits")
    write_report(storage, rows, grid, 20, "f", text)
    files = storage.ls("report")
    assert set(files) == {
        *("table.md", "table.tex", "table.csv"),
        *("fid_vs_steps.png", "fid_vs_seconds.png", "samples.png"),
    }
    for name in files:
        if name.endswith(".png"):
            picture = Image.open(io.BytesIO(storage.read(f"report/{name}")))
            assert picture.width > 300
            assert np.asarray(picture.convert("L")).std() > 5  # not blank
    assert "20 images a setting, features of digits-classifier" in storage.read("report/table.md").decode()
