"""A model that is not the project's is drawn, reconstructed, interpolated and followed; registered by one line."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from here import run_here
from schedules import SCHEDULE
from studies import do, problems
from toy_model import IMAGE, LATENT, Toy

from pipeline.diffusion import noise
from pipeline.diffusion.schedule import Node
from pipeline.images.digits import digits_images
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.drawn import read_drawn
from pipeline.sweep.images import read_images
from pipeline.sweep.model import MODELS
from pipeline.sweep.run import open_run, saved_run
from pipeline.sweep.shards import plan
from pipeline.work.between import InterpolateConfig, open_interpolation
from pipeline.work.draw import Draw, DrawWorker
from pipeline.work.interpolate import Interpolate
from pipeline.work.reconstruct import Reconstruct, ReconstructConfig, encoded, open_reconstruction
from pipeline.work.settle import Choice, ChoiceWorker, Fit, Pace
from pipeline.work.trace import Trace, TraceConfig, open_trace, path_of

SEED, COUNT = 3, 30
GRID = {"model": "toy", "steps": (5,), "batch_size": 8, "seed": SEED}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """The output of a sweep that is drawn and measured, and its images in the order of seeds."""
    out = tmp_path_factory.mktemp("toy") / "out"
    options = ["--model", "toy", "--steps", 5, "--eta", 0, 1, "--seed", SEED, "--num-images", COUNT]
    status, said, err = run_here("sweep", *options, "--batch-size", 8, "--shard-size", 20, "--out", out)
    assert (status, "FID" in said) == (0, True), err
    run = saved_run(str(out))
    drawn = {}
    for setting in run.settings:
        parts = [read_images(run.storage, s, setting.fingerprint(run.identity))[0] for s in plan(setting, COUNT, 20)]
        drawn[setting] = np.concatenate(parts)
    return run, drawn


@torch.inference_mode()
def walked(seed, label, eta):
    """The latents of a seed after five steps of eq. 12 in float64, by the formulas of v alone."""
    model, z = Toy().load("cpu"), noise.normal(SEED, torch.tensor([seed]), noise.X_T_STEP, LATENT).double()
    for t in (800, 600, 400, 200, 0):
        node, prev = SCHEDULE.node(t), SCHEDULE.alphas_cumprod[t - 200] if t else 1.0
        ours = node.alpha_cumprod
        v = model.network(z.float(), node, torch.tensor([label])).double()
        z_0, eps = math.sqrt(ours) * z - math.sqrt(1 - ours) * v, math.sqrt(ours) * v + math.sqrt(1 - ours) * z
        sigma = eta * math.sqrt((1 - prev) / (1 - ours)) * math.sqrt(1 - ours / prev)
        z = math.sqrt(prev) * z_0 + math.sqrt(1 - prev - sigma**2) * eps
        z += sigma * noise.normal(SEED, torch.tensor([seed]), t, LATENT)
    return model.decode(z.float())


def gray(images):
    return ((images.clamp(-1, 1) + 1) / 2 * 255).round().numpy().reshape(8, 8)


def test_an_image_is_the_decoded_end_of_its_seeds_walk(sweep):
    """Of either class, in the first, the last and a filled batch."""
    for setting, images in sweep[1].items():
        for seed in (0, 1, 19, 29):
            expected = gray(walked(seed, seed % 2, setting.sampler.eta))
            assert np.abs(images[seed, :, :, 0] - expected).max() <= 1, (setting.slug, seed)
            assert np.abs(images[seed, :, :, 0] - gray(walked(seed, 1 - seed % 2, setting.sampler.eta))).max() > 5


def test_labels_are_in_the_files_and_their_rule_in_the_identity(sweep, small):
    run, drawn = sweep
    assert (run.identity["labels"], run.model) == ("equal", Toy().info)
    (_, last) = plan(next(iter(drawn)), COUNT, 20)
    table = pq.read_table(f"{run.out}/{last.path('images')}", partitioning=None)
    assert table["label"].to_pylist() == [0, 1] * 5
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["label"] == {"_type": "Value", "dtype": "int64"}
    assert "labels" not in open_run(small).identity


def test_the_output_is_measured_and_verified_as_any_other(sweep):
    run, _ = sweep
    assert [row["fid"] > 0 for row in run.metrics().values()] == [True, True]
    assert run_here("verify", "--out", run.out)[0] == 0
    status, _, err = run_here("sweep", "--config", f"{run.out}/sweep.json")
    assert (status, "nothing to do" in err) == (0, True), err


def test_other_weights_under_its_name_are_another_model(sweep, monkeypatch):
    arguments = Draw(sweep[0]).arguments
    monkeypatch.setitem(MODELS, "toy", lambda: Toy(1))
    with pytest.raises(ValueError, match="model 'toy' is another one on this node"):
        DrawWorker("cpu", arguments)


def test_batch_and_form_are_tried_on_it(tmp_path):
    run = open_run(SweepConfig(out=str(tmp_path / "out"), **GRID))
    worker = ChoiceWorker("cpu", Choice(run, Fit(4, 1.0)).arguments)
    assert worker.do(Fit(4, 1.0)) == 4
    assert worker.do(Pace(4, 1)).seconds.keys() == {"plain", "channels_last"}


@pytest.fixture(scope="module")
def reconstructed(tmp_path_factory):
    """With the last batch of each shard filled up."""
    out = str(tmp_path_factory.mktemp("reconstruction") / "out")
    config = ReconstructConfig(out=out, **GRID | {"steps": (5, 100)}, num_images=10, shard_size=5)
    return do(Reconstruct(open_reconstruction(config, None)))


def test_images_are_encoded_to_latents_and_decoded_again(reconstructed):
    """What no latent can hold is lost whatever S is. The rest is a method of first order's: squared, a 400th or so."""
    images, rows = digits_images()[:10].double().flatten(1) / 127.5 - 1, Toy().rows.double()
    least = float(((images - images @ rows.T @ rows) / 2).square().mean())
    few, many = (row["mse"] for row in reconstructed.rows())
    assert 0 < many - least < (few - least) / 100
    stored = encoded(reconstructed.study, reconstructed.study.settings[0], range(10))
    assert (stored.shape, problems(reconstructed)) == ((10, *LATENT), [])


