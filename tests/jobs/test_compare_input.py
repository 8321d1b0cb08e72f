"""compare refuses what cannot be compared in one line, and then writes nothing."""

import shutil

import pytest
from here import run_here
from places import draw_and_measure

from pipeline.evaluation.reference import Reference, read_reference, write_reference
from pipeline.sweep.run import saved_run

ETA0, HAT = "ddim-S20-eta0-linear", "ddim-S20-etahat-linear-clip"


@pytest.fixture(scope="module")
def drawn(finished):
    """Besides the two sweeps one of another setting, and an empty folder."""
    draw_and_measure(finished / "others", steps=(5,), eta=(0.5,), num_images=60)
    (finished / "to").mkdir(exist_ok=True)
    return finished


def resealed(out, change):
    """Change sweep.json as a hand that knows its digest."""
    storage = saved_run(str(out)).storage
    saved = storage.read_json("sweep.json")
    change(saved)
    storage.write_json("sweep.json", saved)


def another_content(place):
    """Write another reference under the name of the same one."""
    run = saved_run(place.url)
    reference = read_reference(run.storage, run.paths.reference)
    provenance = reference.provenance | {"digest": "another"}
    write_reference(run.storage, run.paths.reference, Reference.of(reference.features + 1, provenance))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda saved: saved["evaluation"]["identity"].update(reference="sha256:0"), "reference digits and sha256:0"),
        (
            lambda saved: saved["evaluation"]["identity"].update(extractor="vgg16"),
            "extractor digits-classifier and vgg16",
        ),
        (lambda saved: saved.update(format=99), "has format 99"),
        (None, "content of the reference"),
    ],
)
def test_other_measurements_cannot_be_compared(finished, place, change, says, tmp_path):
    if change is None:
        another_content(place)
    else:
        resealed(place.url, change)
    status, text, err = run_here("compare", finished / "out", place.url, "--json", tmp_path / "c.json")
    assert (status, text, len(err.splitlines()), says in err) == (2, "", 1, True), err
    assert not (tmp_path / "c.json").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["out"], "give two outputs or more"),
        (["out", "none"], "none holds no sweep.json"),
        (["out", "to"], "to holds no sweep.json"),
        (["out/metrics.json", "out"], "it is a file"),
        (["out", "other#ddim-S7-eta0-linear"], f"no setting 'ddim-S7-eta0-linear'; it has {ETA0}, {HAT}"),
        (["out#", "other"], f"no setting ''; it has {ETA0}, {HAT}"),
        (["others", f"other#{ETA0}"], f"no setting '{ETA0}'; it has ddim-S5-eta0.5-linear"),
        (["out", "others"], "have no setting in common"),
        (["out", "other", "--markdown", "none/c.md"], "--markdown none/c.md must be a file"),
        (["out", "other", "--json", "/"], "--json / must be a file"),
        (["out", "other", "--storage-options", "x"], "--storage-options is not JSON"),
        (["out", "other", "--json="], "its value is empty"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(drawn, tmp_path, arguments, says):
    names = {"out", "none", "to", "out/metrics.json", "others", "other"}
    given = [drawn / text if text.partition("#")[0] in names else text for text in arguments]
    status, text, err = run_here("compare", "--json", tmp_path / "c.json", *given)
    assert (status, text, len(err.splitlines()), says in err) == (2, "", 1, True), err
    assert "--out" not in err
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("harm", ["gone", "damaged", "of another run"])
def test_damaged_features_are_one_line_and_write_nothing(finished, place, harm, tmp_path):
    name = saved_run(place.url).shards()[3].path("features")
    file = tmp_path / "out" / name
    whole = file.read_bytes()
    if harm == "damaged":
        file.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    elif harm == "gone":
        file.unlink()
    else:
        shutil.copy(finished / "other" / name, file)
    status, text, err = run_here("compare", finished / "out", place.url, "--markdown", tmp_path / "c.md")
    assert (status, text, len(err.splitlines()), name in err) == (1, "", 1, True), err
    assert not (tmp_path / "c.md").exists()
