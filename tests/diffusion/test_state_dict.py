"""Files that trainers write: which of their state dicts is taken, and the networks of others, which are named."""

import json
import pickle

import ddim_authors
import numpy as np
import pytest
import torch
from ddim_authors import SMALL, save
from diffusers import UNet2DModel
from torch.optim.swa_utils import AveragedModel

from pipeline import UserError
from pipeline.diffusion.checkpoint import read_checkpoint
from pipeline.diffusion.convert import convert
from pipeline.diffusion.state_dict import read_state_dict

MODEL = {"a": torch.zeros(2)}
EMA = {"a": torch.ones(2)}
TAKEN = "EMA weights of key {!r} taken; {!r} passed over"


def prefixed(prefix, tensors):
    return {prefix + name: tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("content", "ema", "note"),
    [
        (MODEL, None, None),
        ({"ema": EMA, "model": MODEL}, True, TAKEN.format("ema", "model")),
        ({"model": MODEL, "optimizer": {}, "ema_state_dict": EMA}, True, TAKEN.format("ema_state_dict", "model")),
        ({"model_state_dict": MODEL, "ema": 0.999}, None, "weights of key 'model_state_dict' taken; 'ema' passed over"),
        ({"state_dict": MODEL, "epoch": 3}, None, "weights of key 'state_dict' taken"),
        ({"net": MODEL, "loss": np.float64(0.1), "step": np.int64(3)}, None, "weights of key 'net' taken"),
        (
            {
                "model": MODEL,
                "ema": prefixed("online_model.", MODEL) | prefixed("ema_model.", EMA) | {"step": MODEL["a"]},
            },
            True,
            TAKEN.format("ema", "model"),
        ),
        ({"ema": prefixed("module.", EMA) | {"n_averaged": torch.tensor(3)}}, True, "EMA weights of key 'ema' taken"),
        (prefixed("module._orig_mod.", MODEL), None, None),
        ({"ema": prefixed("_orig_mod.module.", EMA), "model": MODEL}, True, TAKEN.format("ema", "model")),
    ],
)
def test_ema_wins_and_names_lose_what_wrappers_put_before_them(tmp_path, content, ema, note):
    tensors, is_ema, said = read_state_dict(save(content, tmp_path / "x.pt"))
    assert (list(tensors), is_ema, said) == (["a"], ema, note)
    assert torch.equal(tensors["a"], (EMA if ema else MODEL)["a"])


def test_the_wrappers_of_torch_itself_are_seen_through(tmp_path):
    network = torch.nn.Linear(2, 2)
    averaged = AveragedModel(torch.nn.DataParallel(torch.compile(network)))
    tensors, _, _ = read_state_dict(save({"ema": averaged.state_dict()}, tmp_path / "x.pt"))
    assert list(tensors) == ["weight", "bias"]


def test_a_converted_file_says_what_was_taken(tmp_path):
    state = ddim_authors.random_state(SMALL)
    other = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    convert(save({"model": other, "ema": prefixed("module.", state)}, tmp_path / "x.pt"), tmp_path / "whole")
    convert(save(state, tmp_path / "flat.pt"), tmp_path / "flat")
    whole, flat = read_checkpoint(tmp_path / "whole"), read_checkpoint(tmp_path / "flat")
    assert whole.weights.read_bytes() == flat.weights.read_bytes()
    assert (whole.info.ema, flat.info.ema) == (True, None)
    assert whole.info.notes == ("model: EMA weights of key 'ema' taken; 'model' passed over",)
    assert flat.info.notes == ()
    assert json.loads((tmp_path / "flat" / "weights.json").read_text()).keys() == {"source", "sha256", "ema"}


def small_unet():
    kinds = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
    return UNet2DModel(block_out_channels=(8,), norm_num_groups=4, mid_block_type=None, **kinds).state_dict()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda: {"input_blocks.0.0.weight": MODEL["a"]}, "holds guided-diffusion's or improved-diffusion's network"),
        (lambda: prefixed("module.", {"time_embed.0.weight": MODEL["a"]}), "guided-diffusion's"),
        (lambda: {"init_conv.weight": MODEL["a"]}, "holds denoising-diffusion-pytorch's network"),
        (
            lambda: {
                "step": 1,
                "model": {"model.init_conv.weight": MODEL["a"], "betas": MODEL["a"]},
                "ema": prefixed("ema_model.model.", {"downs.0.0.block1.proj.weight": MODEL["a"]}),
                "version": "1",
            },
            "denoising-diffusion-pytorch's",
        ),
        (small_unet, "a diffusers network without its config: .*load_state_dict, save_pretrained"),
        (lambda: {"ema": {"shadow_params": [MODEL["a"]]}}, "state dict under key 'ema': 'shadow_params' is a list"),
        (lambda: {"model": MODEL, "loss": np.ones(2)}, r"pickles more than tensors \(numpy\S*_reconstruct\)"),
    ],
)
def test_what_cannot_be_built_is_named_with_what_to_do(tmp_path, content, says):
    with pytest.raises(UserError, match=says) as error:
        read_state_dict(save(content(), tmp_path / "x.pt"))
    assert "\n" not in str(error.value)


def test_a_pickle_of_edm_is_refused_unread(tmp_path):
    (tmp_path / "edm.pkl").write_bytes(pickle.dumps({"ema": print}))
    with pytest.raises(UserError, match=r"edm\.pkl is a pickle, as EDM and StyleGAN write them.*refused"):
        convert(tmp_path / "edm.pkl", tmp_path / "out")
