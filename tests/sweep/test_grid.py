"""The grid: its product, slugs, and what does not fit the model."""

from dataclasses import replace

import pytest
from schedules import SCHEDULE, schedule

from pipeline import UserError
from pipeline.diffusion.spacing import TUNED
from pipeline.storage.sealed import fingerprint
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import described, notes, settings


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


def test_listed_times_have_the_slug_of_their_text_however_they_are_written():
    texts = ("0,250,500", "0,39.5,100", "0,39.50,1e2", "0.0,39.5,100.0")
    whole, real = settings(SweepConfig(sampler=("unipc",), eta=None, spacing=texts), SCHEDULE)
    assert (whole.slug, real.slug) == ("unipc-S2-tauce1a8848", "unipc-S2-tauf8486bfa")
    assert [node.t for node in real.grid(SCHEDULE)] == [100, 39.5, 0]
    assert described(real.describe(), SCHEDULE) == real


def test_the_true_number_of_calls_is_recorded():
    (setting,) = settings(SweepConfig(steps=(30,), eta=(0.0,)), SCHEDULE)
    assert (setting.steps, setting.nfe) == (30, 31)
    assert [setting.describe()[name] for name in ("steps", "nfe")] == [30, 31]


def test_files_of_grids_that_earlier_releases_counted_otherwise_are_told_apart():
    """From S = 29 they visited one time fewer on `quadratic`; all other files keep their fingerprints."""
    identity = {"seed": 0}

    def drawn(sampler, spacing):
        config = SweepConfig(sampler=(sampler,), eta=None, steps=(29,), spacing=(spacing,))
        return settings(config, SCHEDULE)[0].fingerprint(identity)

    before = fingerprint(identity)
    for sampler, spacing in [("ddim", "quadratic"), ("ddim", "linear"), ("heun", "karras"), ("deis", "linear")]:
        assert drawn(sampler, spacing) == before
    for spacing in ("quadratic", "paper-quadratic"):
        assert drawn("deis", spacing) != before
    assert drawn("unipc", "logsnr") != before  # of version 2


def test_each_sampler_has_its_own_spacing_unless_one_is_given_for_all():
    texts = ("ddim", "dpmpp_2m", "unipc:order=3", "heun")
    own = settings(SweepConfig(sampler=texts, eta=None, steps=(10,)), SCHEDULE)
    assert [s.spacing for s in own] == ["linear", "time-quadratic", "time-quadratic", "karras"]
    preset = settings(SweepConfig(preset="cifar10", sampler=texts[:2], eta=None, steps=(10,)), SCHEDULE)
    assert [s.spacing for s in preset] == ["quadratic", "time-quadratic"]
    given = settings(SweepConfig(sampler=texts, eta=None, steps=(10,), spacing=("karras", "linear")), SCHEDULE)
    assert [(s.sampler.name, s.spacing) for s in given][3:6] == [
        ("heun", "karras"),
        ("ddim", "linear"),
        ("dpmpp_2m", "linear"),
    ]
    assert not any(s.clip for s in own + given)


def test_cells_below_a_samplers_least_are_empty_and_said_with_the_least():
    config = SweepConfig(sampler=("euler_a", "pndm", "dpm_solver"), steps=(2, 13, 20), eta=None)
    assert [(s.sampler.name, s.steps, s.nfe) for s in settings(config, SCHEDULE)] == [
        *(("ddim", 2, 2), ("ddim", 13, 14), ("ddim", 20, 20)),
        *(("pndm", 13, 13), ("pndm", 20, 19)),
        *(("dpm_solver", 13, 12), ("dpm_solver", 20, 18)),
    ]
    assert notes(config, SCHEDULE) == [
        "euler_a is ddim:eta=1",
        "pndm takes 13 network calls at least, not 2, in spacing linear: no cell at S = 2",
        "dpm_solver takes 3 network calls at least, not 2, in spacing logsnr: no cell at S = 2",
    ]
    assert notes(SweepConfig(), SCHEDULE) == []


