"""A study's output over its life: another grid, a first file that is lost or damaged, and numbers that are changed."""

import json

import pytest
from here import run_here
from studies import problems

from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.storage.store import Storage
from pipeline.sweep.study import saved_study
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


def test_a_damaged_first_file_is_found_and_the_command_goes_on_without_it(out):
    file = out / "study.json"
    file.write_bytes(file.read_bytes().replace(b'"seed": 0', b'"seed": 1', 1))
    status, _, err = run_here("verify", "--out", out)
    assert (status, "study.json: the content does not match its digest" in err) == (1, True), err
    status, _, err = reconstruct(out, "--steps", "2", "5")
    assert (status, len(err.splitlines())) == (2, 1), err
    assert "move study.json away, and the same command goes on from the files" in err
    file.unlink()
    status, _, err = reconstruct(out, "--steps", "2", "5")
    assert (status, "nothing to do" in err) == (0, True), err
    assert problems(saved(out)) == []


def test_files_of_another_study_without_its_first_file_are_refused(out):
    (out / "study.json").unlink()
    status, _, err = reconstruct(out, "--steps", "2", "5", "--batch-size", "2")
    assert (status, len(err.splitlines())) == (2, 1), err
    assert "without study.json nothing says more, give another --out" in err
    assert not (out / "study.json").exists()


def test_another_version_of_the_sampler_is_refused(out, monkeypatch):
    monkeypatch.setattr(DDIM, "version", 2)
    for job in ("reconstruct", "verify"):
        status, _, err = run_here(job, "--out", out)
        assert (status, "has images of version 1 of ddim, and this release has version 2" in err) == (2, True), err


def test_a_changed_number_is_found_and_written_again(out):
    storage = Storage(str(out))
    whole = storage.read("metrics.json")
    storage.write("metrics.json", whole.replace(b'"mse": 0.', b'"mse": 1.', 1))
    assert problems(saved(out)) == [("metrics.json", "bad")]
    status, said, _ = run_here("verify", "--out", out, "--repair")
    assert (status, "set aside metrics.json" in said) == (1, True)
    assert reconstruct(out, "--steps", "2", "5")[0] == 0
    assert storage.read("metrics.json") == whole
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
