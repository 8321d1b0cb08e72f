"""Interpolation: the ends are the sweep's images bit for bit, the norm is kept; resumed, verified, refused."""

import json

import numpy as np
import pytest
import torch
from here import run_here
from PIL import Image
from safetensors.torch import load_file
from studies import do, sizes_of_calls

from pipeline.evaluation.digits import DIGITS_WEIGHTS
from pipeline.evaluation.digits_classifier import DigitsNetwork
from pipeline.images.digits import digits_images
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.drawn import read_drawn
from pipeline.sweep.run import open_run
from pipeline.work.between import InterpolateConfig, open_interpolation
from pipeline.work.draw import Draw, DrawWorker
from pipeline.work.interpolate import Interpolate
from pipeline.work.reconstruct import Reconstruct, ReconstructConfig, open_reconstruction

OF_A_SWEEP = {"steps": (5,), "batch_size": 12, "seed": 7, "dtype": "bfloat16"}
SMALL = OF_A_SWEEP | {"seeds": (3, 1, 4, 15, 9, 2, 6, 5), "count": 5}


def opened(out, **changes):
    return Interpolate(open_interpolation(InterpolateConfig(out=str(out), **SMALL | changes), None))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    work = do(opened(tmp_path_factory.mktemp("interpolation") / "out"))
    work.publish()
    return work


def rows_of(work, name):
    (setting,) = work.study.settings
    return read_drawn(
        work.study.storage,
        f"interpolations/setting={setting.slug}/{name}.parquet",
        setting.fingerprint(work.study.identity),
    )[0]


def lines_of(work):
    return [row for task in work.planned()[1:] for row in rows_of(work, task.item.name)]


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Seed → the image that a sweep draws of it, in the same batches but among other seeds."""
    config = SweepConfig(out=str(tmp_path_factory.mktemp("s")), eta=(0.0,), num_images=24, **OF_A_SWEEP)
    run = open_run(config)
    worker = DrawWorker("cpu", Draw(run).arguments)
    drawn = np.concatenate([worker.draw_batch(run.settings[0], torch.arange(i, i + 12)) for i in (0, 12)])
    return dict(enumerate(drawn))


def test_the_ends_of_lines_and_the_corners_are_the_originals_bit_for_bit(done, originals):
    ends = 0
    for row in lines_of(done):
        if row["position"] in (0.0, 1.0):
            seed = row["seed"] if row["position"] == 0 else row["to_seed"]
            assert np.array_equal(row["image"], originals[seed]), (row["path"], seed)
            ends += 1
    assert ends == 4 * 3 * 2
    grid = {(row["down"], row["right"]): row["image"] for row in rows_of(done, "grid")}
    assert len(grid) == 25
    for (down, right), seed in {(0, 0): 3, (0, 1): 1, (1, 0): 4, (1, 1): 15}.items():
        assert np.array_equal(grid[down, right], originals[seed]), (down, right)


def test_slerp_keeps_the_norm_and_lerp_does_not(done):
    """Of 4 lines of 64 values: the mean norm of noise is known to 1 / sqrt(2 · 64 · 4) = 4 %, lerp's is 0.71."""
    middle = {path: [] for path in ("slerp", "lerp")}
    for row in lines_of(done):
        if row["position"] == 0.5 and row["path"] in middle:
            middle[row["path"]].append(row["x_T_norm"])
    assert np.mean(middle["slerp"]) == pytest.approx(1, abs=0.15)
    assert np.mean(middle["lerp"]) == pytest.approx(0.5**0.5, abs=0.15)
    assert all(row["x_T_norm"] is None for row in lines_of(done) if row["path"] == "blend")


def features_of(images):
    """The classifier's features of pictures, by its network alone: float64, (N, 64)."""
    network = DigitsNetwork()
    network.load_state_dict(load_file(DIGITS_WEIGHTS))
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        return network(pixels / 127.5 - 1)[0].double().numpy()


