"""Checkpoints: what is read of them, what is refused, and that the network is diffusers' own."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDIMPipeline, DDIMScheduler, UNet2DModel

from pipeline.diffusion.unet import UNet, describe


@pytest.fixture
def copy(tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    return tmp_path / "model"


def change(file: Path, **fields):
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_the_embedded_model_is_a_diffusers_pipeline():
    info = describe("digits")
    assert (info.image_shape, info.num_train_timesteps) == ((1, 8, 8), 1000)
    pipe = DDIMPipeline.from_pretrained(info.folder.parent)
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(UNet(info, "cpu")(x, 7), pipe.unet(x, 7).sample)


def test_a_unet_folder_without_a_scheduler_has_ddpms_schedule(copy):
    alone = describe(str(copy / "unet"))
    assert alone.image_shape == (1, 8, 8)
    torch.testing.assert_close(alone.alphas_cumprod(), describe("digits").alphas_cumprod())


def test_the_schedule_is_the_checkpoints_own(copy):
    DDIMScheduler(500, beta_start=1e-3, beta_end=1e-2).save_pretrained(copy / "scheduler")
    info = describe(str(copy))
    expected = DDIMScheduler(500, beta_start=1e-3, beta_end=1e-2).alphas_cumprod.double()
    torch.testing.assert_close(info.alphas_cumprod(), expected, rtol=500 * 2**-24, atol=0)


def test_the_digest_follows_the_weights_and_the_schedule(copy):
    before = describe(str(copy)).digest
    change(copy / "scheduler" / "scheduler_config.json", beta_end=0.03)
    assert describe(str(copy)).digest != before


def test_a_vae_is_refused(tmp_path):
    AutoencoderKL(block_out_channels=(32,), norm_num_groups=8).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="AutoencoderKL, not a UNet2DModel"):
        describe(str(tmp_path))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"prediction_type": "v_prediction"}, "'v_prediction'.*not 'epsilon'"),
        ({"beta_schedule": "squaredcos_cap_v2"}, "beta_schedule"),
        ({"trained_betas": [0.1]}, "trained_betas"),
    ],
)
def test_schedulers_that_the_sampler_cannot_honour_are_refused(copy, fields, says):
    change(copy / "scheduler" / "scheduler_config.json", **fields)
    with pytest.raises(ValueError, match=says):
        describe(str(copy))


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"num_class_embeds": 10}, "class-conditional"), ({"out_channels": 2}, "variance")],
)
def test_networks_that_the_sampler_cannot_use_are_refused(copy, fields, says):
    change(copy / "unet" / "config.json", **fields)
    with pytest.raises(ValueError, match=says):
        describe(str(copy))


def test_missing_and_broken_files_are_named(copy):
    with pytest.raises(ValueError, match=r"no .*nowhere/config\.json"):
        describe("nowhere")
    info = describe(str(copy))
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cannot be loaded"):
        UNet(info, "cpu")
    weights.unlink()
    with pytest.raises(ValueError, match="safe_serialization"):
        describe(str(copy))
    (copy / "unet" / "config.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        describe(str(copy))


def test_pickled_weights_are_never_read(copy):
    network = UNet2DModel.from_pretrained(copy / "unet")
    (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    network.save_pretrained(copy / "unet", safe_serialization=False)
    with pytest.raises(ValueError, match="safe_serialization"):
        describe(str(copy))
