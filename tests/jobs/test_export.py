"""Images for other tools: export to files, and other readers on the Parquet itself."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from here import run_here
from in_process import InProcess
from PIL import Image

from pipeline.sweep.config import SweepConfig
from pipeline.sweep.images import read_images
from pipeline.sweep.run import open_run
from pipeline.work.claim import claim
from pipeline.work.draw import Draw
from pipeline.work.perform import perform


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A run's images, drawn without Ray."""
    config = SweepConfig(steps=(5,), eta=(0.0, "hat"), num_images=50, batch_size=10, shard_size=20)
    opened = open_run(config.model_copy(update={"out": str(tmp_path_factory.mktemp("export") / "out")}))
    claim(opened)
    perform(Draw(opened), InProcess())
    return opened


@pytest.fixture(scope="module")
def pixels(drawn):
    """Those of the first setting: uint8 (50, 8, 8, 1)."""
    return np.concatenate(
        [read_images(drawn.storage, s, s.setting.fingerprint(drawn.identity))[0] for s in drawn.shards()[:3]]
    )


def test_png(drawn, pixels, tmp_path):
    target = ["--out", drawn.config.out, "--setting", "ddim-S5-eta0-linear", "--png", tmp_path / "png"]
    status, out, err = run_here("export", *target)
    assert (status, "50 images" in out) == (0, True), err
    files = sorted((tmp_path / "png").iterdir())
    assert [f.name for f in files] == [f"{seed:09d}.png" for seed in range(50)]
    images = np.stack([np.asarray(Image.open(f)) for f in files])
    assert np.array_equal(images, np.broadcast_to(pixels, (50, 8, 8, 3)))
    status, _, err = run_here("export", *target)
    assert (status, "exists" in err, len(err.splitlines())) == (2, True, 1)


def test_npz(drawn, pixels, tmp_path):
    slug = "ddim-S5-eta0-linear"
    source = ["--out", drawn.config.out, "--setting"]
    status, _, err = run_here("export", *source, slug, "--npz", tmp_path / "x.npz")
    assert status == 0, err
    (images,) = np.load(tmp_path / "x.npz").values()
    assert (images.dtype, images.shape) == (np.uint8, (50, 8, 8, 3))
    assert np.array_equal(images[..., :1], pixels)
    status, _, err = run_here("export", *source, "none", "--npz", tmp_path / "y.npz")
    assert (status, slug in err, len(err.splitlines())) == (2, True, 1)


def folder(drawn):
    return f"{drawn.config.out}/images/setting=ddim-S5-eta0-linear"


def test_datasets(drawn, pixels, tmp_path, monkeypatch):
    import datasets.config
    import huggingface_hub.constants
    from datasets import load_dataset

    # not by HF_HUB_OFFLINE, which both read once, as they are imported, and which other tests' processes would inherit
    for settings in (datasets.config, huggingface_hub.constants):
        monkeypatch.setattr(settings, "HF_HUB_OFFLINE", True)
    rows = load_dataset("parquet", data_files=f"{folder(drawn)}/*.parquet", split="train", cache_dir=str(tmp_path))
    assert isinstance(rows[0]["image"], Image.Image)
    images = {row["seed"]: np.asarray(row["image"]) for row in rows}
    assert all(np.array_equal(images[seed], pixels[seed, :, :, 0]) for seed in range(50))
    Path(drawn.config.out, "features").mkdir()
    pq.write_table(pa.table({"features": [[0.5], [1.0]]}), f"{drawn.config.out}/features/reference.parquet")
    whole = load_dataset(drawn.config.out, cache_dir=str(tmp_path))  # and not the features, by a guess from names
    assert {split: (len(rows), rows[0]["image"].size) for split, rows in whole.items()} == {"train": (100, (8, 8))}


def test_pyarrow_pandas_and_duckdb(drawn):
    opened = pyarrow.dataset.dataset(f"{drawn.config.out}/images", partitioning="hive", exclude_invalid_files=False)
    assert opened.count_rows() == 100
    frame = pd.read_parquet(f"{drawn.config.out}/images")
    assert sorted(frame["setting"].unique()) == ["ddim-S5-eta0-linear", "ddim-S5-etahat-linear-clip"]
    assert frame.groupby("setting")["seed"].nunique().tolist() == [50, 50]
    files = f"{drawn.config.out}/images/*/*.parquet"
    query = f"select setting, eta, count(distinct seed) from '{files}' group by all order by 1"
    assert duckdb.sql(query).fetchall() == [
        ("ddim-S5-eta0-linear", "0", 50),
        ("ddim-S5-etahat-linear-clip", "hat", 50),
    ]


def test_ray_data(drawn):
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        assert ray.data.read_parquet(folder(drawn)).count() == 50
    finally:
        ray.shutdown()
