"""result.json: what a run cost and did, its end, and what it says of a store that is lost."""

import pytest

from pipeline.storage.store import Storage, StorageError
from pipeline.sweep.result import Result


@pytest.fixture
def out(tmp_path):
    return Storage(str(tmp_path))


def result_of(out):
    return Result(out, out)


def test_costs_are_hours_of_gpus_and_of_cores_and_add_up_over_runs(out, capsys):
    """Two workers of two GPUs each for an hour are four GPU hours; a worker without one is a core."""
    for run in (1, 2):
        result = result_of(out)
        with result.recorded(3, 60):
            result.spend(2 * 3600, 2.0)
            result.spend(1800, 0.25)
            result.spend(5400, 0.0)
        found = out.read_json("result.json")
        assert (found["state"], found["gpu_hours"], found["cpu_hours"]) == ("finished", 4.125 * run, 1.5 * run)
    assert capsys.readouterr().err.splitlines()[-1] == (
        "finished: 3 settings, 60 images (0 drawn now), 0 failures, 8.25 GPU hours, 3.00 CPU core hours"
    )


def test_images_drawn_are_those_of_the_drawing_alone(out, capsys):
    result = result_of(out)
    with result.recorded(2, 100):
        result.note("drawing", {"a": {"images": 50, "done": 40}, "b": {"images": 50, "done": 7}})
        result.note("features", {"a": {"images": 50, "done": 3}})
        result.note("drawing", {"a": {"images": 50, "done": 50}, "b": {"images": 50, "done": 7}})
    assert out.read_json("result.json")["images_drawn"] == 57
    assert "2 settings, 100 images (57 drawn now)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "state", "failures"),
    [
        (KeyboardInterrupt(), "stopped", {}),
        (ValueError("what"), "failed", {"the run": "ValueError: what"}),
        (StorageError("gone"), "running", {}),  # nothing more is written to a store that is lost
    ],
)
def test_the_end_is_told(out, error, state, failures):
    result = result_of(out)

    def work():
        with result.recorded(1, 1):
            assert out.read_json("result.json")["state"] == "running"
            raise error

    with pytest.raises(type(error)):
        work()
    found = out.read_json("result.json")
    assert (found["state"], found["failures"]) == (state, failures)


def test_in_between_it_is_written_without_patience_and_a_lost_store_is_no_end(out, monkeypatch):
    hurried = Storage(out.url, patience=0)
    result = Result(out, hurried)

    def lost(*_):
        raise StorageError("gone")

    with result.recorded(1, 1):
        with monkeypatch.context() as patch:
            patch.setattr(out, "write_json", lost)
            result.content["images_drawn"] = 5
            result.publish()
        assert out.read_json("result.json")["images_drawn"] == 5
        monkeypatch.setattr(hurried, "write_json", lost)
        result.publish()
