"""verify and --repair: every injected damage is found and named, none reaches a metric, and a sweep mends it."""

import random

import pyarrow.parquet as pq
import pytest
from here import run_here
from places import GRID, draw_and_measure
from verified import file, found

from pipeline.storage.store import DamagedFileError, Storage
from pipeline.sweep.run import saved_run
from pipeline.work.inventory import Inventory
from pipeline.work.kind import Place
from pipeline.work.verify import VerifyWorker


def test_a_finished_run_has_no_problems(place):
    assert found(place) == []


def data_pages(path):
    """The byte ranges of the column chunks, by the footer."""
    metadata = pq.ParquetFile(path).metadata
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    chunks = [group.column(i) for group in groups for i in range(metadata.num_columns)]
    starts = [chunk.dictionary_page_offset or chunk.data_page_offset for chunk in chunks]
    return [range(s, s + chunk.total_compressed_size) for s, chunk in zip(starts, chunks, strict=True)]


def test_one_flipped_bit_in_200_places_of_data_pages(place):
    opened = saved_run(place.url)
    files = Inventory(opened).files
    worker = VerifyWorker("cpu", Place.of(opened))
    rng = random.Random(0)
    for i in range(200):
        shard = rng.choice(opened.shards())
        path = shard.path(("images", "features")[i % 2])
        whole = opened.storage.read(path)
        at = rng.choice([byte for pages in data_pages(f"{place.url}/{path}") for byte in pages])
        flipped = bytearray(whole)
        flipped[at] ^= 1 << rng.randrange(8)
        opened.storage.write(path, bytes(flipped))
        assert isinstance(worker.do(files[path]), str), (path, at)
        opened.storage.write(path, whole)


@pytest.mark.parametrize("kind", ["images", "features"])
def test_truncations_zeros_holes_and_others_files(place, finished, kind):
    storage, path = file(place, 3, kind)
    whole = storage.read(path)
    _, short = file(place, 2, kind)
    damages = {
        "cut in the footer": whole[:-20],
        "cut in the data": whole[: len(whole) // 2],
        "zeros": bytes(len(whole)),
        "a hole": whole[:300] + bytes(64) + whole[364:],
        "another shard of the run": storage.read(short),
        "another run's": (finished / "other" / path).read_bytes(),
    }
    for name, content in damages.items():
        storage.write(path, content)
        assert ("bad", path) in found(place), name
    storage.write(path, b"")
    assert ("missing", path) in found(place)
    storage.write(path, whole)
    assert found(place) == []


def test_a_valid_but_short_shard(place, tmp_path):
    """A file of 15 rows where 20 are planned, from a run that ends there."""
    storage, path = file(place, 11)
    draw_and_measure(tmp_path / "short", num_images=235)
    storage.write(path, (tmp_path / "short" / path.replace("000000240", "000000235")).read_bytes())
    assert ("bad", path) in found(place)


def test_missing_surplus_and_closing_files(place):
    storage, path = file(place, 1)
    features = path.replace("images", "features", 1)
    manifest = f"{path.rpartition('/')[0]}/_manifest.json"
    metrics = f"{features.rpartition('/')[0]}/_metrics.json"
    storage.write("images/setting=ddim-S7-eta0-linear/seeds-000000000-000000020.parquet", storage.read(path))
    storage.write("notes.txt", b"mine")
    storage.write(manifest, storage.read(manifest).replace(b'"rows": 20', b'"rows": 21', 1))
    storage.write(metrics, storage.read(metrics).replace(b'"fid": ', b'"fid": 1', 1))
    storage.write("metrics.json", storage.read("metrics.json").replace(b'"fid": ', b'"fid": 1', 1))
    storage.write("features/reference.parquet", storage.read("features/reference.parquet")[:-9])
    storage.write("result.json", storage.read("result.json").replace(b"finished", b"stopped"))
    storage.move(path, "elsewhere.parquet")
    assert found(place) == [
        ("bad", "features/reference.parquet"),
        ("bad", metrics),
        ("bad", manifest),
        ("bad", "metrics.json"),
        ("bad", "result.json"),
        ("missing", path),
        ("surplus", "elsewhere.parquet"),
        ("surplus", "images/setting=ddim-S7-eta0-linear/seeds-000000000-000000020.parquet"),
        ("surplus", "notes.txt"),
    ]


def test_features_of_other_pixels_are_found_though_they_are_sealed(place, finished):
    """The features of another run's shard, whose seeds and fingerprint are set to this one's."""
    storage, path = file(place, 2, "features")
    other = Storage(str(finished / "other"))
    table, metadata = other.read_table(path, lambda *content: content)
    _, own = storage.read_table(path, lambda *content: content)
    sealed = metadata | {"fingerprint": own["fingerprint"]}
    storage.write_table(path, table, {k: v for k, v in sealed.items() if k not in ("sha256", "pages")}, 1000)
    assert found(place) == [("bad", path)]


def test_a_manifest_that_says_another_digest_is_found_though_it_is_sealed(place):
    storage, path = file(place, 2)
    manifest = f"{path.rpartition('/')[0]}/_manifest.json"
    closed = storage.read_json(manifest)
    closed["files"][path.rpartition("/")[2]]["digest"] = "0" * 64
    storage.write_json(manifest, closed)
    assert found(place) == [("bad", manifest)]
    del closed["files"][path.rpartition("/")[2]]
    storage.write_json(manifest, closed)
    assert found(place) == [("bad", manifest)]


@pytest.mark.parametrize("name", ["seeds-000000240-000000260.parquet", "seeds-000000000-000000240.parquet"])
def test_a_manifest_that_lists_more_than_is_planned_is_found(place, name):
    storage, path = file(place, 2)
    manifest = f"{path.rpartition('/')[0]}/_manifest.json"
    closed = storage.read_json(manifest)
    closed["files"][name] = closed["files"][path.rpartition("/")[2]]
    storage.write_json(manifest, closed)
    assert found(place) == [("bad", manifest)]


def test_a_setting_of_an_earlier_grid_is_still_in_the_plan(place):
    status, _, err = run_here("sweep", *GRID, "--eta", "0", "--out", place.url)
    assert status == 0, err
    assert len(saved_run(place.url).settings) == 1
    assert found(place) == []


def test_bad_input_is_one_line(place, tmp_path):
    status, _, err = run_here("verify", "--out", tmp_path)
    assert (status, "it is not the output of a sweep" in err, len(err.splitlines())) == (2, True, 1)
    storage = saved_run(place.url).storage
    storage.write("sweep.json", storage.read("sweep.json").replace(b'"seed": 0', b'"seed": 1', 1))
    with pytest.raises(DamagedFileError, match=r"sweep\.json"):
        saved_run(place.url)
