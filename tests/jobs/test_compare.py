"""compare: outputs and single settings beside a baseline, in pairs of the same noise and not."""

import json
import math
import re
import shutil

import pytest
import torch
from bootstrap import fid_statistic, is_statistic, paired_bootstrap
from here import run_here
from places import draw_and_measure

from pipeline.evaluation.features import read_features, write_features
from pipeline.evaluation.reference import read_reference
from pipeline.sweep.layout import folder
from pipeline.sweep.measured import read_setting
from pipeline.sweep.run import saved_run
from pipeline.sweep.shards import plan

ETA0, HAT = "ddim-S20-eta0-linear", "ddim-S20-etahat-linear-clip"
JACKKNIFE = 0.5  # three relative errors of a standard error by 20 groups


@pytest.fixture(scope="module")
def drawn(finished):
    """Besides the two sweeps, one of fewer images and one of other settings."""
    draw_and_measure(finished / "few", num_images=120)
    draw_and_measure(finished / "others", steps=(5,), eta=(0.5,), num_images=60)
    noise = torch.Generator().manual_seed(0)
    copy(finished, "close", lambda x: x + 0.005 * x.std() * torch.randn(x.shape, generator=noise))
    copy(finished, "shifted", lambda x: x + 1.0)
    return finished


def copy(base, name, change):
    """A copy of the sweep whose features have changed, in files that are whole, and which took twice as long."""
    shutil.copytree(base / "out", base / name)
    run = saved_run(str(base / name))
    for shard in run.shards():
        part = read_features(run.storage, shard.path("features"))
        changed = change(part.features)
        metadata = part.metadata | {"seconds": 2 * part.metadata["seconds"]}
        write_features(run.storage, shard.path("features"), shard.first, changed, part.logits, metadata)


def compare(base, *outputs, status=0):
    """The numbers and the text of a comparison, whose Markdown has the same cells."""
    (base / "to").mkdir(exist_ok=True)
    files = ["--json", base / "to" / "c.json", "--markdown", base / "to" / "c.md"]
    code, text, err = run_here("compare", *(base / output for output in outputs), *files)
    assert (code, err) == (status, "")
    page = (base / "to" / "c.md").read_text()
    for row in re.findall(r"^\| (.*×\)) \|$", page, re.MULTILINE):
        cells = row.split(" | ")
        assert len(cells) == 8
        assert re.search(r"\s+".join(map(re.escape, cells)), text), row
    return json.loads((base / "to" / "c.json").read_text()), text


def features(out, slug):
    run = saved_run(str(out))
    setting = next(one for one in run.settings if one.slug == slug)
    shards = plan(setting, run.config.num_images, run.config.shard_size)
    return read_setting(run.storage, run.measurement, shards)[1]


def test_the_names_of_settings_are_those_of_folders(drawn):
    assert [one.slug for one in saved_run(str(drawn / "out")).settings] == [ETA0, HAT]
    assert (drawn / "out" / folder("features", ETA0)).is_dir()


def test_equal_sides_have_no_difference_and_no_doubt(drawn):
    found, text = compare(drawn, "out", "out")
    (output,) = found["outputs"]
    assert (output["paired"], output["differing"]) == (True, {})
    assert [one["settings"] for one in output["settings"]] == [[ETA0, ETA0], [HAT, HAT]]
    for one in output["settings"]:
        assert one["quality"] == "same"
        for name in ("fid", "is", "kid"):
            assert (one[name]["difference"], one[name]["se"], one[name]["interval"]) == (0, 0, [0, 0])
    assert text.count("same images") == 2


def test_intervals_are_the_paired_bootstraps(drawn):
    """Of outputs, and of a column of a sweep beside another one, which is worse by far."""
    for sides in (("out", "close"), (f"out#{ETA0}", f"out#{HAT}")):
        found, _ = compare(drawn, *sides)
        one = found["outputs"][0]["settings"][0]
        there, here = (
            features(drawn / side.partition("#")[0], slug) for side, slug in zip(sides, one["settings"], strict=True)
        )
        run = saved_run(str(drawn / "out"))
        reference = read_reference(run.storage, run.paths.reference).features
        fids = [fid_statistic(side.features, reference) for side in (here, there)]
        estimate = paired_bootstrap(*fids, 240, 200)
        assert one["fid"]["se"] == pytest.approx(estimate.std, rel=JACKKNIFE)
        assert one["fid"]["difference"] == pytest.approx(estimate.delta - estimate.bias, abs=2 * estimate.std)
        values = one["fid"]["values"]
        assert values[1] - values[0] == pytest.approx(estimate.delta, abs=1e-3)  # their mean is in float32
        if one["quality"] == "worse":
            scores = [is_statistic(side.logits, 10) for side in (here, there)]
            estimate = paired_bootstrap(*scores, 240, 200)
            assert one["is"]["se"] == pytest.approx(estimate.std, rel=0.25)
            assert one["is"]["difference"] == pytest.approx(estimate.delta, abs=1e-6)
    assert one["quality"] == "worse"


def test_a_shift_is_found_and_a_tremble_is_not(drawn):
    found, text = compare(drawn, "out", "close", "shifted")
    close, shifted = (output["settings"] for output in found["outputs"])
    assert "worse" not in [one["quality"] for one in close]
    assert [one["quality"] for one in shifted] == ["worse", "worse"]
    assert text.index(f"\n{drawn / 'close'}\n") < text.index(f"\n{drawn / 'shifted'}\n") < text.index(" worse ")


