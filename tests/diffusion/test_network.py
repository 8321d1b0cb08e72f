"""The forms of the network: no form is further from the exact network than the plain one, by more than rounding."""

import pytest
import torch
from diffusers import UNet2DModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from schedules import SCHEDULE

from pipeline.diffusion.network import UNet

SMALL = {
    "sample_size": 8,
    "in_channels": 1,
    "out_channels": 1,
    "layers_per_block": 1,
    "block_out_channels": (32, 32),
    "norm_num_groups": 8,
    "attention_head_dim": 8,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
}


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """The file of a small network's weights, and the network in float64."""
    torch.manual_seed(0)
    network = UNet2DModel(**SMALL).eval()
    folder = tmp_path_factory.mktemp("network")
    network.save_pretrained(folder)
    return folder / "diffusion_pytorch_model.safetensors", network.double()


def errors(exact, form):
    """The largest errors of a form against the network in float64, at three timesteps, as seen after all calls."""
    weights, network = exact
    x_t = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        unet = UNet(weights, "cpu", form=form)
        found = {t: unet(x_t, SCHEDULE.node(t)) for t in (0.0, 7.5, 999.0)}
        for eps in found.values():
            assert (eps.dtype, eps.shape, eps.is_contiguous()) == (torch.float32, x_t.shape, True)
        # Late, since a result that lived in a buffer of the network would have been written over.
        return [
            float((eps - network(x_t.double(), torch.full((4,), t, dtype=torch.float64)).sample).abs().max())
            for t, eps in found.items()
        ]


def test_plain_is_the_network_of_diffusers_bit_for_bit(exact):
    weights, _ = exact
    network = UNet2DModel.from_pretrained(weights.parent).eval()
    x_t = torch.randn(4, 1, 8, 8)
    with torch.inference_mode():
        assert torch.equal(UNet(weights, "cpu")(x_t, SCHEDULE.node(7.5)), network(x_t, torch.full((4,), 7.5)).sample)


@pytest.mark.parametrize("form", ["channels_last", pytest.param("compiled", marks=pytest.mark.slow)])
def test_another_form_rounds_but_is_no_worse(exact, form):
    # Sums in another order have errors of the same size: each is a fresh draw of some rounding, whose maximum over 256
    # values seldom doubles. bfloat16, the smallest mistake that this is to find, is 30,000 times as far.
    plain, other = errors(exact, "plain"), errors(exact, form)
    assert other != plain or form == "channels_last"
    assert max(other) < 3 * max(plain)


def test_attention_is_fused_in_every_form(exact):
    for form in ("plain", "channels_last", "compiled"):
        modules = UNet(exact[0], "cpu", form=form).network.modules()
        processors = [module.processor for module in modules if isinstance(module, Attention)]
        assert {type(processor) for processor in processors} == {AttnProcessor2_0}
