"""The grid: its product, slugs, and what does not fit the model."""

import pytest
from schedules import SCHEDULE, schedule

from pipeline import UserError
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import settings


def test_the_default_grid_is_the_papers_rows_and_columns():
    grid = settings(SweepConfig(), SCHEDULE)
    assert len(grid) == 25
    assert [s.steps for s in grid[:5]] == [5, 10, 20, 50, 100]
    assert [s.sampler.eta for s in grid[::5]] == [0.0, 0.2, 0.5, 1.0, "hat"]
    assert {s.clip for s in grid if s.sampler.eta != "hat"} == {False}
    assert {s.clip for s in grid if s.sampler.eta == "hat"} == {True}
    assert sum(s.nfe for s in grid) * 2000 == 1_850_000


def test_slugs_are_folder_names_and_differ():
    config = SweepConfig(steps=(10, 30), eta=(0.0, 0.05, "hat"), spacing=("linear", "paper-linear", "0,5,9", "0,5"))
    grid = settings(config, SCHEDULE)
    slugs = [s.slug for s in grid]
    assert len(set(slugs)) == len(slugs) == 2 * 3 * 2 + 2 * 3
    assert slugs[0] == "ddim-S10-eta0-linear"
    assert "ddim-S30-etahat-paper-linear-clip" in slugs
    near = settings(SweepConfig(steps=(10,), eta=("0.1234567", "0.1234568", "1e-7", "0", "-0")), SCHEDULE)
    assert [s.slug[12:-7] for s in near] == ["0.1234567", "0.1234568", "1e-07", "0"]
    assert all(set(slug) <= set("abcdefghijklmnopqrstuvwxyzSE0123456789.-") for slug in slugs)


def test_the_true_number_of_calls_is_recorded():
    (setting,) = settings(SweepConfig(steps=(30,), eta=(0.0,)), SCHEDULE)
    assert (setting.steps, setting.nfe) == (30, 31)
    assert [setting.describe()[name] for name in ("steps", "nfe")] == [30, 31]


def test_what_does_not_fit_the_model_is_named():
    with pytest.raises(UserError, match="--steps: .* from 1 to 500"):
        settings(SweepConfig(steps=(501,)), schedule(500))
    with pytest.raises(UserError, match="--spacing: .* above 499"):
        settings(SweepConfig(spacing=("0,700",)), schedule(500))
