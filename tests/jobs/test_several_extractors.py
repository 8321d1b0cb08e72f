"""Several extractors in one pass: each image is decoded once, and each extractor has the numbers it has alone."""

import json
import shutil
from collections import Counter

import pytest
import toy_extractor
from here import run_here
from places import image_digest

from pipeline.evaluation.extractors import DIGITS, DIGITS_WEIGHTS
from pipeline.images import digits
from pipeline.sweep.run import saved_run
from pipeline.work import extract

GRID = ["--steps", "5", "--eta", "0", "hat", "--num-images", "40", "--batch-size", "10", "--shard-size", "20"]
SHARDS, DIGIT_IMAGES = 4, 1797
BOTH = [*GRID, "--extractor", DIGITS, "quarters"]
TIMES = ("seconds", "images_per_second")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    toy_extractor.registered(monkeypatch)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Outputs by one job each: of one extractor and later the other, and of both at once; and what was printed."""
    folder = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as patch:
        toy_extractor.registered(patch)
        texts = {"alone": job("sweep", *GRID, "--out", folder / "alone")}
        texts["evaluated"] = job("evaluate", "--out", folder / "alone", "--extractor", "quarters")
        decoded = counted(patch)
        texts["both"] = job("sweep", *BOTH, "--out", folder / "both")
    return folder, texts, decoded


@pytest.fixture
def both(files, tmp_path):
    """A copy of the output of both."""
    return shutil.copytree(files[0] / "both", tmp_path / "both")


def job(*arguments):
    status, text, err = run_here(*arguments)
    assert status == 0, err
    return text


def counted(monkeypatch):
    """How often what is decoded: shards of settings, and images of the reference."""
    found, read_images, numbered = Counter(), extract.read_images, digits.numbered

    def counting(*arguments):
        found["shards"] += 1
        return read_images(*arguments)

    def counting_numbered(images):
        def pictures(first, end):
            for picture in numbered(images)(first, end):
                found["reference"] += 1
                yield picture

        return pictures

    monkeypatch.setattr(extract, "read_images", counting)
    monkeypatch.setattr(digits, "numbered", counting_numbered)
    return found


def rows(folder):
    """The rows of metrics.json, but for times."""
    return [
        {k: v for k, v in row.items() if k not in TIMES} for row in json.loads((folder / "metrics.json").read_text())
    ]


def of(out, name):
    (folder,) = (out / "evaluations").glob(f"{name}-*")
    return folder


def written(out):
    """Path below the output → time of writing, of all features and rows."""
    kept = [*out.rglob("*.parquet"), *out.rglob("_metrics.json")]
    return {str(file.relative_to(out)): file.stat().st_mtime_ns for file in kept}


def test_each_image_is_decoded_once(files):
    assert files[2] == {"shards": SHARDS, "reference": DIGIT_IMAGES}


def test_each_has_the_numbers_and_the_place_that_it_has_alone(files):
    folder, _, _ = files
    alone, both = folder / "alone", folder / "both"
    assert rows(both) == rows(alone)
    assert rows(of(both, "quarters")) == rows(of(alone, "quarters"))
    assert rows(of(both, "quarters")) != rows(both)
    names = [{*written(out)} | {"evaluations/" + of(out, "quarters").name} for out in (alone, both)]
    assert names[0] == names[1]
    one, other = (saved_run(str(out)) for out in (alone, both))
    assert (one.identity, one.measurement) == (other.identity, other.measurement)
    assert [image_digest(one, s) for s in one.shards()] == [image_digest(other, s) for s in other.shards()]


def test_tables_stand_one_after_the_other_under_the_extractors_name(files):
    _, texts, _ = files

    def tables(name):
        return [block for block in texts[name].split("\n\n") if block.startswith(("FID", "IS"))]

    blocks = texts["both"].split("\n\n")
    places = [blocks.index(name) for name in (DIGITS, "quarters")]
    assert places[0] == 0 < places[1]
    assert tables("both") == tables("alone") + tables("evaluated")
    assert blocks[places[1] + 1] == tables("evaluated")[0]


def test_it_is_well_and_done(both, monkeypatch):
    assert "0 problems" in job("verify", "--out", both)
    decoded, before = counted(monkeypatch), written(both)
    for arguments in (["--config", both / "sweep.json", "--out", both], [*BOTH, "--out", both]):
        status, text, err = run_here("sweep", *arguments)
        assert (status, "nothing to do" in err, text.count("FID ↓")) == (0, True, 2), err
    assert (written(both), decoded) == (before, {})


def test_a_third_is_extracted_alone(both, one_layer, monkeypatch):
    decoded, before = counted(monkeypatch), written(both)
    text = job("sweep", *BOTH, one_layer, "--out", both)
    assert [block for block in text.split("\n\n") if block in (DIGITS, "quarters", one_layer)][-1] == one_layer
    assert {path: time for path, time in written(both).items() if path in before} == before
    assert all(path.startswith("evaluations/one-layer-") for path in written(both).keys() - before.keys())
    assert decoded == {"shards": SHARDS, "reference": DIGIT_IMAGES}
    assert [row["fid"] for row in rows(of(both, one_layer))] == [row["fid"] for row in rows(both)]
    assert "0 problems" in job("verify", "--out", both)


def test_what_is_lost_of_each_is_made_again_in_one_pass(both, monkeypatch):
    """Of the first shard both features, of the last one alone; and a row each."""
    expected = rows(both), rows(of(both, "quarters"))
    shards, place = saved_run(str(both)).shards(), of(both, "quarters")
    features = [folder / shard.path("features") for folder, shard in ((both, shards[0]), (place, shards[0]))]
    lost = [*features, place / shards[-1].path("features"), *both.rglob("_metrics.json")]
    for file in lost:
        file.unlink()
    decoded = counted(monkeypatch)
    job("sweep", *BOTH, "--out", both)
    assert decoded == {"shards": 2}
    assert (rows(both), rows(of(both, "quarters"))) == expected


def test_a_comparison_is_of_the_first(files):
    folder, _, _ = files
    text = job("compare", folder / "alone", folder / "both")
    assert text.count("same images") == 2


def test_evaluate_takes_several_too(files, tmp_path, one_layer, monkeypatch):
    out = shutil.copytree(files[0] / "alone", tmp_path / "alone")
    decoded = counted(monkeypatch)
    text = job("evaluate", "--out", out, "--extractor", one_layer, DIGITS, "quarters")
    assert [block for block in text.split("\n\n") if block in (DIGITS, "quarters", one_layer)] == [
        *(one_layer, DIGITS, "quarters")
    ]
    assert decoded == {"shards": SHARDS, "reference": DIGIT_IMAGES}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--extractor", DIGITS, "vgg16", "--extractor-weights", "w.pth"], "say of which extractor the weights are"),
        (["--extractor-weights", "vgg16=w.pth"], f"vgg16 is not one of the extractors, {DIGITS}"),
        (["--extractor-weights", "a", "--extractor-weights", "b"], f"the weights of {DIGITS} are given twice"),
        (["--extractor", DIGITS, "nobody"], "--extractor nobody is unknown"),
    ],
)
@pytest.mark.parametrize("name", ["sweep", "evaluate"])
def test_bad_input_is_one_line_and_writes_nothing(files, name, arguments, says):
    out = files[0] / "alone"
    before = sorted(out.rglob("*"))
    status, text, err = run_here(name, *(GRID if name == "sweep" else []), *arguments, "--out", out)
    assert (status, text, says in err, len(err.splitlines())) == (2, "", True, 1), err
    assert sorted(out.rglob("*")) == before


def test_weights_are_of_the_extractor_that_they_name(both):
    """Given again, of either; the sweep's own are the package's under another name, so its images are measured anew."""
    named = ["--extractor-weights", f"{DIGITS}={DIGITS_WEIGHTS}", "--extractor-weights", "quarters=README.md"]
    status, text, err = run_here("sweep", *BOTH, *named, "--out", both)
    assert (status, text, len(err.splitlines())) == (2, "", 1), err
    assert "--extractor quarters cannot be loaded from --extractor-weights README.md" in err
