"""The report's files are there and are pictures."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.images.pixels import pixel_digest
from pipeline.reporting.report import publish
from pipeline.reporting.verdict import to_lines, verdict
from pipeline.sweep.images import ImageFile, write_images
from pipeline.sweep.method import labels
from pipeline.sweep.run import open_run, saved_run
from pipeline.sweep.shards import plan
from pipeline.work.claim import claim

FIGURES = ("fid_vs_calls", "fid_vs_seconds", "seconds_vs_calls", "samples", "same_seeds", "least_and_most")


def publish_random(config, groups=False, **reference):
    """Publish a run of random pixels and made-up metrics: (text, storage)."""
    run = open_run(config)
    claim(run)
    left_out = {"jackknife": {"fid": [2.0 + 0.01 * (k % 2) for k in range(20)]}, "fid_se": 0.1} if groups else {}
    numbers = {"fid": 2.0, "is_mean": 3.0, "is_std": 0.1, "kid_mean": 0.1, "images_per_second": 20.0, "num_images": 90}
    for setting in run.settings:
        shard = plan(setting, 90, 25)[0]
        pixels = np.random.default_rng(0).integers(0, 256, (25, 8, 8, 1), dtype=np.uint8)
        info = ImageFile(setting.fingerprint(run.identity), 25, pixel_digest(pixels), 1.0, "cpu", "2")
        write_images(run.storage, shard, pixels, info, [0])
        run.storage.write_json(
            run.paths.row(setting.slug), setting.describe() | numbers | left_out | {"reference": reference}
        )
    return publish(run), run.storage


def test_every_file_is_written(small):
    text, storage = publish_random(small, num_images=1797)
    files = storage.ls("report")
    assert set(files) == {
        *("table.md", "table.tex", "table.csv", "index.html"),
        *(f"{name}.{kind}" for name in FIGURES for kind in ("png", "pdf")),
    }
    for name in files:
        if name.endswith(".png"):
            picture = Image.open(io.BytesIO(storage.read(f"report/{name}")))
            assert picture.width > 300
            assert np.asarray(picture.convert("L")).std() > 5  # not blank
        elif name.endswith(".pdf"):
            assert storage.read(f"report/{name}").startswith(b"%PDF")
    line = (
        "90 images a setting, EMA weights, float32; features of digits-classifier, reference digits (1,797 images). "
        "FID falls with the number of images: compare only at the same number."
    )
    assert line in text
    assert line in storage.read("report/table.md").decode()
    assert f"% {line}" in storage.read("report/table.tex").decode()
    assert "paper" not in text


@pytest.mark.parametrize("groups", [False, True])
def test_the_verdict_is_under_the_tables(small, groups):
    text, storage = publish_random(small, groups, num_images=1797)
    rows = saved_run(small.out).metrics()
    lines = to_lines(verdict(rows), labels(setting.method for setting in rows))
    assert lines[0].startswith("The best FID (DDIM η = 0.0 at 5 calls: 2 ± 0.1)" if groups else "No verdict")
    assert "\n".join(["", *lines, ""]) in text
    page = storage.read("report/table.md").decode()
    assert "\n\n" + "\n\n".join(lines) + "\n" in page
    assert page.index("| network calls an image |") < page.index(lines[0])