def test_a_network_that_predicts_the_image_encodes_none(tmp_path, monkeypatch):
    class Images(Toy):
        def __init__(self):
            super().__init__()
            self.info = replace(self.info, prediction_type="sample")

    monkeypatch.setitem(MODELS, "toy", Images)
    status, _, err = run_here("reconstruct", "--model", "toy", "--out", tmp_path / "out")
    assert (status, err.splitlines()) == (2, [err.strip()])
    assert "--model toy predicts the image, which says nothing of noise where encoding starts" in err


class Flow(Toy):
    """The same network, as one that predicts the velocity of a flow."""

    def __init__(self):
        super().__init__()
        self.info = replace(self.info, prediction_type="flow_prediction", noise_schedule="flow")


@pytest.fixture
def flow(monkeypatch):
    monkeypatch.setitem(MODELS, "toy", Flow)


@pytest.mark.usefixtures("flow")
def test_a_flow_is_drawn_by_eulers_steps_in_its_own_time(tmp_path):
    run = open_run(SweepConfig(out=str(tmp_path / "out"), eta=(0.0,), spacing=("time-linear",), num_images=8, **GRID))
    (setting,) = run.settings
    images = DrawWorker("cpu", Draw(run).arguments).draw_batch(setting, torch.arange(8))
    model, seeds = Flow().load("cpu"), torch.arange(8)
    x_u, times = noise.normal(SEED, seeds, noise.X_T_STEP, LATENT).double(), [1, 0.75025, 0.5005, 0.25075, 0.001, 0]
    with torch.inference_mode():
        for u, lower in itertools.pairwise(times):
            # the model's nodes have alpha² + sigma² = 1
            scale = math.hypot(1 - u, u)
            v = model.network((x_u / scale).float(), Node(u, ((1 - u) / scale) ** 2), seeds % 2).double()
            x_u = x_u + (lower - u) * v
        expected = model.decode(x_u.float())
    for image, euler in zip(images, expected, strict=True):
        assert np.abs(image.reshape(8, 8) - gray(euler)).max() <= 1


