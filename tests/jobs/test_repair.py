"""verify --repair: what is bad is set aside with all that was made from it, and a sweep restores the run."""

from os.path import relpath

import pytest
from here import run_here
from in_process import InProcess
from places import GRID, Place
from processes import ROOT, run
from verified import file, found, verify_all

from pipeline.sweep.run import saved_run
from pipeline.work.measure import Measure
from pipeline.work.perform import perform
from pipeline.work.verify import set_aside


def test_the_job_names_what_is_bad_and_repair_sets_it_aside(place):
    storage, path = file(place, 5)
    status, out, _ = run_here("verify", "--out", place.url)
    assert (status, out) == (0, "73 files, 2 settings, 0 problems\n")
    storage.write(path, b"PAR1")
    storage.write("notes.txt", b"mine")
    for arguments in ([], ["--repair"]):
        status, out, _ = run_here("verify", "--out", place.url, *arguments)
        assert status == 1
        assert f"bad      {place.url}/{path}" in out
        assert f"surplus  {place.url}/notes.txt is not in the plan" in out
    assert storage.read(f"_set-aside/{path}") == b"PAR1"
    assert f"set aside {path}" in out
    assert path not in storage.find()
    status, _, err = run_here("sweep", *GRID, "--out", place.url)
    assert status == 0, err
    assert run_here("verify", "--out", place.url)[0] == 0


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


def test_on_a_cluster_a_relative_path_is_refused_and_nothing_is_set_aside(place, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    before = found(place)
    status, text, err = run_here("verify", "--out", relpath(place.url, ROOT), "--repair")
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
