"""The paper's numbers beside ours: where every condition agrees, and nowhere else."""

from dataclasses import replace

import numpy as np
import paper_tables
import pytest
from paper_tables import fids
from schedules import SCHEDULE

from pipeline.diffusion.checkpoint import read_checkpoint
from pipeline.evaluation.extractors import INCEPTION, ExtractorInfo
from pipeline.evaluation.measurement import Measurement
from pipeline.evaluation.reference import ReferenceInfo
from pipeline.images.pixels import pixel_digest
from pipeline.reporting import table
from pipeline.reporting.paper import (
    EXPERIMENTS,
    INCEPTION_SCORES,
    RECONSTRUCTION,
    differences,
    paper_fid,
)
from pipeline.reporting.report import caption, publish
from pipeline.sweep.config import SweepConfig, make_config
from pipeline.sweep.grid import settings
from pipeline.sweep.images import ImageFile, write_images
from pipeline.sweep.model import model_folder
from pipeline.sweep.presets import PRESETS
from pipeline.sweep.run import Run
from pipeline.sweep.shards import plan

PRINTED = {
    "cifar10": fids(paper_tables.CIFAR10),
    "celeba": fids(paper_tables.CELEBA),
    "bedroom": fids(paper_tables.BEDROOM),
    "church": fids(paper_tables.CHURCH),
}


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
    return {setting: setting.describe() | numbers | reference for setting in settings(run.config, SCHEDULE)}


def test_every_number_is_the_papers():
    assert {preset: experiment.fid for preset, experiment in EXPERIMENTS.items()} == PRINTED
    assert paper_tables.read(paper_tables.RECONSTRUCTION) == {"error": RECONSTRUCTION}
    assert paper_tables.read(paper_tables.SCORES) == {"IS": INCEPTION_SCORES}
    assert sum(map(len, PRINTED.values())) == 25 + 25 + 8 + 8
    shapes_and_counts = {name: (e.image_shape[1], e.num_reference) for name, e in EXPERIMENTS.items()}
    lsun = {"bedroom": (256, 3_033_042), "church": (256, 126_227)}
    assert shapes_and_counts == {"cifar10": (32, 50_000), "celeba": (64, 162_770)} | lsun


def test_the_presets_are_the_papers_grids():
    for preset, experiment in EXPERIMENTS.items():
        needed = {name: "x" for name in ("model", "reference")}
        config = make_config(preset, None, needed)
        cells = {(s.sampler.eta, s.steps): paper_fid(experiment, s) for s in settings(config, SCHEDULE)}
        assert cells == PRINTED[preset], preset
        assert (config.num_images, config.extractor, config.overridden()) == (
            50_000,
            (INCEPTION,),
            {"reference": "x"} if preset == "cifar10" else {},
        )
    assert PRESETS.keys() == {"digits", "samplers", *EXPERIMENTS}


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
    beside = {s: row | {"fid_paper": paper_fid(EXPERIMENTS["cifar10"], s)} for s, row in rows(run).items()}
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
        (lambda r: replace(r, model=replace(r.model, beta_start=2e-4)), "another noise schedule"),
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
    reasons = differences(run, {s: row | {"reference": reference} for s, row in rows(run).items()})
    assert len(reasons) == len(says)
    assert all(text in reason for text, reason in zip(says, reasons, strict=True))


def published(run, out):
    """Publish a run of one setting for which the paper has a number: the lines of every text that speak of it."""
    config = run.config.model_copy(update={"out": str(out), "steps": (10,), "eta": (0.0,), "shard_size": 4})
    run = replace(run, config=config)
    (setting,), shape = run.settings, run.model.image_shape
    pixels = np.random.default_rng(0).integers(0, 256, (4, *shape[1:], shape[0]), dtype=np.uint8)
    shard = plan(setting, 50_000, 4)[0]
    info = ImageFile(setting.fingerprint(run.identity), 4, pixel_digest(pixels), 1.0, "cpu", "2")
    write_images(run.storage, shard, pixels, info, [0])
    run.storage.write_json(run.paths.row(setting.slug), rows(run)[setting])
    texts = [publish(run), *(run.storage.read(f"report/table.{kind}").decode() for kind in ("md", "tex", "csv"))]
    assert all("10" in text for text in texts)
    lines = [line.replace(str(out), "") for text in texts for line in text.splitlines()]
    return [line for line in lines if "paper" in line or "13.36" in line]


def test_a_report_has_the_papers_column_where_all_agrees(run, tmp_path):
    lines = published(run, tmp_path)
    assert [line.split() for line in lines if line.startswith("  paper")] == [["paper", "13.36"]]
    assert "|   paper | 13.36 |" in lines
    assert r"\quad paper & 13.36 \\" in lines
    assert any("fid_paper" in line.split(",") for line in lines)


@pytest.mark.parametrize(
    "model", [{"ema": None}, {"ema": False}, {"image_shape": (3, 64, 64)}], ids=["unknown", "not EMA", "size"]
)
def test_a_report_has_no_papers_column_where_a_condition_differs(run, tmp_path, model):
    assert published(replace(run, model=replace(run.model, **model)), tmp_path) == []


def test_another_spacing_or_clipping_has_no_cell(run):
    for change in ({"spacing": ("linear",)}, {"clip": "always"}, {"steps": (30,)}, {"eta": (0.3,)}):
        config = run.config.model_copy(update=change)
        cells = [paper_fid(EXPERIMENTS["cifar10"], s) for s in settings(config, SCHEDULE)]
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
    slow = {s: row | {"images_per_second": 0.1412} for s, row in rows(run).items()}
    assert "0.141" in table.to_text(slow)
