"""Weights as users of diffusers have them: old attention names, variants, shards; and what is no such network."""

import json
import shutil

import pytest
import torch
from configs import change
from diffusers import DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file
from schedules import AT_7

from pipeline import UserError
from pipeline.diffusion.checkpoint import read_checkpoint
from pipeline.diffusion.network import UNet

NAME = "diffusion_pytorch_model"
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def network():
    """A network with the blocks of google/ddpm-cifar10-32, and few channels."""
    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=32,
        act_fn="silu",
        attention_head_dim=None,
        block_out_channels=(8, 16, 16, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
        layers_per_block=2,
        norm_eps=1e-6,
        norm_num_groups=8,
    ).eval()


@pytest.fixture(scope="module")
def plain():
    return network()


def predicted(net, x):
    with torch.no_grad():
        return net(x, torch.full((2,), 7.0)).sample


@pytest.fixture
def x():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
def test_the_layout_and_names_of_google_ddpm_cifar10_32_load_as_diffusers_loads_them(plain, tmp_path, x, safe):
    plain.save_pretrained(tmp_path)
    DDPMScheduler(1000).save_pretrained(tmp_path)
    change(tmp_path / "config.json", _diffusers_version="0.0.4")
    scheduler = {"_class_name": "DDPMScheduler", "_diffusers_version": "0.1.1", "beta_end": 0.02, "beta_start": 0.0001}
    scheduler |= {"beta_schedule": "linear", "clip_sample": True, "num_train_timesteps": 1000, "trained_betas": None}
    (tmp_path / "scheduler_config.json").write_text(json.dumps(scheduler | {"variance_type": "fixed_large"}))
    file = tmp_path / f"{NAME}.safetensors"
    old = {}
    for name, tensor in load_file(file).items():
        for new, former in OLD_NAMES.items():
            name = name.replace(f".{new}.", f".{former}.")
        old[name] = tensor
    assert sum(name.endswith(".query.weight") for name in old) == 6  # two down, one in the middle, three up
    if safe:
        save_file(old, file)
    else:
        file.unlink()
        torch.save(old, tmp_path / f"{NAME}.bin")
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.info.notes == (
        "model: scheduler_config.json's wishes of a sampler are passed over: clip_sample True (--clip here)",
    )
    theirs = UNet2DModel.from_pretrained(tmp_path, use_safetensors=safe, low_cpu_mem_usage=False)
    assert torch.equal(UNet(checkpoint.weights, "cpu")(x, AT_7), predicted(theirs, x))
    # where tensors lie moves a last bit, of values near 1
    torch.testing.assert_close(predicted(theirs, x), predicted(plain, x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("size", ["10GB", "50KB"], ids=["whole", "sharded"])
def test_variants_and_shards_load_and_all_of_their_files_are_in_the_digest(plain, tmp_path, x, safe, variant, size):
    saved = plain if variant is None else network().half()
    saved.save_pretrained(tmp_path, safe_serialization=safe, variant=variant, max_shard_size=size)
    checkpoint = read_checkpoint(tmp_path)
    expected = predicted(network().half().float() if variant else plain, x)
    torch.testing.assert_close(UNet(checkpoint.weights, "cpu")(x, AT_7), expected, rtol=0, atol=1e-6)
    said = [note for note in checkpoint.info.notes if "variant" in note]
    assert said == (["model: weights of variant fp16, values rounded to fp16"] if variant else [])
    files = [file for file in tmp_path.iterdir() if file.name.startswith(NAME)]
    assert len(files) == 1 if size == "10GB" else len(files) > 3
    digests = {checkpoint.info.digest}
    for file in files[-2:]:
        with file.open("ab") as opened:
            opened.write(b" ")
        digests.add(read_checkpoint(tmp_path, check_tensors=False).info.digest)
    assert len(digests) == 1 + len(files[-2:])


def test_of_several_variants_the_plain_one_is_taken_and_without_it_the_user_is_asked(plain, tmp_path):
    for variant in (None, "fp16", "ema"):
        plain.save_pretrained(tmp_path, variant=variant)
    assert read_checkpoint(tmp_path).weights.name == f"{NAME}.safetensors"
    (tmp_path / f"{NAME}.safetensors").unlink()
    with pytest.raises(UserError, match="variants ema, fp16 and no plain ones: leave one"):
        read_checkpoint(tmp_path)


def test_a_shard_that_is_missing_or_lacks_a_tensor_is_refused(plain, tmp_path):
    plain.save_pretrained(tmp_path, max_shard_size="50KB")
    shard = (
        tmp_path / json.loads((tmp_path / f"{NAME}.safetensors.index.json").read_text())["weight_map"]["conv_in.bias"]
    )
    tensors = load_file(shard)
    save_file({name: tensor for name, tensor in tensors.items() if name != "conv_in.bias"}, shard)
    with pytest.raises(UserError, match=r"tensor conv_in.bias is in .*index.json and in no file"):
        read_checkpoint(tmp_path)
    shard.unlink()
    with pytest.raises(UserError, match=f"names {shard.name}, which is not beside it"):
        read_checkpoint(tmp_path)
    (tmp_path / f"{NAME}.safetensors.index.json").write_text("{}")
    with pytest.raises(UserError, match="not the index of sharded weights"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda t: {f"x.{n}": v for n, v in t.items()}, r"tensor conv_in.bias is missing .* others do not fit"),
        (lambda t: {n: v for n, v in t.items() if n != "conv_out.weight"}, "tensor conv_out.weight is missing in"),
        (lambda t: t | {"more": torch.zeros(1)}, "tensor more is unknown by its config in"),
        (lambda t: t | {"conv_in.bias": torch.zeros(3)}, r"tensor conv_in.bias is \(3,\) and \(8,\) by its config"),
    ],
    ids=["other names", "missing", "more", "another shape"],
)
def test_a_file_that_is_not_the_configs_network_is_refused_and_nothing_printed(
    tiny_model, tmp_path, broken, says, capfd
):
    """diffusers would fill what is missing with random numbers, others in each process."""
    shutil.copytree(tiny_model, tmp_path / "model")
    file = tmp_path / "model" / "unet" / f"{NAME}.safetensors"
    save_file(broken(load_file(file)), file)
    for attempt in (lambda: read_checkpoint(tmp_path / "model"), lambda: UNet(file, "cpu")):
        with pytest.raises(UserError, match=says):
            attempt()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1])
def test_a_side_must_be_a_multiple_of_the_halvings_and_every_such_side_works(tmp_path, levels, padding):
    kinds = ("DownBlock2D",) * levels, ("UpBlock2D",) * levels
    shape = {"block_out_channels": (4,) * levels, "norm_num_groups": 2, "layers_per_block": 1}
    net = UNet2DModel(
        in_channels=1,
        out_channels=1,
        sample_size=8,
        down_block_types=kinds[0],
        up_block_types=kinds[1],
        mid_block_type=None,
        downsample_padding=padding,
        **shape,
    )
    net.save_pretrained(tmp_path)
    for side in range(4, 13):
        change(tmp_path / "config.json", sample_size=[8, side])
        try:
            net(torch.zeros(1, 1, 8, side), 0)
            works = True
        except RuntimeError:
            works = False
        if works:
            assert read_checkpoint(tmp_path).info.image_shape == (1, 8, side)
        else:
            with pytest.raises(UserError, match=f"sample_size {side} in .*a multiple of {2 ** (levels - 1)}"):
                read_checkpoint(tmp_path)
