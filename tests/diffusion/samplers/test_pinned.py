"""Walks that stay for good: another number here is another version of its sampler, or of the noise."""

import pytest
import torch
from mixture import MIXTURE
from schedules import OURS, SCHEDULE

from pipeline.diffusion import noise, samplers

X_T = torch.tensor([-1.3, 0.2, 0.9], dtype=torch.float64)
PINNED = {
    "ddim": [-1.07306684623, 0.391057009216, 0.613580875833],
    "ddim:eta=0.5": [0.754300010713, -1.03855650752, -0.395356731754],
    "ddim:eta=1": [0.757986937027, -1.09293076555, -0.484505852101],
    "ddim:eta=hat": [1.11128065763, -1.27393513947, -0.999807900654],
    "dpmpp_2m": [-1.18979319053, 0.403705115334, 0.696513306647],
    "dpmpp_3m": [-1.13085182278, 0.37884246102, 0.655429116319],
    "dpmpp_2m_sde": [0.604356177083, 0.383596411075, -1.53845764852],
    "unipc": [-1.17375897326, 0.401841890578, 0.684404272773],
    "unipc:lower_order_final=never": [-1.18107948578, 0.396649350149, 0.692580396108],  # version 1
    "unipc:order=3": [-1.1545567598, 0.379704756798, 0.679163104775],
    "dpm_solver": [-0.992396419483, 0.309783106882, 0.615437408113],
    "dpm_solver:order=2": [-1.27071834409, 0.442803605836, 0.754886888452],
    "dpm_fast": [-1.22476491583, 0.411141733386, 0.701741854315],
    "deis": [-1.16572795318, 0.399368698383, 0.679064020588],
    "deis:variant=t": [-1.16270407174, 0.400028354084, 0.676231585198],
    "ipndm": [-1.13739272834, 0.391103052384, 0.667792505982],
    "pndm": [-1.35326206858, 0.49991730742, 0.716880286266],
    "heun": [-1.67905972696, 0.562108549029, 1.01719738123],
}
"""Sampler → the images of `X_T` on its own grid of 14 calls, with the noise of run 1. Other tests show by theory and by
diffusers that they are right; these show that they have not moved."""


def walk(text):
    """The images, and the times for which noise was asked."""
    sampler, asked = samplers.make(*samplers.parse(text)), []

    def step_noise(node):
        asked.append(node.t)
        step = noise.step_of(node.t, SCHEDULE.resolution)
        return noise.normal(1, torch.arange(3), step, (1,)).double().ravel()

    grid = sampler.grid(SCHEDULE, sampler.spacing, 14)
    return sampler.sample(MIXTURE.predict, X_T, grid, step_noise), asked


def test_every_sampler_is_pinned():
    assert {text.partition(":")[0] for text in PINNED} == set(OURS)


@pytest.mark.parametrize(("text", "images"), PINNED.items())
def test_a_walk_ends_where_it_did(text, images):
    # float64 over 14 calls; exp and log of another libm have other last bits, 2^-53, which the walks hardly enlarge
    torch.testing.assert_close(walk(text)[0], torch.tensor(images, dtype=torch.float64), atol=1e-10, rtol=0)


@pytest.mark.parametrize("text", [*PINNED, "ddim:eta=0.01", *(f"dpmpp_2m_sde:eta={eta}" for eta in (0, 0.01, 0.5))])
def test_a_sampler_that_asks_for_noise_says_so_and_no_other(text):
    """An interpolation asks it: x_T alone would not say which image it leads to."""
    assert samplers.make(*samplers.parse(text)).injects_noise == bool(walk(text)[1])


@pytest.mark.parametrize(("calls", "thirds"), [(6, [3, 2, 1]), (7, [3, 3, 1]), (8, [3, 3, 2]), (9, [3, 3, 2, 1])])
def test_fast_has_its_steps_in_its_authors_order(calls, thirds):
    """DPM-Solver's appendix D.3: steps of third order and equal length in λ, then the rest, of order 2 before order 1.

    A step of order k has k nodes, even in λ.
    """
    sampler = samplers.make("dpm_fast", {})
    lams = [node.lam for node in sampler.grid(SCHEDULE, "logsnr", calls)]
    positions = [i + j / order for i, order in enumerate(thirds) for j in range(order)] + [len(thirds)]
    expected = [lams[0] + (lams[-1] - lams[0]) * at / len(thirds) for at in positions]
    # a time is rounded to 2^-21, and λ moves by 3 a timestep at most
    assert lams == pytest.approx(expected, abs=3 * SCHEDULE.resolution)
