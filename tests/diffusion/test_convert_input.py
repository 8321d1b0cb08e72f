"""Checkpoints that are not converted: other networks, damaged files, pickles of code, names that are taken."""

import os
import pickle
import resource
from dataclasses import replace

import pytest
import torch
from ddim_authors import SMALL, random_state, save

from pipeline import UserError
from pipeline.diffusion.convert import convert, to_diffusers
from pipeline.diffusion.state_dict import read_state_dict


@pytest.fixture(scope="module")
def small():
    return random_state(SMALL)


def without(state, *starts):
    return {name: tensor for name, tensor in state.items() if not name.startswith(starts)}


def wider(state):
    return {name: tensor.repeat_interleave(2, 0) if tensor.ndim == 1 else tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: without(s, "up.1.attn.1.v.bias"), "up.1.attn.1.v.bias is missing"),
        (lambda s: without(s, "down.0.block.0.conv1.weight"), "down.0.block.0.conv1.weight is missing"),
        (lambda s: without(s, "down.0.downsample"), "down.0.downsample.conv.weight is missing"),
        (lambda s: without(s, "mid.attn_1"), "mid.attn_1.norm.weight is missing"),
        (lambda s: without(s, "down."), "down.0.block.0.conv1.weight is missing"),
        (lambda s: without(s, "down.1.attn", "up.1.attn"), "attention at 0 levels"),
        (lambda s: s | {"down.0.attn.0.q.weight": s["conv_in.weight"]}, "attention at 2 levels"),
        (lambda s: s | {"logvar": torch.zeros(1000)}, "logvar has no place"),
        (lambda s: s | {"down.0.block.1.conv1.bias": torch.zeros(32)}, "down.0.block.1.norm1.weight is missing"),
        (lambda s: s | {"up.0.block.2.conv1.bias": torch.zeros(32)}, "up.0.block.2.conv1.bias has no place"),
        (lambda s: s | {"conv_in.weight": torch.zeros(())}, r"conv_in.weight is of shape \(\)"),
        (lambda s: s | {"norm_out.bias": torch.zeros(64)}, r"norm_out.bias is of shape \(64,\).*\(32,\)"),
        (lambda s: s | {"mid.attn_1.q.weight": torch.zeros(64, 64)}, r"\(64, 64\).*\(64, 64, 1, 1\)"),
        (wider, r"conv_in.bias is of shape \(64,\).*\(32,\)"),
        (lambda s: random_state(replace(SMALL, ch_mult=(2, 2))), r"conv_in.weight is of shape \(32, 3, 3, 3\).*\(64,"),
        (lambda s: s | {"down.0.block.0.conv1.weight": torch.zeros(40)}, "40, 64"),
        (lambda s: {}, "conv_in.weight is missing"),
    ],
)
def test_another_network_is_refused_by_its_first_tensor(small, change, says):
    with pytest.raises(UserError, match=says):
        to_diffusers(change(small))


@pytest.mark.parametrize("tensor", [torch.zeros(3, dtype=torch.int64), torch.eye(3).to_sparse(), torch.eye(3) * 1j])
def test_what_is_no_weight_is_refused(small, tensor):
    with pytest.raises(UserError, match="tensor temb.dense.0.weight is .*: weights are dense and real"):
        to_diffusers(small | {"temb.dense.0.weight": tensor})


class Code:
    """What runs when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("wrapped", [lambda s, c: s | {"code": c}, lambda s, c: [s, c, 1, 2, s]], ids=["flat", "list"])
def test_code_in_a_pickle_is_refused_and_not_run(small, tmp_path, zipped, wrapped):
    ran = tmp_path / "ran"
    file = save(wrapped(small, Code(ran)), tmp_path / "x.ckpt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"x\.ckpt pickles more than tensors \(\w+\.mkdir\) and is refused"):
        convert(file, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["x.ckpt"]
    torch.load(file, weights_only=False)
    assert ran.is_dir()  # the code was there to be run


def test_a_plain_pickle_is_refused_and_not_run(tmp_path):
    (tmp_path / "x.ckpt").write_bytes(pickle.dumps({"code": Code(tmp_path / "ran")}))
    with pytest.raises(UserError, match="not a checkpoint that torch.save wrote"):
        convert(tmp_path / "x.ckpt", tmp_path / "out")
    assert not (tmp_path / "ran").exists()


def flipped(content):
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        lambda b: b[:-100],
        lambda b: b[: len(b) // 2],
        lambda b: b"",
        lambda b: b"<!DOCTYPE html>\n<html>\n" * 9,
    ],
    ids=["one bit", "end cut", "half", "empty", "a web page"],
)
def test_damaged_files_are_refused(small, tmp_path, damage, recwarn):
    file = save(small, tmp_path / "x.ckpt")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UserError, match=r"x\.ckpt is damaged, or not a checkpoint"):
        read_state_dict(file)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([{}, {}, 1], "a list of 3"),
        ([{}, {}, 1, 2, 3], "holds a int where a state dict"),
        (torch.zeros(3), "holds a Tensor where a state dict"),
        ({"state_dict": {}}, "'state_dict' is a dict, not a tensor"),
        ({7: torch.zeros(3)}, "7 is a Tensor"),
    ],
)
def test_other_contents_are_refused(tmp_path, content, says):
    with pytest.raises(UserError, match=says):
        read_state_dict(save(content, tmp_path / "x.ckpt"))


def test_missing_files_and_taken_names_are_refused(small, tmp_path):
    with pytest.raises(UserError, match=r"no\.ckpt cannot be read: No such file"):
        convert(tmp_path / "no.ckpt", tmp_path / "out")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        convert(tmp_path, tmp_path / "out")
    file = save(small, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=r"x\.ckpt exists: give a new name"):
        convert(file, file)
    with pytest.raises(UserError, match=r"out cannot be written"):
        convert(file, file / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["x.ckpt"]


def test_where_the_disk_ends_nothing_is_left(small, tmp_path):
    file = save(small, tmp_path / "x.ckpt")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))  # a third of the weights
    try:
        with pytest.raises(UserError, match="out cannot be written"):
            convert(file, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["x.ckpt"]
    convert(file, tmp_path / "out")
