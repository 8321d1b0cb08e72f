"""Bad input to the sweep: one clear line, exit status 2, nothing written."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel
from here import run_here
from PIL import Image
from processes import run

from pipeline.cluster import executor
from pipeline.storage.sealed import fingerprint
from pipeline.storage.store import Storage
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.run import open_run
from pipeline.work.claim import claim

TWO_LEVELS = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--steps", "0"], "--steps"),
        (["--steps", "1001"], "--steps: steps must be from 1 to 1000"),
        (["--eta", "-1"], "--eta: must be a number from 0 to 1, or hat"),
        (["--eta", "nan"], "--eta"),
        (["--spacing", "cubic"], "--spacing: unknown spacing 'cubic'"),
        (["--sampler", "dpmp_2m"], "--sampler: unknown sampler 'dpmp_2m': use dpmpp_2m, dpm_2, dpmpp_3m"),
        (["--sampler", "heun:order=3"], "--sampler: heun has no option 'order': it has end"),
        (["--sampler", "unipc:order=4"], "--sampler: unipc:order: input should be less than or equal to 3"),
        (
            ["--sampler", "unipc:lower_order_final=2"],
            "must be always, never, or N (3 or more): in walks of fewer than N",
        ),
        (["--sampler", "unipc:variant=bh3"], "--sampler: unipc:variant: input should be 'bh1' or 'bh2'"),
        (["--sampler", "ipndm:end=last"], "--sampler: ipndm:end: input should be 'first' or 'zero'"),
        (["--sampler", "dpmpp_2m_sde", "--eta", "hat"], "--eta: dpmpp_2m_sde:eta: input should be a valid number"),
        (["--sampler", "dpmpp_2m", "--eta", "0"], "--eta: none of the samplers takes it"),
        (["--sampler", "ddim", "pndm", "--steps", "5", "10"], "--steps: pndm takes 13 network calls at least, not 10"),
        (["--sampler", "dpm_fast", "--spacing", "0,10,500"], "--spacing: dpm_fast finds its steps from a budget"),
        (["--sampler", "pndm", "--spacing", "0,10,500"], "--spacing: pndm needs more times than the 3 of 0,10,500"),
        (["--spacing", "0,39.5,999.5"], "--spacing: spacing '0,39.5,999.5' has a time above 999, the model's last"),
        (["--spacing", "0,39.5,39.25"], "'0,39.5,39.25' must be a strictly increasing list of times from 0"),
        (["--spacing", "0,5,5.00000001"], "same noise, 5 and 5.00000001: move them apart"),
        (["--preset", "imagenet"], "unknown preset 'imagenet'"),
        (["--num-images", "1"], "--num-images"),
        (["--shard-size", "0"], "--shard-size"),
        (["--num-workers", "0"], "--num-workers"),
        (["--config", "missing.json"], "--config missing.json: no such file"),
        (["--config", "pyproject.toml"], "is not the sweep.json of a run"),
        (["--model", "tests"], "give a folder that diffusers' UNet2DModel saved"),
        (["--model", "nowhere/at/all"], "--model nowhere/at/all: no such file or folder"),
        (["--model", "s3:"], "--model s3:"),
        (["--preset", "cifar10"], "--preset cifar10 needs --model"),
        (["--preset", "celeba", "--model", "digits"], "--preset celeba needs --reference"),
        (["--clip", "sometimes"], "--clip"),
        (["--dtype", "float8"], "--dtype"),
        (["--extractor", "inception"], "--extractor inception is unknown: use inception-v3-compat, vgg16"),
        (["--extractor-weights", "README.md"], "cannot be loaded from --extractor-weights README.md"),
        (["--extractor", "vgg16", "--extractor-weights", "README.md"], "cannot be loaded from --extractor-weights"),
        (["--extractor-weights", "none.pth"], "--extractor-weights none.pth: no such file"),
        (["--reference", "docs"], "images cannot be used: "),
        (["--reference", "none.npz"], "--reference none.npz: no such file"),
        (["--reference", "README.md"], "--reference README.md has no images"),
        (["--stepz", "3"], "--stepz"),
        (["--seed", str(2**64), "--dry-run"], "--seed: input should be less than 18446744073709551616"),
        (["--seed", ""], "argument --seed: its value is empty"),
        (["--reference="], "argument --reference: its value is empty"),
        (["--num-images", "10000000000"], "--num-images"),
        (["--model", "runs/none.ckpt"], "--model runs/none.ckpt: no such file or folder"),
        (["--storage-options", '{"url": 1}'], "--out"),
        (["--config", "http://127.0.0.1:9/sweep.json"], "--config http://127.0.0.1:9/sweep.json cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, arguments, says):
    status, text, err = run_here("sweep", "--out", tmp_path / "out", *arguments)
    assert (status, text) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_images_that_the_extractor_does_not_know_are_refused(tmp_path):
    UNet2DModel(sample_size=16, block_out_channels=(32, 32), **TWO_LEVELS).save_pretrained(tmp_path / "rgb")
    status, _, err = run_here("sweep", "--out", tmp_path / "out", "--model", tmp_path / "rgb")
    assert (status, "the model draws 3×16×16" in err, len(err.splitlines())) == (2, True, 1)


def test_a_reference_that_does_not_fit_is_refused(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    np.savez(tmp_path / "lacking.npz", mu=np.zeros(64))
    np.savez(tmp_path / "wide.npz", mu=np.zeros(2048), sigma=np.eye(2048))
    for spec, says in {
        "": "has 3×8×8 images, and the model draws 1×8×8",
        "lacking.npz": "is not an .npz with mu and sigma",
        "wide.npz": "has mu (2048,) and sigma (2048, 2048), and digits-classifier has 64 features",
    }.items():
        arguments = ["--out", tmp_path / "out", "--reference", tmp_path / spec]
        status, _, err = run_here("sweep", *arguments)
        assert (status, says in err, len(err.splitlines())) == (2, True, 1), err
    assert not (tmp_path / "out").exists()


def test_what_only_a_worker_would_find_is_found_before_one_starts(tmp_path, tiny_model):
    shutil.copytree(tiny_model, tmp_path / "model")
    weights = tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])
    for arguments, says in {
        ("--model", tmp_path / "model"): "cannot be loaded",
        ("--dtype", "tf32"): "--dtype tf32 is a GPU's",
    }.items():
        if says.startswith("--dtype") and torch.cuda.is_available():
            continue
        status, _, err = run_here("sweep", "--out", tmp_path / "out", *arguments)
        assert (status, says in err, len(err.splitlines())) == (2, True, 1), err
    assert not (tmp_path / "out").exists()


def test_a_pickle_with_code_never_reaches_torch_fidelity(tmp_path):
    class Code:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    torch.save({"a": Code()}, tmp_path / "w.pth")
    arguments = ["--extractor", "inception-v3-compat", "--extractor-weights", tmp_path / "w.pth"]
    status, _, err = run_here("sweep", "--out", tmp_path / "out", *arguments)
    assert (status, "cannot be loaded" in err, len(err.splitlines())) == (2, True, 1), err
    assert not (tmp_path / "executed").exists()


def test_an_unreachable_hub_or_download_is_one_line(tmp_path):
    """Real connections to a port of loopback that has no server; the hub's library knows its own from its import on."""
    nowhere = "http://127.0.0.1:9"
    offline = {"HF_ENDPOINT": nowhere, "https_proxy": nowhere, "http_proxy": nowhere, "TORCH_HOME": str(tmp_path / "t")}
    for arguments, says in {
        ("--model", "google/ddpm-none"): "cannot be had from the hub",
        ("--extractor", "inception-v3-compat"): "give its file by --extractor-weights",
        ("--extractor", "dinov2-vit-s-14"): "torch-fidelity's download",
        ("--reference", "cifar10-train"): "--reference cifar10-train cannot be downloaded",
    }.items():
        job = run if arguments[0] == "--model" else run_here
        status, _, err = job("sweep", "--out", tmp_path / "out", *arguments, **offline)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert (status, len(lines), says in err, "Traceback" in err) == (2, 1, True, False), err
        assert len(err.splitlines()) == 1, err
    assert not (tmp_path / "out").exists()