@pytest.mark.usefixtures("flow")
def test_whole_timesteps_of_a_flow_are_one_line(tmp_path):
    for given in ([], ["--spacing", "paper-linear"]):
        status, _, err = run_here("sweep", "--model", "toy", *given, "--out", tmp_path / "out")
        assert (status, err.splitlines()) == (2, [err.strip()])
        assert err.startswith("error: --spacing: spacing ")
        assert "has whole timesteps, and the model's time is continuous: use logsnr, karras, time-linear" in err


def rows_of(study, path):
    return read_drawn(study.storage, path, study.settings[0].fingerprint(study.identity))[0]


def test_a_line_has_the_class_of_its_first_seed_and_its_ends_are_the_sweeps(sweep, tmp_path):
    """The last line leads to a seed of the other class."""
    config = InterpolateConfig(out=str(tmp_path / "out"), **GRID, seeds=(4, 6, 1, 3, 2, 5), count=3)
    work = do(Interpolate(open_interpolation(config, None)))
    setting, corners = work.study.settings[0], {(0, 0): 4, (0, 1): 6}
    images = sweep[1][setting]
    lines = [row for task in work.planned()[1:] for row in rows_of(work.study, work.file(task.item).path)]
    for row in lines:
        if row["position"] in (0, 1):
            seed, first = row["seed"] if row["position"] == 0 else row["to_seed"], row["seed"]
            assert np.array_equal(row["image"], images[seed]) == (seed % 2 == first % 2), row
    for row in rows_of(work.study, work.file(work.planned()[0].item).path):
        if seed := corners.get((row["down"], row["right"])):
            assert np.array_equal(row["image"], images[seed])
    # a norm of 32 independent values, not 64: known to 1 / sqrt(2 · 32 · 6) = 5 % here
    norms = [row["x_T_norm"] for row in lines if row["path"] == "slerp" and row["position"] in (0, 1)]
    assert np.mean(norms) == pytest.approx(1, abs=0.2)


def test_lines_between_encodings_end_in_their_reconstructions(reconstructed, tmp_path):
    given = GRID | {"steps": (100,), "seeds": (0, 2, 4, 6), "count": 3, "encodings": reconstructed.study.out}
    work = do(Interpolate(open_interpolation(InterpolateConfig(out=str(tmp_path / "out"), **given), None)))
    rows = Toy().rows
    for row in rows_of(work.study, work.file(work.planned()[1].item).path):
        if row["position"] == 0:
            image = digits_images()[row["seed"]].flatten() / 127.5 - 1
            assert np.abs(row["image"][:, :, 0] - gray(image @ rows.T @ rows)).max() <= 8  # what S = 100 leaves


def test_a_trajectory_is_decoded_and_ends_in_the_sweeps_images(sweep, tmp_path):
    config = TraceConfig(out=str(tmp_path / "out"), **GRID, sampler=("ddim", "ddim:eta=1"), seeds=(7, 2), columns=3)
    work = do(Trace(open_trace(config, None)))
    for setting in work.study.settings:
        rows = read_drawn(work.study.storage, path_of(setting), setting.fingerprint(work.study.identity))[0]
        assert [row["calls"] for row in rows] == [1, 3, 5] * 2
        for seed in (7, 2):
            *_, last = (row for row in rows if row["seed"] == seed)
            assert last["x_t"].shape == (*IMAGE[1:], IMAGE[0])
            assert np.array_equal(last["x_t"], sweep[1][setting][seed])
