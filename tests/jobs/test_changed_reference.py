"""A reference that has changed: measured anew where its pixels did, and known again from an earlier release."""

import json

import pytest
from here import run_here
from PIL import Image
from places import draw_and_measure

from pipeline import UserError
from pipeline.images import folder
from pipeline.images.digits import digits_images
from pipeline.regression.baseline import write_baseline
from pipeline.storage.store import Storage
from pipeline.sweep.run import open_run
from pipeline.work.night import open_night

QUICK = {"steps": (2,), "eta": (0.0,), "num_images": 40}


def small_reference(photos, value):
    """Five images of the same size in bytes, whatever is in them: PGM is not compressed."""
    photos.mkdir(exist_ok=True)
    for i, image in enumerate(digits_images()[:5]):
        Image.fromarray(image[0].numpy() // value).save(photos / f"{i}.pgm")


def test_a_reference_whose_pixels_change_and_sizes_do_not_is_measured_anew(tmp_path):
    small_reference(tmp_path / "photos", 1)
    opened = draw_and_measure(tmp_path / "out", reference=str(tmp_path / "photos"), **QUICK)
    small_reference(tmp_path / "photos", 4)
    status, _, err = run_here("sweep", "--config", tmp_path / "out" / "sweep.json")
    assert (status, len(err.splitlines()), "measure it by jobs/evaluate.py" in err) == (2, 1, True), err
    status, _, err = run_here("evaluate", "--out", tmp_path / "out")
    assert status == 0, err
    anew = draw_and_measure(tmp_path / "anew", reference=str(tmp_path / "photos"), **QUICK)
    (results,) = (tmp_path / "out" / "evaluations").iterdir()
    fids = [row["fid"] for row in anew.metrics().values()]
    assert [row["fid"] for row in json.loads((results / "metrics.json").read_text(encoding="utf-8"))] == fids
    assert [row["fid"] for row in opened.metrics().values()] != fids


def test_a_folder_that_an_earlier_release_knew_by_its_sizes_is_the_same_while_these_are(tmp_path, monkeypatch):
    small_reference(tmp_path / "photos", 1)
    with monkeypatch.context() as patch:
        patch.setattr(folder, "_by_content", lambda name, files: folder._by_listing(name))
        earlier = draw_and_measure(tmp_path / "out", reference=str(tmp_path / "photos"), **QUICK)
        write_baseline(Storage(str(tmp_path / "baseline")), earlier)
    assert earlier.measurement.identity["reference"].startswith("files:")
    assert open_run(earlier.config).measurement.identity == earlier.measurement.identity
    night = open_night(str(tmp_path / "nights"), str(tmp_path / "baseline"), None, None, None)
    assert night.run.measurement.identity["reference"] == earlier.measurement.identity["reference"]
    status, _, err = run_here("evaluate", "--out", tmp_path / "out")
    assert (status, "nothing to do" in err) == (0, True), err
    small_reference(tmp_path / "copies", 1)
    with pytest.raises(UserError, match="reference files:.* there, content:.* here"):  # of the same names and sizes
        open_run(earlier.config.model_copy(update={"reference": str(tmp_path / "copies")}))