def test_an_unwritable_or_foreign_out_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", "/", "s3://", "a::b"):
        status, _, err = run_here("sweep", "--out", out)
        assert (status, len(err.splitlines()), f"--out {out}" in err) == (2, 1, True), err
    for out in (tmp_path / "file" / "out", "/proc/out"):
        status, _, err = run_here("sweep", "--out", out)
        assert (status, len(err.splitlines()), f"--out {out}" in err) == (2, 1, True), err
    status, _, err = run_here("sweep", "--out", tmp_path)
    assert (status, "no sweep.json" in err, len(err.splitlines())) == (2, True, 1)
    out = tmp_path / "out"
    other = open_run(SweepConfig(out=str(out), seed=1))
    claim(other)
    status, _, err = run("sweep", "--out", out)  # a process of its own, as the user has it
    assert (status, len(err.splitlines())) == (2, 1)
    here = fingerprint(open_run(SweepConfig(out=str(tmp_path / "new"))).identity)
    assert fingerprint(other.identity) in err
    assert here in err
    assert "seed 1 there, 0 here" in err


def spoil(out, change):
    """Write sweep.json anew with a change, sealed."""
    storage = Storage(str(out))
    content = storage.read_json("sweep.json")
    change(content)
    storage.write_json("sweep.json", content)