def test_the_numbers_are_those_of_the_stored_pictures(done):
    found = {row["path"]: row for row in json.loads(done.study.storage.read("metrics.json"))}
    for path, numbers in found.items():
        of_path = [row for row in lines_of(done) if row["path"] == path]
        features = features_of([row["image"] for row in of_path]).reshape(4, 5, -1)
        steps = np.linalg.norm(features[:, 1:] - features[:, :-1], axis=2)
        stored = np.array([row["step"] or 0.0 for row in of_path]).reshape(4, 5)
        # another batch moves the last bits of float32 features: 2^-24 of lengths of some 10, in steps of some 1
        np.testing.assert_allclose(stored, np.pad(steps, ((0, 0), (1, 0))), rtol=1e-4)
        assert [row["step"] is None for row in of_path] == [True, False, False, False, False] * 4
        each = steps.max(1) / steps.mean(1)
        assert numbers["smoothness"] == pytest.approx(each.mean(), rel=1e-4)
        assert numbers["smoothness_se"] == pytest.approx(each.std(ddof=1) / 2, rel=1e-3)
    assert found["blend"]["x_T_norm_in_the_middle"] is None


def test_the_report_has_pictures_and_an_animation_on_request(done):
    done.animated = True
    text = done.publish()
    assert "slerp of x_T (eq. 67)" in text
    assert set(done.study.storage.ls("report")) == {
        *(f"{name}.{kind}" for name in ("grid", "lines") for kind in ("png", "pdf")),
        *("table.md", "lines.gif"),
    }
    with Image.open(f"{done.study.out}/report/lines.gif") as animation:
        assert animation.n_frames == 5 + 3  # to and fro, the ends once


def test_the_job_animates_where_it_is_asked_to(tmp_path):
    given = ["--steps", "2", "--seeds", *"0123", "--count", "3", "--batch-size", "8", "--out", tmp_path / "out"]
    status, _, err = run_here("interpolate", *given, "--animate")
    assert (status, (tmp_path / "out" / "report" / "lines.gif").exists()) == (0, True), err


def test_every_call_has_a_whole_batch(tmp_path, monkeypatch):
    assert sizes_of_calls(monkeypatch, opened(tmp_path / "out", steps=(2,))) == {(12, 1, 8, 8)}


def test_between_encoded_images_the_ends_are_their_reconstructions(tmp_path):
    config = ReconstructConfig(out=str(tmp_path / "r"), steps=(20,), num_images=8, batch_size=12, shard_size=5)
    source = do(Reconstruct(open_reconstruction(config, None)))
    source.publish()
    work = do(opened(tmp_path / "out", encodings=str(tmp_path / "r"), steps=(20,), seeds=(0, 7, 3, 4)))
    text = work.publish()
    assert "between encodings of digits" in text
    assert "their standard deviation is below 1" in text
    real = digits_images()
    for row in lines_of(work):
        if row["position"] in (0.0, 1.0):
            image = real[row["seed"] if row["position"] == 0 else row["to_seed"]][0].numpy()
            difference = row["image"][:, :, 0].astype(float) - image
            assert np.abs(difference).mean() < 12  # of 255; S = 20 reconstructs to an MSE of 1e-3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--seeds", "1", "2", "3"], "give an even number of different seeds, 4 at least"),
        (["--seeds", "1", "2"], "give an even number of different seeds, 4 at least"),
        (["--seeds", "1", "2", "3", "3"], "different seeds"),
        (["--seeds", "1", "2", "3", "-4"], "none below 0"),
        (["--sampler", "ddim:eta=1"], "injects noise, so x_T alone leads to no image"),
        (["--sampler", "ddim", "heun"], "--sampler"),
        (["--count", "2"], "--count"),
        (["--encodings", "{}/none"], "is no output of jobs/reconstruct.py"),
        (["--extractor", "nobody"], "--extractor"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(tmp_path, arguments, says):
    given = [argument.replace("{}", str(tmp_path)) for argument in arguments]
    status, out, err = run_here("interpolate", "--out", tmp_path / "out", *given)
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert says in err
    assert not (tmp_path / "out").exists()


def test_encodings_of_another_setting_or_of_too_few_images_are_refused(tmp_path):
    config = ReconstructConfig(out=str(tmp_path / "r"), steps=(5,), num_images=4, batch_size=4, shard_size=4)
    do(Reconstruct(open_reconstruction(config, None)))
    for arguments, says in (
        (["--steps", "6", "--seeds", "0", "1", "2", "3"], "has no ddim-S6-eta0-linear of this model"),
        (["--steps", "5", "--seeds", "0", "1", "2", "4"], "has 4 images, and --seeds asks for number 4"),
    ):
        given = ["--encodings", tmp_path / "r", "--out", tmp_path / "out", *arguments]
        status, _, err = run_here("interpolate", *given)
        assert (status, says in err) == (2, True), err
