"""The CIFAR10 preset end to end with full-size random networks, and its numbers by the `fidelity` command line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from fidelity_names import FIDELITY_NAMES
from PIL import Image
from processes import run

from pipeline.storage.local import sha256_of
from pipeline.sweep.run import saved_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SIZES = ["--num-images", "6", "--batch-size", "3", "--shard-size", "3"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """google/ddpm-cifar10-32's network with random weights: 35.7 M parameters."""
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=32,
        block_out_channels=(128, 256, 256, 256),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        freq_shift=1,
        flip_sin_to_cos=False,
        downsample_padding=0,
        norm_eps=1e-6,
        attention_head_dim=None,
    )
    assert sum(p.numel() for p in network.parameters()) == 35_746_307
    folder = tmp_path_factory.mktemp("cifar10")
    network.save_pretrained(folder)
    DDPMScheduler(1000, clip_sample=True, variance_type="fixed_large").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A dozen RGB pictures as PNG."""
    folder = tmp_path_factory.mktemp("reference")
    rng = np.random.default_rng(0)
    for i in range(12):
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC).save(folder / f"{i:03d}.png")
    return folder


@pytest.fixture(scope="module")
def swept(tmp_path_factory, model, reference, inception_weights):
    out = tmp_path_factory.mktemp("out") / "cifar10"
    evaluation = ["--extractor-weights", inception_weights, "--reference", reference]
    status, text, err = run(
        *("sweep", "--preset", "cifar10", "--model", model, "--steps", 2, 10, "--eta", 0, "hat"),
        *(*SIZES, *evaluation, "--out", out),
    )
    assert status == 0, err
    return out, text


def test_the_preset_runs_and_says_what_keeps_it_from_the_paper(swept, inception_weights):
    out, text = swept
    run_ = saved_run(str(out))
    assert [(s.steps, s.sampler.eta, s.spacing, s.clip) for s in run_.settings] == [
        (2, 0.0, "quadratic", False),
        (10, 0.0, "quadratic", False),
        (2, "hat", "quadratic", True),
        (10, "hat", "quadratic", True),
    ]
    assert run_.measurement.extractor.digest == sha256_of(inception_weights)
    assert run_.measurement.extractor.width == 2048
    for expected in (
        "Other than the preset cifar10: steps (2, 10), eta (0.0, 'hat'), num_images 6, batch_size 3, shard_size 3",
        "table 1, CIFAR10: 6 images, not 50,000; other weights of Inception",
        "a reference of 12 images, not the 50,000 of the training set; a reference made of /",
        "not of cifar10-train; whether the weights are EMA is unknown",
    ):
        assert expected in text
    # the paper has numbers for S = 10, 13.36 and 367.43
    assert "paper" not in [line.strip().split(" ")[0] for line in text.splitlines()]


def test_the_numbers_are_the_fidelity_command_lines(swept, reference, inception_weights, tmp_path):
    out, _ = swept
    status, _, err = run("export", "--out", out, "--setting", "ddim-S2-eta0-quadratic", "--png", tmp_path / "png")
    assert status == 0, err
    rows = json.loads((out / "metrics.json").read_text())
    (ours,) = [row for row in rows if (row["steps"], row["eta"]) == (2, 0.0)]
    options = [text for name, value in ours["options"].items() for text in (f"--{name.replace('_', '-')}", str(value))]
    fidelity = subprocess.run(
        [
            *(Path(sys.executable).parent / "fidelity", "--input1", tmp_path / "png", "--input2", reference),
            *("--fid", "--isc", "--kid", "--prc", "--json", "--silent", "--no-cache", "--save-cpu-ram"),
            *("--feature-extractor", "inception-v3-compat", "--feature-extractor-weights-path", inception_weights),
            *("--batch-size", "3", *options),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(fidelity.stdout)
    for name, theirs_name in FIDELITY_NAMES.items():
        # float32 features by two processes with other threads, so sums in other orders through 94 layers: it came to
        # 2e-6, in KID, whose kernel is a cube
        assert ours[name] == pytest.approx(theirs[theirs_name], rel=1e-5), name
    assert ours["fid"] > 0


def test_evaluating_again_elsewhere_gives_the_sweeps_numbers(swept, reference, inception_weights, tmp_path):
    """The reference by statistics first, which is another evaluation; then the sweep's own, which is there."""
    out, _ = swept
    weights = ["--extractor-weights", inception_weights]
    status, _, err = run("reference", "--reference", reference, *weights, "--to", tmp_path / "r.npz")
    assert status == 0, err
    status, text, err = run("evaluate", "--out", out, "--reference", tmp_path / "r.npz", *weights)
    assert status == 0, err
    assert "KID, precision and recall need features" in text
    (folder,) = (out / "evaluations").iterdir()
    again = json.loads((folder / "metrics.json").read_text())
    for ours, row in zip(again, json.loads((out / "metrics.json").read_text()), strict=True):
        # mu and sigma are the same bits, batches of other sizes made the features of the reference
        assert ours["fid"] == pytest.approx(row["fid"], rel=1e-5)
        assert (ours["is_mean"], ours["kid_mean"]) == (row["is_mean"], None)
    status, text, err = run("verify", "--out", out)
    assert (status, "0 problems" in text) == (0, True), text
    status, text, err = run("evaluate", "--out", out)
    assert (status, "nothing to do" in err, "6 images a setting" in text) == (0, True, True), err
