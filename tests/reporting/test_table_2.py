"""The paper's table 2 beside a reconstruction: where every condition agrees, and nowhere else."""

from dataclasses import replace

import pytest
import torch

from pipeline.diffusion.checkpoint import read_checkpoint
from pipeline.reporting.reconstruction import caption, differences, row, to_text
from pipeline.sweep.grid import settings
from pipeline.sweep.model import model_folder
from pipeline.sweep.reconstructed import Reconstructed
from pipeline.sweep.study import Study
from pipeline.work.reconstruct import ReconstructConfig


def study_of(model=None, identity=None, **config):
    """A reconstruction of CIFAR10's test set as the paper would have it, but for what is given."""
    of_paper = {"image_shape": (3, 32, 32), "ema": True}
    model = replace(read_checkpoint(model_folder("digits")).info, **of_paper | (model or {}))
    config = ReconstructConfig(**{"steps": (10, 1000), "spacing": ("quadratic",)} | config)
    identity = {"images": "cifar10-val", "num_images": 10_000} | (identity or {})
    return Study(config, model, identity, None, settings(config.grid, model.schedule()), [])


def rows(study):
    """The numbers of its settings, from two images of which one is at twice the other's error."""
    part = Reconstructed(torch.zeros(2, 3, 32, 32), torch.tensor([0.01, 0.02], dtype=torch.float64))
    return {setting: row(study, setting, [part]) for setting in study.settings}


def test_the_papers_errors_stand_beside_ours_where_all_agrees():
    study = study_of()
    assert differences(study) == []
    assert [one["mse_paper"] for one in rows(study).values()] == [0.014, 0.0001]
    assert to_text(rows(study)).splitlines()[0].split()[-1] == "paper"
    assert [line.split()[-1] for line in to_text(rows(study)).splitlines()[2:]] == ["0.014", "0.0001"]
    assert caption(study, rows(study), [])[-1] == "paper: Song, Meng, Ermon, ICLR 2021, table 2."


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": {"ema": None}}, "weights that are not EMA, or of which it is unknown"),
        ({"model": {"ema": False}}, "weights that are not EMA, or of which it is unknown"),
        ({"model": {"beta_start": 2e-4}}, "another noise schedule than DDPM's"),
        ({"model": {"beta_end": 0.01}}, "another noise schedule than DDPM's"),
        ({"model": {"num_train_timesteps": 4000}}, "another noise schedule than DDPM's"),
        ({"identity": {"images": "cifar10-train"}}, "images of cifar10-train, not CIFAR10's test set"),
        ({"identity": {"num_images": 500}}, "500 images, not 10,000"),
        ({"spacing": ("linear",)}, "τ linear, not quadratic"),
        ({"dtype": "bfloat16"}, "a network in bfloat16"),
    ],
)
def test_one_condition_that_differs_keeps_them_apart_and_is_named(change, says):
    study = study_of(**change)
    (reason,) = differences(study)
    assert reason.startswith(says)
    assert all("mse_paper" not in one for one in rows(study).values())
    assert reason in caption(study, rows(study), [reason])[-1]
