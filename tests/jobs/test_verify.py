"""verify and --repair: every injected damage is found and named, none reaches a metric, and a sweep mends it."""

import random
import shutil
from os.path import relpath

import pyarrow.parquet as pq
import pytest
from in_process import InProcess
from places import GRID, Place, draw_and_measure
from processes import ROOT, in_process, run

from pipeline.storage.store import DamagedFileError
from pipeline.sweep.run import saved_run
from pipeline.sweep.shards import plan
from pipeline.work.base import Output
from pipeline.work.measure import Measure
from pipeline.work.perform import perform
from pipeline.work.verify import Inventory, VerifyWorker, set_aside, verify


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished sweep, and another one of another seed."""
    base = tmp_path_factory.mktemp("finished")
    draw_and_measure(base / "other", seed=1)
    draw_and_measure(base / "out")
    status, _, err = run("sweep", *GRID, "--out", base / "out")  # metrics.json and the report
    assert (status, "nothing to draw" in err) == (0, True), err
    return base


@pytest.fixture
def place(finished, tmp_path):
    shutil.copytree(finished / "out", tmp_path / "out")
    return Place(str(tmp_path / "out"))


def verify_all(place):
    """What jobs/verify.py finds, in this process: (problems, inventory)."""
    inventory = Inventory(saved_run(place.url))
    return verify(inventory, InProcess()), inventory


def found(place):
    return sorted((problem.kind, problem.path) for problem in verify_all(place)[0])


def file(place, index=0, kind="images"):
    """Path of a shard's file, local, and in the output."""
    opened = saved_run(place.url)
    path = plan(opened.settings[0], 240, 20)[index].path(kind)
    return opened.storage, path


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
    worker = VerifyWorker("cpu", Output.of(opened))
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


@pytest.mark.slow
def test_damage_reaches_no_metric_and_repair_and_a_sweep_restore_the_run(place, finished):
    """The whole road by the real commands: damage, a refused sweep, verify, repair, sweep, verify."""
    expected = Place(str(finished / "out")).outcome()
    storage, path = file(place, 5)
    _, second = file(place, 7, "features")
    features = path.replace("images", "features", 1)
    metrics = f"{features.rpartition('/')[0]}/_metrics.json"
    flipped = bytearray(storage.read(path))
    flipped[400] ^= 1
    storage.write(path, bytes(flipped))
    for stale in (features, metrics):  # so that the next sweep has to read the damaged image again
        storage.move(stale, f"_set-aside/{stale}")
    status, out, err = place.sweep()
    assert (status, path in err, "FID" in out) == (1, True, False)

    storage.write(second, storage.read(second)[:-30])
    status, out, _ = run("verify", "--out", place.url)
    assert status == 1
    assert f"bad      {place.url}/{path}" in out
    assert f"bad      {place.url}/{second}" in out
    status, out, _ = run("verify", "--out", place.url, "--repair")
    assert status == 1
    assert f"set aside {path}" in out
    assert storage.read(f"_set-aside/{path}") == bytes(flipped)
    status, _, err = place.sweep()
    assert status == 0, err
    status, out, _ = run("verify", "--out", place.url)
    assert (status, "0 problems" in out) == (0, True), out
    assert place.outcome() == expected


def test_what_is_made_from_a_bad_image_goes_with_it(place):
    storage, path = file(place, 5)
    storage.write(path, b"PAR1")
    problems, inventory = verify_all(place)
    moved = set_aside(inventory, problems)
    features = path.replace("images", "features", 1)
    assert moved == sorted(
        [path, features, f"{path.rpartition('/')[0]}/_manifest.json", f"{features.rpartition('/')[0]}/_metrics.json"]
    )


@pytest.mark.parametrize("lost", [False, True])
def test_a_bad_or_missing_manifest_is_made_again(place, lost):
    storage, path = file(place)
    manifest = f"{path.rpartition('/')[0]}/_manifest.json"
    storage.move(manifest, "_set-aside/manifest") if lost else storage.write(manifest, b"{}")
    problems, inventory = verify_all(place)
    assert [problem.path for problem in problems] == [manifest]
    set_aside(inventory, problems)
    opened = saved_run(place.url)
    assert len(Measure(opened).tasks()) == 1
    perform(Measure(opened), InProcess())
    assert found(place) == []


def test_a_setting_of_an_earlier_grid_is_still_in_the_plan(place):
    status, _, err = run("sweep", *GRID, "--eta", "0", "--out", place.url)
    assert status == 0, err
    assert len(saved_run(place.url).settings) == 1
    assert found(place) == []


def test_bad_input_is_one_line(place, tmp_path):
    status, _, err = run("verify", "--out", tmp_path)
    assert (status, "it is not the output of a sweep" in err, len(err.splitlines())) == (2, True, 1)
    storage = saved_run(place.url).storage
    storage.write("sweep.json", storage.read("sweep.json").replace(b'"seed": 0', b'"seed": 1', 1))
    with pytest.raises(DamagedFileError, match=r"sweep\.json"):
        saved_run(place.url)


def test_on_a_cluster_a_relative_path_is_refused_and_nothing_is_set_aside(place, monkeypatch, capsys):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    before = found(place)
    status, text, err = in_process(monkeypatch, capsys, "verify", "--out", relpath(place.url, ROOT), "--repair")
    assert (status, text, len(err.splitlines()), "a relative path is lost" in err) == (2, "", 1, True), err
    assert found(place) == before == []


def test_what_was_set_aside_stays(place):
    storage, path = file(place)
    for content in (b"first", b"second", b"third"):
        storage.write(path, content)
        problems, inventory = verify_all(place)
        set_aside(inventory, problems)
    kept = [storage.read(f"_set-aside/{path}{suffix}") for suffix in ("", ".1", ".2")]
    assert kept == [b"first", b"second", b"third"]
