"""scheduler_config.json: found wherever a user's files have it, refused, assumed or passed over, never in silence."""

import json
import shutil
from pathlib import Path

import pytest
from configs import change
from diffusers import DDIMScheduler, DDPMScheduler, PNDMScheduler, UniPCMultistepScheduler

from pipeline.diffusion.checkpoint import read_checkpoint
from pipeline.sweep.model import model_folder

ASSUMED = (
    "model: no scheduler_config.json in or beside it says the noise schedule and what is predicted; "
    "assumed DDPM's, linear β from 0.0001 to 0.02, T = 1,000 and ε"
)


def test_what_nobody_says_is_assumed_in_one_line(copy):
    assert read_checkpoint(copy).info.notes == ()
    assert read_checkpoint(model_folder("digits")).info.notes == ()
    config = copy / "scheduler" / "scheduler_config.json"
    content = json.loads(config.read_text())
    # what diffusers left out has its default: old releases knew no prediction_type
    config.write_text(json.dumps({name: content[name] for name in ("_class_name", "clip_sample")}))
    assert read_checkpoint(copy).info.notes == ()
    # a file that no diffusers wrote
    config.write_text(json.dumps({name: content[name] for name in content if name[0] == "b" or name[0] == "n"}))
    assert read_checkpoint(copy).info.notes == (
        "model: scheduler_config.json does not wholly say what is predicted; assumed ε",
    )
    config.write_text('{"num_train_timesteps": 500, "prediction_type": "epsilon"}')
    assert read_checkpoint(copy).info.notes == (
        "model: scheduler_config.json does not wholly say the noise schedule; "
        "assumed linear β from 0.0001 to 0.02, T = 500",
    )
    shutil.rmtree(copy / "scheduler")
    assert read_checkpoint(copy).info.notes == (ASSUMED,)


def beside(copy, monkeypatch):
    """Yield what a user may name, each with the model of one pipeline in it."""
    shutil.copytree(copy / "unet", copy / "unet_ema")
    shutil.copytree(copy / "unet", copy / "checkpoint-500" / "unet")
    (copy.parent / "link").symlink_to(copy / "unet")
    monkeypatch.chdir(copy / "unet")
    return [copy / "unet_ema", copy / "checkpoint-500" / "unet", copy / "checkpoint-500", copy.parent / "link", Path()]


@pytest.mark.parametrize("position", range(5), ids=["unet_ema", "checkpoint/unet", "checkpoint", "link", "."])
def test_a_scheduler_is_found_beside_the_network_by_whatever_name_it_is_given(copy, monkeypatch, position):
    given = beside(copy, monkeypatch)[position]
    whole = read_checkpoint(copy).info
    assert read_checkpoint(given).info == whole
    change(copy / "scheduler" / "scheduler_config.json", beta_schedule="squaredcos_cap_v2", prediction_type="sample")
    with pytest.raises(ValueError, match="'sample' in .*scheduler/scheduler_config.json is not 'epsilon'"):
        read_checkpoint(given)
    shutil.rmtree(copy / "scheduler")
    assert read_checkpoint(given).info.notes == (ASSUMED,)


@pytest.mark.parametrize(
    ("scheduler", "said"),
    [
        (DDIMScheduler(clip_sample=False), None),
        (DDPMScheduler(), "clip_sample True (--clip here)"),
        (DDPMScheduler(clip_sample_range=2.0), "clip_sample True to ±2 (--clip here)"),
        (PNDMScheduler(), "set_alpha_to_one False (ᾱ = 1 at time 0 here)"),
        (UniPCMultistepScheduler(), "timestep_spacing linspace (--spacing here)"),
        (
            DDIMScheduler(clip_sample=False, steps_offset=1, timestep_spacing="trailing"),
            "timestep_spacing trailing (--spacing here), steps_offset 1 (no offset here)",
        ),
        (
            DDIMScheduler(clip_sample=False, thresholding=True, sample_max_value=1.5),
            "thresholding True to ±1.5 (no dynamic threshold here)",
        ),
    ],
)
def test_what_a_scheduler_wishes_of_a_sampler_is_said_in_one_line(copy, scheduler, said):
    scheduler.save_pretrained(copy / "scheduler")
    text = "model: scheduler_config.json's wishes of a sampler are passed over: "
    assert read_checkpoint(copy).info.notes == (() if said is None else (text + said,))
    # the same of a file in which diffusers left out what is its class's default
    file = copy / "scheduler" / "scheduler_config.json"
    defaults = type(scheduler)().config
    content = {k: v for k, v in json.loads(file.read_text()).items() if v != defaults.get(k)}
    file.write_text(json.dumps(content | {"_class_name": type(scheduler).__name__}))
    assert read_checkpoint(copy).info.notes == (() if said is None else (text + said,))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"prediction_type": "v_prediction"}, "'v_prediction'.*not 'epsilon'"),
        ({"beta_schedule": "squaredcos_cap_v2"}, "beta_schedule"),
        (
            {"trained_betas": [0.001] * 1000},
            "trained_betas in .* has 1,000 values of its own, and a linear β is needed$",
        ),
        ({"predict_epsilon": False}, "predict_epsilon"),
        ({"_class_name": "ScoreSdeVeScheduler"}, "ScoreSdeVeScheduler"),
        ({"num_train_timesteps": 0}, "scheduler_config.json: num_train_timesteps: .* greater than or equal to 1"),
        ({"num_train_timesteps": "many"}, r"num_train_timesteps: .* \(got 'many'\)"),
        ({"beta_start": 0}, "beta_start"),
        ({"beta_end": 2.0}, "beta_end: .* less than 1"),
    ],
)
def test_schedulers_that_the_sampler_cannot_honour_are_refused(copy, fields, says):
    change(copy / "scheduler" / "scheduler_config.json", **fields)
    with pytest.raises(ValueError, match=says):
        read_checkpoint(copy)


def test_the_unet_of_a_pipeline_has_the_pipelines_schedule(copy):
    change(copy / "scheduler" / "scheduler_config.json", num_train_timesteps=500)
    assert read_checkpoint(copy / "unet").info == read_checkpoint(copy).info
    change(copy / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
    with pytest.raises(ValueError, match="v_prediction"):
        read_checkpoint(copy / "unet")