def test_holms_levels_are_over_all_comparisons(drawn):
    found, _ = compare(drawn, "out", "close", "shifted")
    fids = [one["fid"] for output in found["outputs"] for one in output["settings"]]
    ordered = sorted(fids, key=lambda fid: fid["p_value"])
    failed = None
    for k, fid in enumerate(ordered):
        level = failed or 0.05 / (4 - k)
        assert fid["confidence"] == pytest.approx(1 - level)
        if fid["p_value"] >= level:
            failed = level
        low, high = fid["interval"]
        assert (low <= 0 <= high) == bool(failed)
    assert failed
    alone, _ = compare(drawn, f"out#{ETA0}", f"close#{ETA0}")
    assert alone["outputs"][0]["settings"][0]["fid"]["confidence"] == pytest.approx(0.95)


def test_the_order_of_sides_flips_signs(drawn):
    (there,), (back,) = (compare(drawn, *sides)[0]["outputs"] for sides in (("out", "shifted"), ("shifted", "out")))
    for one, other in zip(there["settings"], back["settings"], strict=True):
        assert {one["quality"], other["quality"]} == {"worse", "better"}
        for name in ("fid", "is", "kid"):
            assert one[name]["values"] == other[name]["values"][::-1]
            assert one[name]["difference"] == pytest.approx(-other[name]["difference"])
            assert one[name]["se"] == pytest.approx(other[name]["se"])
            assert one[name]["interval"] == pytest.approx([-bound for bound in other[name]["interval"][::-1]])
        assert one["images_per_second"] == other["images_per_second"][::-1]


def test_other_noise_is_no_pair_and_is_wider(drawn):
    found, text = compare(drawn, "out", "other", "close")
    other, close = found["outputs"]
    assert (other["paired"], other["differing"], close["paired"]) == (False, {"seed": ["0", "1"]}, True)
    assert text.index("not pairs") < text.index("other seed: 0 → 1") < text.index(f"\n{ETA0} ")
    assert "pairs of images with the same noise: seed 0, 240 images" in text
    for one, paired in zip(other["settings"], close["settings"], strict=True):
        assert one["fid"]["se"] > 3 * paired["fid"]["se"]
        low, high = one["fid"]["interval"]
        assert low < 0 < high  # another seed of the same setting


def test_other_numbers_of_images_are_compared_without_their_bias(drawn):
    found, text = compare(drawn, "out", "few")
    (output,) = found["outputs"]
    assert (output["paired"], output["differing"]) == (False, {"num images": ["240", "120"]})
    assert "IS depends on the number of images" in text
    fid = output["settings"][0]["fid"]
    plain = fid["values"][1] - fid["values"][0]
    assert plain > 2 * abs(fid["difference"])
    assert fid["interval"][0] < 0 < fid["interval"][1]


def test_the_text_has_the_numbers_of_the_json(drawn):
    found, text = compare(drawn, "out", "shifted")
    one = found["outputs"][0]["settings"][1]
    (line,) = [line for line in text.splitlines() if line.startswith(HAT)]
    numbers = [
        float(number.replace(",", ""))
        for number in re.findall(r"[-+]?[\d,]*\.?\d+(?:e[-+]\d+)?", line[len(HAT) :].replace(", ", " "))
    ]
    (before, after), (calls, calls_here) = one["images_per_second"], one["nfe"]
    expected = [*one["fid"]["values"]]
    for name in ("fid", "is", "kid"):
        expected += [one[name]["difference"], *one[name]["interval"]]
    assert numbers == pytest.approx([*expected, before, after, 1 / 2, calls, calls_here, 1], rel=6e-3, abs=1e-9)
    rows = json.loads((drawn / "out" / "metrics.json").read_text())
    assert one["fid"]["values"][0] == pytest.approx(rows[1]["fid"])
    assert one["kid"]["values"][0] == pytest.approx(rows[1]["kid_mean"])
    assert (before, after) == pytest.approx((rows[1]["images_per_second"], rows[1]["images_per_second"] / 2))


def test_a_setting_stands_beside_the_same_of_a_whole_output(drawn):
    for sides in ((f"out#{HAT}", "close"), ("out", f"close#{HAT}")):
        found, _ = compare(drawn, *sides)
        assert [one["settings"] for one in found["outputs"][0]["settings"]] == [[HAT, HAT]]
    found, _ = compare(drawn, f"out#{ETA0}", f"out#{HAT}", "others#ddim-S5-eta0.5-linear", "close")
    pairs = [one["settings"] for output in found["outputs"] for one in output["settings"]]
    assert pairs == [[ETA0, HAT], [ETA0, "ddim-S5-eta0.5-linear"], [ETA0, ETA0]]


def test_too_few_images_have_no_interval(drawn, tmp_path):
    draw_and_measure(tmp_path / "tiny", num_images=9)
    status, text, err = run_here("compare", drawn / "out", tmp_path / "tiny", "--json", tmp_path / "c.json")
    assert (status, err, text.count("too few images")) == (0, "", 2)
    fid = json.loads((tmp_path / "c.json").read_text())["outputs"][0]["settings"][0]["fid"]
    assert (fid["se"], fid["interval"], fid["p_value"]) == (None, None, None)
    assert math.isfinite(fid["difference"])


def test_it_writes_into_no_output(drawn):
    before = {file: file.stat().st_mtime_ns for file in (drawn / "out").rglob("*")}
    compare(drawn, "out", "close")
    assert {file: file.stat().st_mtime_ns for file in (drawn / "out").rglob("*")} == before
