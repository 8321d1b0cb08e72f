"""Reconstruction: the digits are found again, better with more steps; resumed, verified, and refused in one line."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from here import run_here
from PIL import Image
from schedules import SCHEDULE
from studies import do, files, sizes_of_calls

from pipeline.diffusion.checkpoint import read_checkpoint
from pipeline.diffusion.network import UNet
from pipeline.diffusion.prediction import epsilon, predictor
from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.images.digits import digits_images
from pipeline.images.registry import open_images
from pipeline.storage.sealed import fingerprint
from pipeline.sweep.model import model_folder
from pipeline.work.reconstruct import Reconstruct, ReconstructConfig, encoded, open_reconstruction

SMALL = {"steps": (5, 10, 20), "num_images": 45, "batch_size": 20, "shard_size": 20}


def opened(out, **changes):
    config = ReconstructConfig(out=str(out), **SMALL | changes)
    return Reconstruct(open_reconstruction(config, None))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    work = do(opened(tmp_path_factory.mktemp("reconstruction") / "out"))
    work.publish()
    return work


def rows(work):
    return json.loads(work.study.storage.read("metrics.json"))


def test_the_error_falls_with_s_and_its_numbers_are_those_of_the_plain_functions(done):
    """The plain walk of one image at a time; float32 sums differ by batch, in the sixth digit."""
    found = rows(done)
    assert [row["steps"] for row in found] == [5, 10, 20]
    assert found[0]["mse"] > 2 * found[1]["mse"] > 4 * found[2]["mse"]
    network = UNet(read_checkpoint(model_folder("digits")).weights, "cpu")
    images = digits_images()[:45].float() / 127.5 - 1
    grid = done.study.settings[1].grid(SCHEDULE)
    with torch.inference_mode():
        predict = predictor(network, epsilon, False)
        x_T = torch.cat([DDIM().encode(predict, image[None], grid) for image in images])
        back = DDIM().sample(predict, x_T, grid, None)
    mse = ((back - images) / 2).double().square().flatten(1).mean(1)
    assert found[1]["mse"] == pytest.approx(float(mse.mean()), rel=1e-3)
    assert found[1]["mse_se"] == pytest.approx(float(mse.std()) / 45**0.5, rel=1e-3)
    assert found[1]["x_T_std"] == pytest.approx(float(x_T.std()), rel=1e-4)
    stored = encoded(done.study, done.study.settings[1], range(45))
    torch.testing.assert_close(stored, x_T, atol=1e-3, rtol=1e-3)


def test_the_network_has_the_precision_that_is_asked_for(tmp_path):
    """The plain walk of the same batch by a network of bfloat16; float32 leads to other x_T."""
    work = do(opened(tmp_path / "out", steps=(5,), num_images=4, batch_size=4, dtype="bfloat16"))
    images, (setting,) = digits_images()[:4].float() / 127.5 - 1, work.study.settings
    weights, x_T = read_checkpoint(model_folder("digits")).weights, {}
    for dtype in ("bfloat16", "float32"):
        with torch.inference_mode():
            predict = predictor(UNet(weights, "cpu", dtype), epsilon, False)
            x_T[dtype] = DDIM().encode(predict, images, setting.grid(SCHEDULE))
    stored = encoded(work.study, setting, range(4))
    assert torch.equal(stored, x_T["bfloat16"])
    assert (stored - x_T["float32"]).abs().max() > 1e-3


def test_the_files_say_what_is_in_them(done):
    path = files(done)[0].path
    assert path == "reconstructions/setting=ddim-S5-eta0-linear/seeds-000000000-000000020.parquet"
    table = pq.read_table(f"{done.study.out}/{path}", partitioning=None)
    assert table.schema.names == ["index", "x_T", "mse"]
    assert (str(table.schema.field("x_T").type), table["index"].to_pylist()) == (
        "fixed_size_list<element: float>[64]",
        [*range(20)],
    )


def test_the_report_says_why_the_papers_numbers_are_not_beside_ours(done):
    text = done.publish()
    assert "Not set beside Song, Meng, Ermon, ICLR 2021, table 2: images of digits" in text
    assert "standard deviation of 0." in text
    assert {"table.md", "table.csv", "reconstruction.png", "reconstruction.pdf"} == set(done.study.storage.ls("report"))


def test_another_batch_of_the_last_images_changes_nothing_but_rounding(done, tmp_path):
    """45 images in batches of 20: the last batch is filled, and its images are as they are alone."""
    alone = do(opened(tmp_path / "out", num_images=45, batch_size=45, shard_size=45, steps=(5,)))
    alone.publish()
    assert rows(alone)[0]["mse"] == pytest.approx(rows(done)[0]["mse"], rel=1e-3)


def test_every_call_has_a_whole_batch(tmp_path, monkeypatch):
    """Kernels choose their order of summation by batch size: the last images are filled up."""
    assert sizes_of_calls(monkeypatch, opened(tmp_path / "out", steps=(2,))) == {(20, 1, 8, 8)}


@pytest.mark.slow
def test_all_timesteps_give_the_digits_back_below_table_2s_scale(tmp_path):
    work = do(opened(tmp_path / "out", steps=(1000,), num_images=20))
    work.publish()
    assert rows(work)[0]["mse"] < 1e-4


def pictures(folder, *shapes):
    folder.mkdir()
    for i, shape in enumerate(shapes):
        Image.fromarray(np.full(shape, 8 * i, np.uint8)).save(folder / f"{i:02d}.png")
    return folder


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--images", "{}/large"], "gray 8×8: 2 of 2 images cannot be used: 00.png is gray 9×8; 01.png"),
        (["--images", "{}/rgb"], "gray 8×8: 2 of 2 images cannot be used: 00.png is RGB 8×8; 01.png"),
        (["--images", "{}/empty"], "has no images"),
        (["--images", "{}/none"], "no such file or folder"),
        (["--images", "{}/one"], "has 1 image: an error needs two"),
        (["--sampler", "ddim:eta=0.5"], "η = 0.5 injects noise, which no walk upward takes back"),
        (["--sampler", "ddim:eta=hat"], "injects noise"),
        (["--sampler", "heun"], "heun: it has no walk upward"),
        (["--sampler", "nobody"], "--sampler: unknown sampler"),
        (["--steps", "2000"], "--steps: steps must be from 1 to 1000"),
        (["--num-images", "1"], "--num-images"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(tmp_path, arguments, says):
    for name, shape in {"large": (9, 8), "rgb": (8, 8, 3)}.items():
        pictures(tmp_path / name, shape, shape)
    pictures(tmp_path / "one", (8, 8))
    (tmp_path / "empty").mkdir()
    given = [argument.replace("{}", str(tmp_path)) for argument in arguments]
    status, out, err = run_here("reconstruct", "--out", tmp_path / "out", *given)
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert says in err
    assert not (tmp_path / "out").exists()


def test_an_image_of_another_size_in_the_middle_is_named_before_anything_is_drawn(tmp_path):
    folder = pictures(tmp_path / "mixed", *[(8, 8)] * 5, (9, 8), *[(8, 8)] * 4)
    given = ["--images", folder, "--steps", "2", "--shard-size", "5", "--out", tmp_path / "out"]
    status, _, err = run_here("reconstruct", *given)
    assert (status, len(err.splitlines())) == (2, 1), err
    assert "1 of 10 images cannot be used: 05.png is gray 9×8" in err
    assert not (tmp_path / "out").exists()


def test_the_output_of_another_study_or_of_a_sweep_is_refused(done, tmp_path):
    status, _, err = run_here("reconstruct", "--out", done.study.out, "--num-images", 30)
    identity = done.study.identity | {"batch_size": 30, "num_images": 30, "shard_size": 125}
    differ = "batch_size 20 there, 30 here; num_images 45 there, 30 here; shard_size 20 there, 125 here"
    says = f"this run {fingerprint(identity)} ({differ}): give another --out"
    assert (status, len(err.splitlines()), says in err) == (2, 1, True), err
    status, _, err = run_here("trajectory", "--out", done.study.out)
    assert (status, "is the output of another study (reconstruction, not trajectory)" in err) == (2, True), err
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    status, _, err = run_here("reconstruct", "--out", tmp_path / "sweep")
    assert (status, "holds 'sweep.json' and no study.json" in err) == (2, True)
    status, _, err = run_here("sweep", "--out", done.study.out)
    assert (status, "and no sweep.json" in err) == (2, True), err


def test_the_job_from_nothing_to_the_table_and_again(tmp_path):
    given = ["--steps", "2", "5", "--num-images", "10", "--out", tmp_path / "out"]
    status, out, err = run_here("reconstruct", *given)
    assert (status, "finished: 2 settings, 20 images (20 drawn now), 0 failures" in err) == (0, True), err
    assert out.splitlines()[0].split() == ["sampler", "S", "calls", "MSE", "std", "of", "x_T"]
    status, again, err = run_here("reconstruct", *given)
    assert (status, again, "nothing to do: every file is there" in err) == (0, out, True)


def test_a_part_of_the_images_is_read_without_those_before_it(tmp_path, monkeypatch):
    folder = pictures(tmp_path / "many", *[(8, 8)] * 30)
    real, read, plain = open_images(str(folder)), [], Image.open
    monkeypatch.setattr(Image, "open", lambda file: read.append(file.name) or plain(file))
    assert [int(image[0, 0, 0]) for image in real.read(20, 23)] == [160, 168, 176]
    assert len(read) == 3
    assert real.number == 30
    assert [*real.read(28, 40)][-1].shape == (1, 8, 8)
