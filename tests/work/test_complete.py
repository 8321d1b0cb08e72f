"""A study whose grid changes, and the plan of a sweep that is printed."""

import json

import pytest
from here import run_here
from studies import problems

from pipeline.storage.sealed import fingerprint
from pipeline.storage.store import Storage
from pipeline.sweep.run import open_run
from pipeline.sweep.study import saved_study
from pipeline.work.complete import print_plan
from pipeline.work.reconstruct import Reconstruct, ReconstructConfig, encoded, saved_encodings

KINDS = {ReconstructConfig.kind: ReconstructConfig}


@pytest.fixture
def out(tmp_path):
    """A finished reconstruction of S = 2 and 5, in four files."""
    status, _, err = reconstruct(tmp_path / "out", "--steps", "2", "5")
    assert (status, "12 images (12 drawn now)" in err) == (0, True), err
    return tmp_path / "out"


def reconstruct(out, *given):
    return run_here("reconstruct", "--num-images", "6", "--shard-size", "3", "--out", out, *given)


def saved(out):
    return Reconstruct(saved_study(KINDS, str(out), None))


def test_settings_of_an_earlier_grid_stay_in_the_plan_and_their_encodings_in_use(out):
    status, _, err = reconstruct(out, "--steps", "2")
    assert (status, "nothing to do" in err) == (0, True), err
    assert [setting.steps for setting in saved(out).study.settings] == [2]
    assert problems(saved(out)) == []
    source = saved_encodings(str(out), None)
    assert encoded(source, source.earlier[0], [4]).shape == (1, 1, 8, 8)
    given = ["--seeds", *"0123", "--count", "3", "--encodings", out]
    status, _, err = run_here("interpolate", "--steps", "5", *given, "--out", out.parent / "between")
    assert status == 0, err
    status, _, err = reconstruct(out, "--steps", "5", "10")
    assert (status, "(6 drawn now)" in err) == (0, True), err
    assert [[one.steps for one in found] for found in (saved(out).study.settings, saved(out).study.earlier)] == [
        [5, 10],
        [2],
    ]
    next(
        (out / "reconstructions" / "setting=ddim-S2-eta0-linear").iterdir()
    ).unlink()  # as if it had been left half done
    assert problems(saved(out)) == []


def test_an_interpolation_at_another_s_is_drawn_beside_the_first(tmp_path):
    given = ["--seeds", *"0123", "--count", "3", "--out", tmp_path / "out"]
    assert run_here("interpolate", "--steps", "2", *given)[0] == 0
    status, _, err = run_here("interpolate", "--steps", "5", *given)
    assert (status, "nothing to do" in err) == (0, False), err
    storage = Storage(str(tmp_path / "out"))
    assert {row["steps"] for row in json.loads(storage.read("metrics.json"))} == {5}
    assert len([*(tmp_path / "out" / "interpolations").iterdir()]) == 2
    status, said, _ = run_here("verify", "--out", tmp_path / "out")
    assert (status, "0 problems" in said) == (0, True), said


def test_a_plan_says_what_is_there_and_what_is_to_do(small, capsys):
    """Of four shards a setting, the last of 15 images, the first setting has two files."""
    run = open_run(small)
    for shard in (run.shards()[0], run.shards()[3]):
        run.storage.write(shard.path("images"), b"x")
    print_plan(run)
    assert capsys.readouterr().out.splitlines() == [
        "ddim-S5-eta0-linear            5 calls an image, 2 of 4 shards found",
        "ddim-S5-etahat-linear-clip     5 calls an image, 0 of 4 shards found",
        f"2 settings × 90 images in {small.out}, fingerprint {fingerprint(run.identity)}",
        "2 shards found, 6 missing: 700 network calls × images to do",
    ]
