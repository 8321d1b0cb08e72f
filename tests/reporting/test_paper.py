"""The paper's numbers beside ours: where every condition agrees, and nowhere else."""

from dataclasses import replace

import pytest
from schedules import SCHEDULE

from pipeline.diffusion.checkpoint import read_checkpoint
from pipeline.evaluation.extractors import INCEPTION, ExtractorInfo
from pipeline.evaluation.measurement import Measurement
from pipeline.evaluation.reference import ReferenceInfo
from pipeline.reporting import table
from pipeline.reporting.paper import EXPERIMENTS, differences, paper_fid
from pipeline.reporting.report import caption
from pipeline.sweep.config import SweepConfig, make_config
from pipeline.sweep.grid import settings
from pipeline.sweep.model import model_folder
from pipeline.sweep.presets import PRESETS
from pipeline.sweep.run import Run


@pytest.fixture
def run():
    """A run of the CIFAR10 preset as the paper would have it."""
    model = replace(read_checkpoint(model_folder("digits")).info, image_shape=(3, 32, 32), ema=True)
    extractor = ExtractorInfo(INCEPTION, None, "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2", 2048)
    reference = ReferenceInfo("cifar10-train", "images", "cifar10-train", (3, 32, 32))
    return Run(make_config("cifar10", None, {"model": "x"}), model, {}, Measurement(extractor, reference, {}), None)


def rows(run, num_images=50_000):
    numbers = {"fid": 1.0, "is_mean": 9.0, "is_std": 0.1, "kid_mean": 0.0, "images_per_second": 1.0}
    reference = {"reference": {"num_images": num_images, "source": "cifar10-train"}}
    return [setting.describe() | numbers | reference for setting in settings(run.config, SCHEDULE)]


def test_the_presets_are_the_papers_grids():
    for preset, experiment in EXPERIMENTS.items():
        needed = {name: "x" for name in ("model", "reference")}
        config = make_config(preset, None, needed)
        cells = {(s.sampler.eta, s.steps): paper_fid(experiment, s.describe()) for s in settings(config, SCHEDULE)}
        assert cells == experiment.fid, preset
        assert (config.num_images, config.extractor, config.overridden()) == (
            50_000,
            INCEPTION,
            {"reference": "x"} if preset == "cifar10" else {},
        )
    assert len(EXPERIMENTS["cifar10"].fid) == 25
    assert PRESETS.keys() == {"digits", *EXPERIMENTS}


def test_the_papers_pattern_holds_in_its_own_numbers():
    """Typing errors would break it: FID falls with S for each η, and rises with η for each S up to 50."""
    for experiment in EXPERIMENTS.values():
        etas = [eta for eta in (0.0, 0.2, 0.5, 1.0, "hat") if (eta, 10) in experiment.fid]
        steps = sorted({s for _, s in experiment.fid})
        for eta in etas:
            line = [experiment.fid[eta, s] for s in steps]
            assert line == sorted(line, reverse=True)
        for s in (s for s in steps if s <= 50):
            line = [experiment.fid[eta, s] for eta in etas]
            assert line == sorted(line)


