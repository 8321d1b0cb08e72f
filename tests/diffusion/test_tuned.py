"""Grids that ship for a model: they are whole, and asked for by sampler and budget."""

from dataclasses import replace

import pytest
from schedules import FLOW, SCHEDULE

from pipeline.diffusion import samplers
from pipeline.diffusion.model import ModelInfo
from pipeline.diffusion.samplers.base import NoGridError, network_calls
from pipeline.diffusion.spacing import SPACINGS, TUNED, canonical
from pipeline.diffusion.tuned import tuned_grids, tuned_spacing
from pipeline.sweep.model import read_model

GRIDS = {
    "unipc": {3: (0, 45, 338, 688), 5: (0, 39, 95.5, 313, 452, 774)},
    "unipc:order=3,lower_order_final=never": {5: (1, 2.25, 3)},
}


def made(text):
    return samplers.make(*samplers.parse(text))


def test_every_grid_that_ships_is_walked_by_its_sampler_within_its_budget():
    schedule = read_model("digits").info.schedule()
    assert schedule.tuned
    for text, of_sampler in schedule.tuned.items():
        for budget in of_sampler:
            spacing = tuned_spacing(schedule.tuned, made(text), budget)
            assert canonical(spacing) == spacing
            assert network_calls(made(text), made(text).grid(schedule, spacing, budget)) == budget
    assert len({made(text) for text in schedule.tuned}) == len(schedule.tuned)


def test_a_schedule_has_those_of_its_model_and_is_the_same_without():
    info = read_model("digits").info
    assert info.schedule().tuned == tuned_grids(info.digest) != {}
    assert replace(info, digest="0" * 64).schedule().tuned == SCHEDULE.tuned == FLOW.tuned == {}
    assert info.schedule() == SCHEDULE
    assert hash(info.schedule()) == hash(SCHEDULE)
    assert ModelInfo.load({**vars(info)}).schedule().tuned == info.schedule().tuned


@pytest.mark.parametrize(
    ("text", "budget", "listed"),
    [
        ("unipc", 3, "0,45,338,688"),
        ("unipc:order=2", 5, "0,39,95.5,313,452,774"),
        ("unipc:lower_order_final=never,order=3", 5, "1,2.25,3"),
    ],
)
def test_a_grid_is_its_samplers_however_that_is_written(text, budget, listed):
    assert tuned_spacing(GRIDS, made(text), budget) == listed


def test_what_the_table_has_not_is_named_with_what_it_has():
    with pytest.raises(NoGridError, match="^UniPC-2 has tuned grids at S = 3, 5 on this model, not 4$"):
        tuned_spacing(GRIDS, made("unipc"), 4)
    of = "unipc, unipc:order=3,lower_order_final=never"
    with pytest.raises(ValueError, match=f"^Heun has no tuned grids on this model, which has those of {of}$"):
        tuned_spacing(GRIDS, made("heun"), 5)
    with pytest.raises(ValueError, match=r"^this model has no tuned grids: jobs/tune\.py finds them$"):
        tuned_spacing({}, made("unipc"), 5)


def test_it_is_a_name_but_no_formula():
    assert TUNED not in SPACINGS
    assert canonical(TUNED) == TUNED
