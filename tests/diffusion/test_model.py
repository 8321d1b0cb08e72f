"""A model: what is saved of it and read of other releases, and that walks are set up in one file."""

import json
import re
from dataclasses import asdict, replace

import pytest
import torch
from processes import ROOT
from schedules import SCHEDULE

from pipeline import UserError
from pipeline.diffusion import model as module
from pipeline.diffusion.model import Model, ModelInfo, Walk, Walker
from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.diffusion.schedule import Discrete

INFO = ModelInfo(
    (3, 16, 16), (4, 2, 2), 1000, 1e-4, 2e-2, "digest", True, ("a", "b"), prediction_type="v_prediction", num_classes=10
)


def saved(**changes):
    return json.loads(json.dumps(asdict(INFO))) | changes


def test_what_is_saved_comes_back():
    assert ModelInfo.load(saved()) == INFO


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latent_shape", INFO.image_shape),
        ("notes", ()),
        ("prediction_type", "epsilon"),
        ("noise_schedule", "linear"),
        ("num_classes", None),
    ],
)
def test_a_field_that_an_earlier_release_did_not_have_is_that_of_its_models(name, value):
    """They were models of pixels that predict eps, without classes."""
    earlier = {field: one for field, one in saved().items() if field != name}
    assert ModelInfo.load(earlier) == replace(INFO, **{name: value})


def test_fields_of_a_later_release_are_passed_over():
    assert ModelInfo.load(saved(sigma_data=0.5, guidance={"scale": 1.5})) == INFO


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"prediction_type": "edm"}, "prediction_type 'edm' of its model is none of epsilon, sample, v_prediction"),
        ({"noise_schedule": "cosine"}, "noise_schedule 'cosine' of its model is none of linear, flow"),
        ({"image_shape": [3, 16]}, "image_shape of its model: "),
        ({"num_classes": "many"}, "num_classes of its model: "),
        ({"beta_end": None}, "beta_end of its model: "),
    ],
)
def test_what_this_release_cannot_draw_from_is_said_in_one_line(changes, says):
    with pytest.raises(ValueError, match=f"^{says}") as error:
        ModelInfo.load(saved(**changes))
    assert "\n" not in str(error.value)


def test_a_schedule_that_says_nothing_to_the_network_is_refused(monkeypatch):
    monkeypatch.setitem(module.SCHEDULES, "to noise alone", lambda *_: Discrete((0.9, 0.45, 0.0)))
    info = replace(INFO, noise_schedule="to noise alone")
    assert info.schedule().last_with_signal == 1
    with pytest.raises(UserError, match="^prediction_type epsilon on a schedule that ends in noise alone"):
        replace(info, prediction_type="epsilon").schedule()


def test_walks_are_set_up_in_one_file():
    """Who calls `predictor`, or draws x_T, sets up a walk: it would have its own rules of labels, noise and filling."""
    texts = {file: file.read_text(encoding="utf-8") for file in (ROOT / "pipeline").rglob("*.py")}
    calls = {file.name for file, text in texts.items() if re.search(r"(?<!def )\bpredictor\(", text)}
    draws = {file.name for file, text in texts.items() if "X_T_STEP" in text}
    assert (calls, draws) == ({"model.py"}, {"model.py", "noise.py"})


def walker(batch_size=4, network=lambda x_t, node, labels: torch.zeros_like(x_t), **coders):
    info = replace(INFO, num_classes=3)
    return Walker(Model(info, network, **coders), "cpu", seed=1, batch_size=batch_size)


WALK = Walk(DDIM(1.0), SCHEDULE.nodes([0, 500, 999]), clip=False)


def test_the_network_sees_whole_batches_with_the_labels_of_their_seeds():
    """The last row fills the last batch, and what it fills is cut off."""
    seen = []

    def network(x_t, node, labels):
        seen.append((len(x_t), labels.tolist()))
        return torch.zeros_like(x_t)

    drawn = walker(network=network).draw(WALK, torch.tensor([5, 6, 7, 8, 9, 10]))
    assert drawn.shape == (6, *INFO.latent_shape)
    assert seen == [(4, [2, 0, 1, 2])] * 3 + [(4, [0, 1, 1, 1])] * 3


def test_an_image_is_the_same_among_other_seeds_and_from_a_given_x_t():
    one, (a, b) = walker(), (torch.tensor([3, 8, 5]), torch.tensor([8, 1, 2, 3, 4]))
    first, second = one.draw(WALK, a), one.draw(WALK, b)
    assert torch.equal(first[:2], second[[3, 0]])
    assert torch.equal(first, one.draw(WALK, a, one.x_T(a)))
    *_, (x_t, _) = one.steps(WALK, a)
    assert torch.equal(first, x_t)
    assert not torch.equal(first, one.draw(WALK, a, one.x_T(a.flip(0))))


def test_what_is_not_finite_is_seen_before_and_after_a_decoder():
    """One clamps an infinity to white, and another, in float16, makes one."""
    infinite = walker(
        network=lambda x_t, node, labels: torch.full_like(x_t, torch.inf), decode=lambda z: z.clamp(-1, 1)
    )
    overflowing = walker(decode=lambda z: z.index_fill(0, torch.tensor([1]), torch.inf))
    with pytest.raises(ValueError, match="3 of 3 images are not finite, the first has seed 7: the weights are broken"):
        infinite.draw(WALK, torch.tensor([7, 8, 9]))
    with pytest.raises(ValueError, match="1 of 3 images are not finite, the first has seed 8"):
        overflowing.draw(WALK, torch.tensor([7, 8, 9]))


def test_only_compiled_networks_have_compiled_noise_and_it_is_of_the_latents(monkeypatch):
    asked = []
    monkeypatch.setattr(module.noise, "compiled", lambda *given: asked.append(given) or module.noise.four_normals)
    model = walker().model
    x_T = [Walker(model, "cpu", 1, 4, form).x_T(torch.arange(4)) for form in ("plain", "channels_last", "compiled")]
    assert torch.equal(x_T[0], x_T[2])
    assert asked == [(1, 4, INFO.latent_shape, "cpu")]
