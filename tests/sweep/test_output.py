"""Saved descriptions: of other releases, with a field more or less, and their formats by number."""

import json
from dataclasses import asdict

import pytest
from pydantic import ValidationError

from pipeline import UserError
from pipeline.evaluation.extractors import ExtractorInfo
from pipeline.evaluation.measurement import Measurement
from pipeline.evaluation.reference import ReferenceInfo
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.layout import slug_of
from pipeline.sweep.output import load, refuse_newer

EXTRACTOR = ExtractorInfo("vgg16", None, "1" * 64, 4096)
MEASUREMENT = Measurement(
    EXTRACTOR,
    ReferenceInfo("digits", "images", "digits", (1, 8, 8), "a note"),
    {"seed": 0, "reference": "digits"},
    "evaluations/vgg16",
)


@pytest.mark.parametrize("saved", [EXTRACTOR, MEASUREMENT])
def test_what_json_gives_back_is_what_was_saved(saved):
    assert load(type(saved), json.loads(json.dumps(asdict(saved)))) == saved


def test_a_field_more_is_passed_over_at_any_depth_and_one_less_has_its_default():
    content = json.loads(json.dumps(asdict(MEASUREMENT))) | {"colour": "red"}
    content["extractor"]["layers"] = ["64"]
    del content["reference"]["note"]
    again = load(Measurement, content)
    assert (again.extractor, again.reference.note) == (MEASUREMENT.extractor, "")
    config = SweepConfig(steps=(5, 10), eta=(0.0, "hat"))
    assert load(SweepConfig, config.model_dump() | {"guidance": 2.0}) == config


def test_a_field_without_a_default_must_be_there_and_values_must_be_possible():
    content = asdict(EXTRACTOR)
    del content["width"]
    for wrong in (content, asdict(EXTRACTOR) | {"width": "wide"}, 1):
        with pytest.raises(ValidationError):
            load(ExtractorInfo, wrong)


def test_a_later_format_is_refused_by_its_number():
    for known in ({}, {"format": 1}, {"format": 2}):
        refuse_newer("--out x", known, 2)
    with pytest.raises(UserError, match="^--out x has format 10, and this release reads up to 2: use a later one$"):
        refuse_newer("--out x", {"format": 10}, 2)


def test_a_file_of_a_setting_says_so_by_its_path():
    for path in ("images/setting=ddim-S5-eta0.2-linear/seeds-0.parquet", "trajectories/ddim-S5-eta0.2-linear.parquet"):
        assert slug_of(path) == "ddim-S5-eta0.2-linear"
    assert slug_of("sweep.json") == ""
