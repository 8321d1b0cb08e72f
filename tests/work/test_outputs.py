"""Outputs of all kinds over their lives: killed, resumed, lost, foreign, newer, damaged and repaired, all alike."""

import contextlib
import json
import shutil
from socket import gethostname

import pytest
from in_process import without_ray
from lives import KINDS, Life, described, killed, prepare, refused, result, spoil
from matplotlib.figure import Figure

from pipeline import UserError
from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.storage.store import DamagedFileError
from pipeline.sweep.layout import METRICS
from pipeline.work import complete as module
from pipeline.work.inventory import take_inventory
from pipeline.work.verify import set_aside

DEAD = 2**22 + 1
"""Above the largest pid that Linux gives."""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No Ray, of a sweep's report metrics.json alone, and empty figures."""

    def publish(run, seen):
        run.storage.write(run.paths.metrics, json.dumps([*run.metrics().values()]).encode())
        return "table"

    without_ray(monkeypatch)
    for method in ("savefig", "draw_without_rendering"):
        monkeypatch.setattr(Figure, method, lambda *_, **__: None)
    monkeypatch.setattr(module, "publish", publish)
    monkeypatch.setattr(module, "growing_page", lambda run, seen: contextlib.nullcontext(lambda: None))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Kind → a finished output and what is in its files, made once each."""
    made = {}

    def make(kind):
        if kind not in made:
            life = Life(kind, tmp_path_factory.mktemp(kind) / "out")
            prepare(life, make)
            life.complete()
            made[kind] = life, life.content()
        return made[kind]

    return make


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def expected(kind, whole):
    return whole(kind)[1]


@pytest.fixture
def fresh(kind, whole, tmp_path):
    """An output that nobody has begun."""
    life = Life(kind, tmp_path / "out")
    prepare(life, whole)
    return life


@pytest.fixture
def finished(kind, whole, tmp_path):
    """A copy of a finished output."""
    shutil.copytree(whole(kind)[0].out.parent, tmp_path, dirs_exist_ok=True)
    return Life(kind, tmp_path / "out")


@pytest.mark.parametrize("count", [0, 1])
def test_killed_after_the_first_file_or_some_it_goes_on_to_the_same_content(
    fresh, expected, monkeypatch, capsys, count
):
    with killed(monkeypatch, fresh, count):
        fresh.complete()
    assert fresh.first.exists()
    assert (result(fresh)["state"], len(fresh.content()) < len(expected)) == ("stopped", True)
    fresh.complete()
    fresh.assert_well(expected)
    assert "finished: " in capsys.readouterr().err
    assert result(fresh)["state"] == "finished"
    fresh.complete()
    assert "nothing to do: every file is there" in capsys.readouterr().err


def test_two_that_were_opened_before_either_wrote_make_one_output(fresh, expected, monkeypatch):
    one, other = fresh.open(), fresh.open()
    with killed(monkeypatch, fresh, 1):
        fresh.end(one)
    fresh.end(other)
    fresh.end(one)
    fresh.assert_well(expected)


def test_without_its_first_file_it_goes_on_from_the_files(finished, expected):
    before = described(finished)
    finished.first.unlink()
    (finished.home / f".{finished.name}.{gethostname()}.{DEAD}.0.tmp").write_bytes(b"half")
    finished.complete()
    assert described(finished) == before
    finished.assert_well(expected)


def test_anothers_files_without_their_first_file_are_refused(finished):
    finished.first.unlink()
    if finished.kind == "evaluation":  # whose place follows from what it is made of
        own = finished.home
        (finished.out.parent / "other" / "0.png").unlink()
        own.rename(finished.place())
    refused(finished, rf"it has fingerprint .* without {finished.name} nothing says more", seed=1)


def test_a_damaged_first_file_is_named_and_without_it_the_files_go_on(finished, expected):
    before, whole = described(finished), finished.first.read_bytes()
    finished.first.write_bytes(whole.replace(b'"kind": "', b'"kind": "x', 1).replace(b'"seed": 0', b'"seed": 1', 1))
    refused(finished, f"digest: move {finished.name} away, and the same command goes on from the files")
    if finished.kind == "evaluation":  # of which the sweep's own first file says all that verify needs
        inventory, problems = finished.problems()
        path = str(finished.first.relative_to(finished.out))
        assert [(problem.kind, problem.path) for problem in problems] == [("bad", path)]
        assert set_aside(inventory, problems) == [path]
        assert [problem.kind for problem in finished.problems()[1]] == ["missing"]
    else:
        with pytest.raises(DamagedFileError, match=finished.name):
            take_inventory(str(finished.out), None)
        finished.first.unlink()
    finished.complete()
    assert described(finished) == before
    finished.assert_well(expected)


def test_a_place_that_holds_something_else_is_refused(fresh):
    place = fresh.place()
    place.mkdir(parents=True)
    (place / "mine.txt").write_text("")
    refused(fresh, f"holds 'mine.txt' and no {fresh.name}: give an empty or a new folder")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda content: content.update(format=7), r"has format 7, and this release reads up to \d: use a later one"),
        (lambda content: content.pop("identity"), "is not one of this release"),
    ],
)
def test_what_this_release_cannot_read_is_one_line(finished, change, says):
    spoil(finished, change)
    refused(finished, says)
    with pytest.raises(UserError, match=says):
        take_inventory(str(finished.out), None)


def test_another_version_of_a_sampler_is_refused(finished, monkeypatch):
    monkeypatch.setattr(DDIM, "version", 2)
    refused(finished, "has images of version 1 of ddim, and this release has version 2")
    with pytest.raises(UserError, match="has images of version 1 of ddim, and this release has version 2"):
        take_inventory(str(finished.out), None)


def test_a_field_more_or_less_in_a_description_makes_nothing_unreadable(finished, expected):
    def change(content):
        for part in ("config", "model", "evaluation", "extractor", "reference"):
            if part in content:
                content[part]["colour"] = "red"
        content.get("model", {}).pop("notes", None)
        content.get("config", {}).pop("spacing", None)
        content["number"] = 7

    spoil(finished, change)
    finished.complete()
    finished.assert_well(expected)


def test_a_damaged_file_is_named_and_repaired_to_the_same_content(finished, expected):
    folders = {file.parent for file in finished.home.rglob("*.parquet") if "evaluations" not in str(file.parent)}
    folders = folders if finished.kind != "evaluation" else {f.parent for f in finished.home.rglob("seeds*.parquet")}
    files = [max(folder.glob("*.parquet")) for folder in sorted(folders)]
    for file in files:
        whole = file.read_bytes()
        file.write_bytes(whole[:200] + bytes([whole[200] ^ 4]) + whole[201:])
    (finished.home / "more.txt").write_text("")
    inventory, problems = finished.problems()
    named = {(problem.kind, str(finished.out / problem.path)) for problem in problems}
    assert named == {*(("bad", str(file)) for file in files), ("surplus", str(finished.home / "more.txt"))}
    moved = set_aside(inventory, problems)
    assert {str(finished.out / path) for path in moved} >= {path for _, path in named}
    finished.complete()
    finished.assert_well(expected)


def test_numbers_that_were_changed_are_named_and_written_again(finished):
    if (metrics := finished.home / METRICS).exists():
        whole = metrics.read_bytes()
        metrics.write_bytes(whole.replace(b": 0.", b": 1.", 1))
        inventory, problems = finished.problems()
        assert [(problem.kind, problem.path) for problem in problems] == [
            ("bad", str(metrics.relative_to(finished.out)))
        ]
        set_aside(inventory, problems)
        finished.complete()
        assert metrics.read_bytes() == whole
    else:
        assert finished.kind == "trajectory"
