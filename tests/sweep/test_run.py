"""A run: opened from a config or from its output, what it keeps of the output's past, and what it refuses."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from pipeline import UserError
from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.diffusion.samplers.dpmpp import DPMpp2M
from pipeline.storage.sealed import fingerprint
from pipeline.storage.store import Storage, StorageError
from pipeline.sweep.output import open_folder
from pipeline.sweep.run import open_run, saved_run


@pytest.fixture
def run(small):
    """A run that has claimed its output: two settings of DDIM."""
    return claimed(open_run(small))


def claimed(run):
    run.storage.write_json("sweep.json", run.to_json())
    return run


def changed(run, **changes):
    return run.config.model_copy(update=changes)


def test_opening_writes_nothing_and_names_what_the_pixels_depend_on(small, tmp_path):
    run = open_run(small)
    assert not (tmp_path / "out").exists()
    assert run.identity == {
        **{"seed": 0, "num_images": 90, "batch_size": 16, "shard_size": 25, "dtype": "float32"},
        **{"model": run.model.digest, "noise": "philox4x32-10/box-muller/1"},
    }
    assert run.measurement.identity.items() >= run.identity.items()
    assert [setting.slug for setting in run.settings] == ["ddim-S5-eta0-linear", "ddim-S5-etahat-linear-clip"]
    assert [(shard.first, shard.end) for shard in run.shards()] == [(0, 25), (25, 50), (50, 75), (75, 90)] * 2


def test_what_is_saved_is_what_is_read_again(run):
    content = json.loads(run.storage.read("sweep.json"))
    assert (content["format"], content["samplers"]) == (2, {"ddim": 1})
    assert content["fingerprint"] == fingerprint(run.identity)
    again = saved_run(run.out)
    assert (again.config, again.model, again.identity) == (run.config, run.model, run.identity)
    assert again.measurement == run.measurement
    assert again.settings == open_run(run.config).settings == run.settings


def test_an_output_that_was_moved_is_read_where_it_is(run, tmp_path):
    (tmp_path / "out").rename(tmp_path / "moved")
    assert saved_run(str(tmp_path / "moved")).out == str(tmp_path / "moved")


def test_a_batch_is_no_larger_than_a_shard_or_the_run(small):
    assert open_run(small.model_copy(update={"batch_size": 400})).config.batch_size == 25
    few = {"batch_size": 400, "shard_size": 500, "num_images": 20}
    assert open_run(small.model_copy(update=few)).identity["batch_size"] == 20
    uncapped = open_run(small.model_copy(update={"batch_size": 400}), cap_batch=False)
    assert (uncapped.config.batch_size, uncapped.identity["batch_size"]) == (400, 400)
    claimed(uncapped)
    assert open_run(uncapped.config).identity == uncapped.identity


def test_what_is_auto_is_what_the_output_has(run):
    opened = open_run(changed(run, batch_size=0, speed="auto"))
    assert (opened.config.batch_size, opened.config.speed, opened.identity) == (16, "plain", run.identity)


def test_a_sampler_of_an_earlier_grid_stays_among_those_of_the_output(run):
    """Its images are there, so a release with another version of it must refuse the output."""
    grown = claimed(open_run(changed(run, sampler=("dpmpp_2m",), eta=None)))
    assert [setting.sampler.name for setting in grown.settings] == ["dpmpp_2m"]
    for opened in (grown, saved_run(run.out)):
        assert opened.to_json()["samplers"] == {"ddim": 1, "dpmpp_2m": 2}


@pytest.mark.parametrize(("sampler", "drawn_by"), [(DDIM, 1), (DPMpp2M, 2)])
def test_a_version_that_this_release_has_not_is_refused(run, monkeypatch, sampler, drawn_by):
    claimed(open_run(changed(run, sampler=("dpmpp_2m",), eta=None)))
    monkeypatch.setattr(sampler, "version", 3)
    for opened in (lambda: open_run(run.config), lambda: saved_run(run.out)):
        with pytest.raises(UserError, match=f"version {drawn_by} of {sampler.name}, and this release has version 3"):
            opened()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": 1}, r"\(seed 0 there, 1 here\): give another --out"),
        ({"dtype": "bfloat16"}, r"\(dtype float32 there, bfloat16 here\): give another --out"),
        ({"num_images": 80}, r"\(num_images 90 there, 80 here\): give another --out"),
        ({"batch_size": 15}, r"\(batch_size 16 there, 15 here\): give another --out"),
        ({"shard_size": 30}, r"\(shard_size 25 there, 30 here\): give another --out"),
        ({"speed": "channels_last"}, r"\(dtype float32 there, float32, channels_last here\): give another --out"),
        (
            {"reference": "{}"},
            r"\(reference digits there, content:\w+ here\): measure it by jobs/evaluate.py",
        ),
        ({"reference": "{}", "seed": 1}, r"\(seed 0 there, 1 here; reference digits .* here\): give another --out"),
    ],
)
def test_another_run_is_refused_with_both_fingerprints_and_advice(run, tmp_path, change, says):
    (tmp_path / "pictures").mkdir()
    for i in (0, 1):
        Image.new("L", (8, 8), i).save(tmp_path / "pictures" / f"{i}.png")
    change = {name: str(tmp_path / "pictures") if value == "{}" else value for name, value in change.items()}
    with pytest.raises(UserError, match=f"--out {run.out} has fingerprint .{{16}}, this run .{{16}} {says}") as error:
        open_run(changed(run, **change))
    if change.keys() != {"reference"}:
        other = open_run(changed(run, out=str(tmp_path / "new"), **change))
        assert f"has fingerprint {fingerprint(run.identity)}, this run {fingerprint(other.identity)} " in str(
            error.value
        )


def test_another_model_is_another_run(run, tiny_model):
    with pytest.raises(UserError, match=r"\(model \w+ there, \w+ here\): give another --out"):
        open_run(changed(run, model=tiny_model))


def test_what_is_no_sweeps_output_is_refused(tmp_path, small):
    with pytest.raises(UserError, match=r"holds no sweep\.json: it is not the output of a sweep"):
        saved_run(str(tmp_path))
    Storage(small.out).write("mine.txt", b"")
    with pytest.raises(UserError, match=r"holds 'mine\.txt' and no sweep\.json: give an empty or a new folder"):
        open_run(small)


def test_a_later_format_is_refused_and_the_first_one_read(run):
    content = run.to_json()
    for there in (3, 10):
        run.storage.write_json("sweep.json", content | {"format": there})
        with pytest.raises(UserError, match=f"has format {there}, and this release reads up to 2: use a later one"):
            saved_run(run.out)
    first = {name: value for name, value in content.items() if name not in ("format", "samplers")}
    run.storage.write_json("sweep.json", first)
    assert saved_run(run.out).earlier_samplers == {"ddim": 1}


def test_a_model_of_another_release_is_read_or_refused_in_one_line(run):
    content = run.to_json()
    earlier = {name: content["model"][name] for name in content["model"] if name not in ("latent_shape", "num_classes")}
    for model in (earlier, content["model"] | {"sigma_data": 0.5}):
        run.storage.write_json("sweep.json", content | {"model": model})
        assert saved_run(run.out).model == run.model
    run.storage.write_json("sweep.json", content | {"model": content["model"] | {"noise_schedule": "cosine"}})
    with pytest.raises(UserError, match=r"its sweep\.json is not one of this release: .*'cosine' of its model is none"):
        saved_run(run.out)


def test_rows_are_those_of_the_grid_that_are_whole(run):
    first, second = run.settings
    rows = {setting: setting.describe() | {"fid": setting.nfe} for setting in run.settings}
    for setting, row in rows.items():
        run.storage.write_json(run.paths.row(setting.slug), row)
    assert run.metrics() == rows
    run.storage.write(run.paths.row(first.slug), b"{")  # is measured again
    run.storage.write_json(run.paths.row("ddim-S7-eta0-linear"), {"fid": 1})  # of an earlier grid
    assert run.metrics() == {second: rows[second]}
    elsewhere = replace(run, measurement=replace(run.measurement, path="evaluations/x"))
    assert (elsewhere.metrics(), elsewhere.paths.metrics) == ({}, "evaluations/x/metrics.json")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"order": 2}, "it has 'order', which neither its sampler ddim nor a metric of this release knows"),
        ({"fid_next": 1.0}, "it has 'fid_next', which neither its sampler ddim nor a metric of this release knows"),
        ({"steps": 7}, "it has the row of ddim-S7-eta0-linear"),
        ({"eta": 7}, "ddim:eta: must be a number from 0 to 1, or hat"),
        ({"sampler": "flow"}, "unknown sampler 'flow'"),
    ],
)
def test_a_row_that_this_release_does_not_know_is_one_line(run, more, says):
    first, _ = run.settings
    run.storage.write_json(run.paths.row(first.slug), first.describe() | {"fid": 1.0} | more)
    with pytest.raises(UserError, match=f"/{run.paths.row(first.slug)}: {says}") as refused:
        run.metrics()
    assert "\n" not in str(refused.value)


def test_in_between_nobody_waits_for_a_lost_store(run, monkeypatch):
    """At the start and the end of a run its result is written with patience, and once a minute with none."""
    assert (run.result.storage.patience, run.result.hurried.patience) == (None, 0)
    assert replace(run, patience=0.0).storage.patience == 0


def test_a_store_that_cannot_be_listed_is_one_line(monkeypatch):
    def lost(storage):
        raise StorageError("cannot list s3://bucket: gone")

    monkeypatch.setattr(Storage, "names", lost)
    with pytest.raises(UserError, match="^--baseline s3://bucket: cannot list s3://bucket: gone$"):
        open_folder("--baseline", "s3://bucket", None)
