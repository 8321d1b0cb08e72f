"""Figure 5 as a number, from a real sweep: DDIM keeps its images at every S, DDPM does not."""

import json
from pathlib import Path

import pytest
from in_process import InProcess, cluster

from pipeline.cluster.resources import Request
from pipeline.reporting.report import publish
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.measured import largest_of, read_consistency
from pipeline.sweep.run import open_run
from pipeline.work import complete
from pipeline.work.claim import claim
from pipeline.work.flow import flow
from pipeline.work.inventory import Inventory
from pipeline.work.match import Consistency
from pipeline.work.perform import perform
from pipeline.work.verify import verify

CONFIG = SweepConfig(
    sampler=("ddim:eta=0", "ddim:eta=1", "dpmpp_2m"), steps=(5, 10, 20), eta=None, num_images=200, batch_size=100
)


def measured(out, **changes):
    run = open_run(CONFIG.model_copy(update={"out": str(out)} | changes))
    claim(run)
    flow(run, InProcess())
    perform(Consistency(run), InProcess())
    return run


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    run = measured(tmp_path_factory.mktemp("consistency") / "out")
    publish(run)
    return run


def found_in(run):
    return read_consistency(run.storage, run.paths, run.settings)


def test_the_samplers_of_the_ode_keep_their_images_and_ddpm_does_not(drawn):
    """The farthest of DDIM's is far below the shuffled control; DDPM is nearer to it than to DDIM."""
    found = found_in(drawn)
    assert len(found) == 3 * 2
    for setting, near in found.items():
        assert near["against"].split("-")[1] == "S20"
        if setting.sampler.name == "ddim" and setting.sampler.eta == 1.0:
            assert near["score"] > 0.7
        else:
            assert near["score"] + 5 * near["score_se"] < 0.5
    ddim = {s.steps: near["score"] for s, near in found.items() if s.sampler.options.get("eta") == 0.0}
    assert ddim[5] > ddim[10]


def test_only_what_is_missing_is_compared(drawn):
    assert Consistency(drawn).tasks() == []
    one = next(iter(largest_of(drawn.settings)))
    path = drawn.paths.consistency(one.slug)
    before = drawn.storage.read(path)
    drawn.storage.write(path, before[:-10])  # damaged
    assert [task.item[0] for task in Consistency(drawn).tasks()] == [one]
    perform(Consistency(drawn), InProcess())
    assert drawn.storage.read(path) == before


def test_a_finished_sweep_of_a_release_that_compared_nothing_is_compared(tmp_path, monkeypatch, capsys):
    """Every image, feature and row of it is there."""
    run = measured(tmp_path / "out", sampler=("ddim",), steps=(2, 5), num_images=40)
    path = run.paths.consistency(run.settings[0].slug)
    whole = run.storage.read(path)
    Path(run.config.out, path).unlink()
    monkeypatch.setattr(complete, "publish", lambda run, seen=None: f"{len(found_in(run))} compared")
    monkeypatch.setattr(complete, "cluster", cluster)
    complete.complete(run, Request())
    assert capsys.readouterr().out == "1 compared\n"
    assert run.storage.read(path) == whole


def test_a_grid_that_grows_is_compared_with_its_new_largest(tmp_path):
    small = measured(tmp_path / "out", sampler=("ddim",), steps=(5, 10), num_images=40)
    assert {near["against"] for near in found_in(small).values()} == {"ddim-S10-eta0-linear"}
    grown = measured(tmp_path / "out", sampler=("ddim",), steps=(5, 10, 20), num_images=40)
    assert [near["against"] for near in found_in(grown).values()] == ["ddim-S20-eta0-linear"] * 2


def test_verify_finds_a_flipped_bit_and_misses_no_file_of_an_earlier_release(drawn):
    assert verify(Inventory(drawn), InProcess()) == []
    path = drawn.paths.consistency(next(iter(largest_of(drawn.settings))).slug)
    whole = drawn.storage.read(path)
    for at in (whole.index(b"score") + 9, whole.index(b"against") + 12):
        drawn.storage.write(path, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert [(problem.path, problem.kind) for problem in verify(Inventory(drawn), InProcess())] == [(path, "bad")]
    Path(drawn.config.out, path).unlink()
    assert verify(Inventory(drawn), InProcess()) == []
    drawn.storage.write(path, whole)


def test_the_report_has_it_and_metrics_json_stays_as_it_was(drawn):
    text = publish(drawn)
    assert "distance from the largest S" in text
    names = drawn.storage.ls("report")
    assert {"consistency.png", "consistency.pdf"} <= names.keys()
    assert all("consistency" not in row for row in json.loads(drawn.storage.read("metrics.json")))
    page = drawn.storage.read("report/index.html").decode()
    for setting, near in found_in(drawn).items():
        decimals = 4 if near["score"] < 0.1 else 3
        assert f"distance {near['score']:.{decimals}f} ± {near['score_se']:.{decimals}f}" in page, setting.slug
    csv = drawn.storage.read("report/table.csv").decode().splitlines()
    assert {"consistency", "consistency_se"} <= set(csv[0].split(","))
