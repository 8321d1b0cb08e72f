"""Checkpoints: what is read of them, what is refused, and that the network is diffusers' own."""

import json
from pathlib import Path

import pytest
import torch
from configs import change
from diffusers import (
    AutoencoderKL,
    DDIMPipeline,
    DDIMScheduler,
    UNet2DModel,
)
from schedules import AT_7

from pipeline.diffusion.betas import alphas_cumprod, linear_betas
from pipeline.diffusion.checkpoint import read_checkpoint
from pipeline.diffusion.network import UNet
from pipeline.sweep.model import model_folder


def test_the_embedded_model_is_a_diffusers_pipeline():
    checkpoint = read_checkpoint(model_folder("digits"))
    assert (checkpoint.info.image_shape, checkpoint.info.num_train_timesteps) == ((1, 8, 8), 1000)
    pipe = DDIMPipeline.from_pretrained(model_folder("digits"))
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(UNet(checkpoint.weights, "cpu")(x, AT_7), pipe.unet(x, 7).sample)


def test_a_unet_folder_without_a_scheduler_has_ddpms_schedule(copy):
    alone = read_checkpoint(copy / "unet").info
    assert alone.image_shape == (1, 8, 8)
    # to the last bit: betas in float64
    assert alone.schedule().alphas_cumprod == tuple(alphas_cumprod(linear_betas()).tolist())
    assert read_checkpoint(model_folder("digits")).info.schedule() == alone.schedule()


def test_the_schedule_is_the_checkpoints_own(copy):
    DDIMScheduler(500, beta_start=1e-3, beta_end=1e-2).save_pretrained(copy / "scheduler")
    checkpoint = read_checkpoint(copy)
    expected = DDIMScheduler(500, beta_start=1e-3, beta_end=1e-2).alphas_cumprod.double()
    alphas = checkpoint.info.schedule().alphas_cumprod
    # theirs is a float32 product of 500 terms, each rounded to 2^-24
    torch.testing.assert_close(torch.tensor(alphas, dtype=torch.float64), expected, rtol=500 * 2**-24, atol=0)
    assert alphas == tuple(alphas_cumprod(linear_betas(500, 1e-3, 1e-2)).tolist())


def test_the_digest_follows_the_weights_and_the_schedule(copy):
    before = read_checkpoint(copy).info.digest
    change(copy / "scheduler" / "scheduler_config.json", beta_end=0.03)
    assert read_checkpoint(copy).info.digest != before


def test_a_vae_is_refused(tmp_path):
    AutoencoderKL(block_out_channels=(32,), norm_num_groups=8).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="AutoencoderKL, not a UNet2DModel"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"num_class_embeds": 10}, "class-conditional"),
        ({"out_channels": 2}, "variance"),
        ({"in_channels": 6, "out_channels": 3}, "6 channels in and 3 out"),
        ({"in_channels": 4, "out_channels": 4}, "4 channels in .*latents are not decoded"),
        ({"sample_size": 15}, "sample_size 15 .* halves a side 1 times, so that it is a multiple of 2"),
        ({"time_embedding_type": "fourier"}, "noise levels"),
        ({"sample_size": None}, "sample_size"),
        ({"sample_size": [8]}, "sample_size"),
        ({"sample_size": -8}, "sample_size"),
        ({"in_channels": "one"}, "in_channels"),
        ({"block_out_channels": [8]}, "cannot be loaded"),
    ],
)
def test_networks_that_the_sampler_cannot_use_are_refused(copy, fields, says):
    change(copy / "unet" / "config.json", **fields)
    with pytest.raises(ValueError, match=says):
        read_checkpoint(copy)


def test_what_lacks_or_is_no_object_is_named(copy):
    config = copy / "unet" / "config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps({name: value for name, value in content.items() if name != "in_channels"}))
    with pytest.raises(ValueError, match="config.json: in_channels: Field required"):
        read_checkpoint(copy)
    config.write_text("[]")
    with pytest.raises(ValueError, match="holds no JSON object"):
        read_checkpoint(copy)
    config.write_text(json.dumps(content))
    (copy / "weights.json").write_text('{"ema": "perhaps"}')
    with pytest.raises(ValueError, match="weights.json: ema: "):
        read_checkpoint(copy)


def test_missing_and_broken_files_are_named(copy):
    with pytest.raises(ValueError, match=r"no .*nowhere/config\.json"):
        read_checkpoint(Path("nowhere"))
    checkpoint = read_checkpoint(copy)
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cannot be loaded"):
        UNet(checkpoint.weights, "cpu")
    weights.unlink()
    with pytest.raises(ValueError, match="save_pretrained"):
        read_checkpoint(copy)
    (copy / "unet" / "config.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        read_checkpoint(copy)


def test_pickled_tensors_are_read_and_pickled_code_is_not_run(copy, tmp_path):
    x = torch.randn(2, 1, 8, 8)
    network = UNet2DModel.from_pretrained(copy / "unet")
    (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    network.save_pretrained(copy / "unet", safe_serialization=False)
    checkpoint = read_checkpoint(copy)
    assert checkpoint.weights.suffix == ".bin"
    with torch.no_grad():
        torch.testing.assert_close(
            UNet(checkpoint.weights, "cpu")(x, AT_7), network(x, 7).sample
        )  # where tensors lie moves a last bit

    class Code:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    torch.save(network.state_dict() | {"extra": Code()}, checkpoint.weights)
    with pytest.raises(ValueError, match="cannot be loaded"):
        UNet(read_checkpoint(copy).weights, "cpu")
    assert not (tmp_path / "executed").exists()


def test_what_is_known_of_ema_is_read_from_the_note(copy):
    assert read_checkpoint(copy).info.ema is None
    (copy / "weights.json").write_text('{"ema": false}')
    assert read_checkpoint(copy).info.ema is False
    assert read_checkpoint(model_folder("digits")).info.ema is True


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_only_the_network_is_in_low_precision(copy, precision):
    x = torch.randn(2, 1, 8, 8)
    checkpoint = read_checkpoint(copy)
    with torch.no_grad():
        full, low = UNet(checkpoint.weights, "cpu")(x, AT_7), UNet(checkpoint.weights, "cpu", precision)(x, AT_7)
    assert low.dtype == torch.float32
    # one rounding is 2^-8 of a bfloat16 and 2^-11 of a float16; a dozen layers add theirs
    assert 0 < (low - full).abs().max() < 12 * {"bfloat16": 2**-8, "float16": 2**-11}[precision] * full.abs().max()