@pytest.mark.parametrize("job", ["sweep", "status", "verify", "evaluate", "report"])
def test_the_output_of_another_release_or_of_nothing_is_one_line(tmp_path, job):
    def refused(out):
        status, text, err = run_here(job, "--out", out)
        assert (status, text, len(err.splitlines()), "Traceback" in err) == (2, "", 1, False), err
        return err

    for i, change in enumerate(
        [lambda c: c.pop("evaluation"), lambda c: c.update(evaluation=1), lambda c: c["evaluation"].pop("identity")]
    ):
        out = tmp_path / str(i)
        claim(open_run(SweepConfig(out=str(out))))
        spoil(out, change)
        assert f"--out {out}: its sweep.json is not one of this release" in refused(out)
    assert "it is a file" in refused(out / "sweep.json")
    (out / "sweep.json").unlink()
    (out / "sweep.json").mkdir()
    refused(out)


def test_a_cluster_that_is_not_there_is_told_at_once(tmp_path):
    status, out, err = run_here("sweep", "--out", tmp_path / "out", ray=True, RAY_ADDRESS="127.0.0.1:9")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert "RAY_ADDRESS 127.0.0.1:9 cannot be reached (Connection refused): give HOST:PORT" in err
    assert not (tmp_path / "out").exists()


def test_what_the_machine_has_not_is_told_before_anything_is_written(tmp_path, monkeypatch):
    """Of a cluster whose nodes are known without Ray; tests/cluster/test_join.py asks a real one."""
    monkeypatch.setattr(executor, "_connect", lambda: None)
    monkeypatch.setattr(executor, "_nodes", lambda: [{"CPU": 4.0}])
    status, text, err = run_here("sweep", "--out", tmp_path / "out", "--gpus-per-worker", 1, ray=True)
    assert (status, text, len(err.splitlines())) == (2, "", 1), err
    assert "--gpus-per-worker 1: the cluster has 0 GPUs" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--gpus-per-worker", "1.5"], "--gpus-per-worker must be a share up to 1 or a whole number, not 1.5"),
        (["--start-timeout", "0"], "--start-timeout must be above 0, not 0"),
    ],
)
def test_bad_resources_are_one_line(tmp_path, arguments, says):
    status, _, err = run_here("sweep", "--out", tmp_path / "out", *arguments)
    assert (status, err) == (2, f"error: {says}\n")
    assert not (tmp_path / "out").exists()
