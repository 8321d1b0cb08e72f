"""A night's answers from end to end, but for the drawing: its images and their measures are there before it begins."""

import shutil

import pytest
from here import run_here
from places import draw_and_measure

from pipeline.regression import history
from pipeline.regression.baseline import write_baseline
from pipeline.storage.store import Storage
from pipeline.work.compare import Compare, CompareWorker

SLUG, OTHER = "ddim-S5-eta0-linear", "ddim-S5-etahat-linear-clip"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("drawn") / "out"
    return draw_and_measure(out, steps=(5,), num_images=40, batch_size=20, shard_size=20)


@pytest.fixture(scope="module")
def baseline(drawn, tmp_path_factory):
    folder = tmp_path_factory.mktemp("baseline")
    write_baseline(Storage(str(folder)), drawn)
    return folder


@pytest.fixture
def night(drawn, baseline, tmp_path, monkeypatch):
    """Run jobs/nightly.py on the drawn images beside a baseline whose entry of SLUG is changed.

    It returns the exit status, both outputs, and the history's rows by setting.
    """

    def compare(tonight, request):
        shutil.copytree(drawn.config.out, tonight.run.config.out)
        worker = CompareWorker("cpu", Compare(tonight.run, tonight.baseline).arguments)
        return [worker.do(setting) for setting in tonight.run.settings]

    def check(change, *arguments):
        shutil.copytree(baseline, tmp_path / "b")
        storage = Storage(str(tmp_path / "b"))
        content = storage.read_json("baseline.json")
        change(content["entries"][SLUG])
        storage.write_json("baseline.json", content)
        ended = run_here("nightly", "--baseline", tmp_path / "b", "--out", tmp_path / "nights", *arguments)
        rows = history.read(Storage(str(tmp_path / "nights")))
        return *ended, {row["setting"]: row for row in rows}

    monkeypatch.setattr("pipeline.work.night._draw_and_compare", compare)
    return check


def times(name, factor):
    return lambda entry: entry.update({name: entry[name] * factor})


def test_a_night_slower_than_its_baseline_is_a_regression(night):
    status, out, err, rows = night(times("network_share", 2))
    assert (status, err) == (1, "")
    assert "### REGRESSION: quality worse in 0, speed in 1 of 2 settings" in out
    row = rows[SLUG]
    assert (row["speed"], rows[OTHER]["speed"]) == ("slower", "ok")
    assert row["baseline_network_share"] == 2 * row["network_share"]
    assert f"network calls take {row['network_share']:.1%} of the drawing, -50% of the baseline's" in out
    assert row["share_limit"] == (1 - 0.1) * row["baseline_network_share"]


def test_a_night_faster_than_its_baseline_is_clean(night):
    status, out, _, rows = night(times("network_share", 1 / 2))
    assert (status, "### clean: no regression in 2 settings" in out) == (0, True)
    assert {row["speed"] for row in rows.values()} == {"ok"}


def test_a_loaded_machine_alone_is_no_regression(night):
    """Images a second are a quarter of the baseline's, and the network's share is what it was."""
    status, _, _, rows = night(times("images_per_second", 4))
    assert (status, rows[SLUG]["speed"]) == (0, "ok")
    assert rows[SLUG]["baseline_images_per_second"] == 4 * rows[SLUG]["images_per_second"]


def test_a_baseline_of_an_earlier_release_is_not_compared_in_speed(night):
    status, out, _, rows = night(lambda entry: entry.pop("network_share"))
    assert (status, rows[SLUG]["speed"], rows[OTHER]["speed"]) == (0, "not compared", "ok")
    assert "| ? → " in out


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([], 0),  # a twentieth slower, of which 10 % are tolerated, and of FID 2 %
        (["--tolerance", "0.5", "--speed-tolerance", "0.01"], 1),
        (["--tolerance", "0.01", "--speed-tolerance", "0.5"], 0),
    ],
)
def test_each_tolerance_is_of_its_own_measure(night, arguments, status):
    fid, speed = [float(value) for value in arguments[1::2]] or [0.02, 0.1]
    code, out, _, rows = night(times("network_share", 1.05), *arguments)
    assert (code, rows[SLUG]["speed"]) == (status, "slower" if status else "ok")
    for row in rows.values():
        assert row["fid_limit"] == (1 + fid) * row["baseline_fid"]
        assert row["share_limit"] == (1 - speed) * row["baseline_network_share"]
    assert f"by more than {fid:.1%}. " in out
    assert f"slower is a loss of it by more than {speed:.0%}" in out


def test_a_changed_extractor_makes_the_baseline_unusable_and_the_night_no_answer(night):
    status, out, err, rows = night(lambda entry: entry["row"].update(fid=1.1 * entry["row"]["fid"]))
    assert (status, out, rows, len(err.splitlines())) == (2, "", {}, 1), err
    assert f"FID of {SLUG} is " in err
    assert "the extractor or the reference has changed" in err