def test_all_cells_stand_where_all_agrees(run):
    assert differences(run, rows(run)) == []
    assert caption(run, rows(run))[-1].startswith("paper: Song, Meng, Ermon, ICLR 2021, table 1, CIFAR10")
    beside = [row | {"fid_paper": paper_fid(EXPERIMENTS["cifar10"], row)} for row in rows(run)]
    text = table.to_text(beside).splitlines()
    first = next(i for i, line in enumerate(text) if line.startswith("η = 0.0"))
    assert text[first + 1].split() == ["paper", "13.36", "6.84", "4.67", "4.16", "4.04"]
    assert "| η = 1.0 | 1.00 |" in table.to_markdown(beside, "x")
    assert "|   paper | 41.07 |" in table.to_markdown(beside, "x")
    assert "\\quad paper & 367.43" in table.to_latex(beside, "x")
    assert "fid_paper" in table.to_csv(beside).splitlines()[0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: replace(r, config=r.config.model_copy(update={"num_images": 10_000})), "10,000 images, not 50,000"),
        (lambda r: replace(r, config=r.config.model_copy(update={"num_images": 49_984})), "49,984 images, not 50,000"),
        (lambda r: replace(r, config=r.config.model_copy(update={"dtype": "float16"})), "a network in float16"),
        (lambda r: replace(r, model=replace(r.model, ema=None)), "whether the weights are EMA is unknown"),
        (lambda r: replace(r, model=replace(r.model, ema=False)), "the weights are not EMA"),
        (lambda r: replace(r, model=replace(r.model, image_shape=(3, 64, 64))), "images of (3, 64, 64)"),
        (lambda r: replace(r, model=replace(r.model, num_train_timesteps=4000)), "another noise schedule"),
        (lambda r: replace(r, model=replace(r.model, beta_end=0.01)), "another noise schedule"),
        (
            lambda r: replace(
                r, measurement=replace(r.measurement, extractor=replace(r.measurement.extractor, digest="0" * 64))
            ),
            "other weights of Inception (00000000)",
        ),
        (
            lambda r: replace(
                r, measurement=replace(r.measurement, extractor=replace(r.measurement.extractor, name="vgg16"))
            ),
            "features of vgg16, not Inception",
        ),
    ],
)
def test_one_condition_that_differs_keeps_them_apart_and_is_named(run, change, says):
    changed = change(run)
    (reason,) = differences(changed, rows(run))
    assert says in reason
    assert reason in caption(changed, rows(run))[-1]


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ({"num_images": 10_000, "source": "cifar10-val"}, ["of 10,000 images", "made of cifar10-val"]),
        ({"num_images": 50_000, "source": "cifar100-train"}, ["made of cifar100-train, not of cifar10-train"]),
        ({"source": "s.npz"}, ["of an unknown number of images", "made of s.npz"]),
    ],
)
def test_another_reference_keeps_them_apart(run, reference, says):
    reasons = differences(run, [row | {"reference": reference} for row in rows(run)])
    assert len(reasons) == len(says)
    assert all(text in reason for text, reason in zip(says, reasons, strict=True))


def test_another_spacing_or_clipping_has_no_cell(run):
    for change in ({"spacing": ("linear",)}, {"clip": "always"}, {"steps": (30,)}, {"eta": (0.3,)}):
        config = run.config.model_copy(update=change)
        cells = [paper_fid(EXPERIMENTS["cifar10"], s.describe()) for s in settings(config, SCHEDULE)]
        if change == {"clip": "always"}:
            assert [bool(cell) for cell in cells] == [False] * 20 + [True] * 5
        else:
            assert not any(cells)
        assert config.overridden() == {name: value for name, value in change.items()}


def test_a_preset_says_what_it_needs():
    with pytest.raises(ValueError, match="--preset cifar10 needs --model"):
        make_config("cifar10", None, {})
    with pytest.raises(ValueError, match="--preset church needs --reference"):
        make_config("church", None, {"model": "x"})
    assert SweepConfig().overridden() == {}


def test_an_evaluation_in_other_features_is_what_the_caption_speaks_of(run):
    swept = replace(run, config=run.config.model_copy(update={"reference": "cifar10-val"}))
    assert not any(line.startswith("Other than the preset") for line in caption(swept, rows(swept)))
    reference = replace(run.measurement.reference, spec="photos")
    elsewhere = replace(run, measurement=replace(run.measurement, reference=reference))
    assert "Other than the preset cifar10: reference photos." in caption(elsewhere, rows(run))


def test_slow_cells_are_not_nothing(run):
    slow = [row | {"images_per_second": 0.1412} for row in rows(run)]
    assert "0.141" in table.to_text(slow)
