"""jobs/convert_checkpoint.py: what it says, and one line with status 2 for what it cannot take."""

import ddim_authors
import pytest
import torch
from here import run_here
from processes import ROOT
from safetensors.torch import load_file
from schedules import AT_7
from torchvision.models import resnet18

from pipeline.diffusion.checkpoint import read_checkpoint
from pipeline.diffusion.network import UNet

EMBEDDED = ROOT / "pipeline" / "assets" / "digits-ddpm" / "unet" / "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def state():
    return ddim_authors.random_state(ddim_authors.SMALL)


def test_says_what_was_found(state, tmp_path):
    torch.save(ddim_authors.trained_list(state, state), tmp_path / "ckpt.pth")
    status, out, err = run_here("convert_checkpoint", tmp_path / "ckpt.pth", tmp_path / "converted")
    assert (status, err) == (0, "")
    sizes = [tensor.numel() for tensor in state.values()]
    facts = f"{len(sizes)} tensors, {sum(sizes):,} parameters, images of 3×32×32, EMA weights: yes"
    assert out.splitlines() == [f"{tmp_path}/ckpt.pth: {facts}", f"written to {tmp_path}/converted"]
    network = UNet(read_checkpoint(tmp_path / "converted").weights, "cpu")
    x = torch.randn(1, 3, 32, 32)
    expected = ddim_authors.forward(state, ddim_authors.SMALL, x, torch.tensor([7]))
    # of float32, for outputs near 1: 3e-6 with few channels, as tests/diffusion/test_convert.py found
    torch.testing.assert_close(network(x, AT_7), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda: torch.nn.Linear(2, 2), "pickles more than tensors (torch.nn.modules.linear.Linear) and is refused"),
        (
            lambda: load_file(EMBEDDED),
            "holds a diffusers network without its config",
        ),
        (lambda: resnet18().state_dict(), "tensor conv_in.weight is missing"),
        (lambda: {"state_dict": {}}, "is not a flat state dict: 'state_dict' is a dict"),
    ],
    ids=["a pickled module", "a diffusers state dict", "a torchvision state dict", "nested"],
)
def test_other_checkpoints_are_refused(tmp_path, content, says):
    torch.save(content(), tmp_path / "x.pt")
    status, out, err = run_here("convert_checkpoint", tmp_path / "x.pt", tmp_path / "converted")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert f"{tmp_path}/x.pt" in err
    assert says in err
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]


def test_bad_names_are_refused(state, tmp_path):
    torch.save(state, tmp_path / "x.pt")
    (tmp_path / "text.ckpt").write_text("not a checkpoint\n")
    (tmp_path / "taken").mkdir()
    for file, folder, says in [
        ("no.ckpt", "converted", "no.ckpt cannot be read: No such file or directory"),
        ("x.pt", "taken", "taken exists: give a new name"),
        ("text.ckpt", "converted", "text.ckpt is damaged, or not a checkpoint that torch.save wrote"),
    ]:
        status, out, err = run_here("convert_checkpoint", tmp_path / file, tmp_path / folder)
        assert (status, out, len(err.splitlines()), says in err) == (2, "", 1, True), err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken", "text.ckpt", "x.pt"]
