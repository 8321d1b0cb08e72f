"""Which file of report/ holds what: figures under their names, of the rows and pictures that their labels say."""

import json
from dataclasses import replace

import numpy as np
import pytest
from pages import output

from pipeline.reporting import plots
from pipeline.reporting.report import caption, publish

FIGURES = ("fid_vs_calls", "fid_vs_seconds", "seconds_vs_calls", "consistency")
LABELS = ("DDIM η = 0.0, linear", "UniPC-2, time-quadratic", "Heun, karras")
STEPS = (7, 10, 30)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The run, the text, and figure → what it was given; a figure's file has its name and how many came before it."""
    given = {}

    def patched(name):
        def figure(rows):
            given.setdefault(name, []).append(rows)
            return {kind: f"{name} {len(given[name])} {kind}".encode() for kind in ("png", "pdf")}

        return figure

    run = output(tmp_path_factory.mktemp("files") / "out")
    for i, setting in enumerate(run.settings):
        if setting.steps != 30:
            near = {"score": 0.2 + 0.1 * i, "score_se": 0.01 + 0.003 * i, "against": run.settings[i // 3 * 3 + 2].slug}
            run.storage.write_json(run.paths.consistency(setting.slug), near)
    with pytest.MonkeyPatch.context() as patch:
        for name in (*FIGURES, "samples", "same_seeds"):
            patch.setattr(plots, name, patched(name))
        text = publish(run)
    return run, text, given


def test_figures_are_under_their_names(published):
    run, _, given = published
    for name in (*FIGURES, "samples", "same_seeds"):
        for kind in ("png", "pdf"):
            assert run.storage.read(f"report/{name}.{kind}") == f"{name} 1 {kind}".encode()
    assert run.storage.read("report/least_and_most.png") == b"same_seeds 2 png"
    rows = json.loads(run.storage.read("metrics.json"))
    for name in FIGURES:
        (shown,) = given[name]
        assert [{k: v for k, v in row.items() if "consistency" not in k} for row in shown.values()] == rows
        assert [row.get("consistency") for row in shown.values()] == [
            None if row["steps"] == 30 else pytest.approx(0.2 + 0.1 * i) for i, row in enumerate(rows)
        ]


def pixels(i, count):
    return np.random.default_rng(i).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)[:count]


def test_pictures_are_those_of_their_label(published):
    _, _, given = published
    (samples,) = given["samples"]
    assert [label for label, _ in samples] == [f"{label}, S = {s}" for label in LABELS for s in STEPS]
    for i, (_, shown) in enumerate(samples):
        assert np.array_equal(shown, pixels(i, 16))
    for rows, steps, count in zip(given["same_seeds"], (STEPS, (7, 30)), (4, 8), strict=True):
        assert [(label, sorted(cells)) for label, cells in rows] == [(label, [*steps]) for label in LABELS]
        for k, (_, cells) in enumerate(rows):
            for s, shown in cells.items():
                assert np.array_equal(shown, pixels(3 * k + STEPS.index(s), count))


def test_the_text_ends_in_where_the_files_are(published):
    run, text, _ = published
    assert text.splitlines()[-1] == f"Files: {run.config.out}/metrics.json, {run.config.out}/report/"


@pytest.mark.parametrize(
    ("ema", "weights"),
    [
        (True, "EMA weights"),
        (False, "weights that are not EMA"),
        (None, "weights of which it is unknown if they are EMA"),
    ],
)
def test_the_caption_names_images_weights_precision_features_and_reference(published, ema, weights):
    run, _, _ = published
    config = run.config.model_copy(update={"dtype": "bfloat16"})
    first, *_ = caption(replace(run, config=config, model=replace(run.model, ema=ema)), run.metrics())
    assert first == (
        f"40 images a setting, {weights}, bfloat16; features of digits-classifier, reference digits (1,797 images). "
        "FID falls with the number of images: compare only at the same number."
    )
    rows = {run.settings[0]: {"reference": {}, "kid_mean": None}}
    statistics = replace(run.measurement.reference, kind="statistics")
    first, second, *_ = caption(replace(run, measurement=replace(run.measurement, reference=statistics)), rows)
    assert "reference digits (statistics alone)." in first
    assert second == "KID, precision and recall need features of the reference; it has statistics alone."