def tuned(spacing=(TUNED,), steps=(3, 4, 5), sampler=("unipc",), **times):
    """The grid of a model with tuned grids, and its notes."""
    table = {3: (0, 45, 338, 688), 5: (0, 39.5, 95, 313, 452, 774)} | {int(s[1:]): tau for s, tau in times.items()}
    of_model = replace(SCHEDULE, tuned={"unipc": table})
    config = SweepConfig(sampler=sampler, eta=None, steps=steps, spacing=spacing)
    return settings(config, of_model), notes(config, of_model)


def test_a_tuned_grid_has_its_name_and_its_times_in_the_fingerprint():
    identity = {"model": "m"}
    (three, five), _ = tuned(steps=(3, 5))
    assert [(s.slug, s.steps, s.nfe, s.spacing) for s in (three, five)] == [
        ("unipc-S3-tuned", 3, 3, "tuned"),
        ("unipc-S5-tuned", 5, 5, "tuned"),
    ]
    (listed,), _ = tuned(spacing=("0,39.5,95,313,452,774",))
    assert five.grid(SCHEDULE) == listed.grid(SCHEDULE)
    assert {**listed.describe(), "spacing": "tuned"} == five.describe()
    (searched_anew,), _ = tuned(steps=(5,), S5=(0, 39.5, 95, 313, 452, 775))
    assert searched_anew == five
    assert searched_anew.fingerprint(identity) != five.fingerprint(identity)
    assert tuned(steps=(5,), S3=(0, 1, 2))[0][0].fingerprint(identity) == five.fingerprint(identity)
    of_model = replace(SCHEDULE, tuned={"unipc": {5: (0, 39.5, 95, 313, 452, 774)}})
    assert described(five.describe(), of_model).fingerprint(identity) == five.fingerprint(identity)


def test_budgets_without_a_tuned_grid_are_empty_cells_unless_all_are():
    grid, said = tuned()
    assert [setting.steps for setting in grid] == [3, 5]
    says = "UniPC-2 has tuned grids at S = 3, 5 on this model, not 4, in spacing tuned"
    assert said == [f"{says}: no cell at S = 4"]
    with pytest.raises(UserError, match=f"^--steps: {says}$"):
        tuned(steps=(4,))
    with pytest.raises(UserError, match="^--spacing: Heun has no tuned grids on this model, which has those of unipc$"):
        tuned(sampler=("unipc", "heun"))
    with pytest.raises(UserError, match="^--spacing: this model has no tuned grids: jobs/tune.py finds them$"):
        settings(SweepConfig(sampler=("unipc",), eta=None, steps=(5,), spacing=(TUNED,)), SCHEDULE)
    with pytest.raises(UserError, match="--steps: unipc takes 4 network calls at least, not 3"):
        tuned(steps=(3,), S3=(0, 45, 200, 338, 688))  # a table that asks for more than its budget


def test_what_does_not_fit_the_model_is_named():
    with pytest.raises(UserError, match="--steps: .* from 1 to 500"):
        settings(SweepConfig(steps=(501,)), schedule(500))
    with pytest.raises(UserError, match="--spacing: .* above 499"):
        settings(SweepConfig(spacing=("0,700",)), schedule(500))
    with pytest.raises(UserError, match="--spacing: .* above 499, the model's last"):
        settings(SweepConfig(spacing=("0,499.5",)), schedule(500))
    with pytest.raises(UserError, match="--spacing: .* same noise, 5 and 5.00000001: move them apart"):
        settings(SweepConfig(spacing=("0,5,5.00000001",)), schedule(500))
    with pytest.raises(UserError, match="--spacing: the grid has times so near each other"):
        settings(SweepConfig(sampler=("dpm_solver",), eta=None, spacing=("0,5,5.000001",)), SCHEDULE)
