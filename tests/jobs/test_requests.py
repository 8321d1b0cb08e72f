"""What jobs request of a cluster: their options for workers arrive there, with the output that nodes must see."""

import contextlib

import in_process
import pytest
from here import run_here
from PIL import Image
from places import draw_and_measure

from pipeline import UserError
from pipeline.cluster.resources import Request
from pipeline.sweep.run import open_run
from pipeline.work.claim import claim

ALL = {"num_workers": 3, "gpus_per_worker": 0.5, "start_timeout": 7.0}
SEEDS = ["--seeds", *"0123"]
JOBS = {
    "sweep": ([], ALL, "sweep.json"),
    "reconstruct": (["--steps", "2"], ALL, "study.json"),
    "interpolate": (SEEDS, ALL, "study.json"),
    "trajectory": (SEEDS, ALL, "study.json"),
    "evaluate": (["--reference", "{}"], {"num_workers": 3}, "sweep.json"),
    "verify": ([], {}, "sweep.json"),
    "nightly": ([], {"num_workers": 3}, "sweep.json"),
}


@pytest.fixture
def requested(monkeypatch):
    """The requests with which clusters are joined; the jobs end there."""
    requests = []

    @contextlib.contextmanager
    def cluster(request):
        requests.append(request)
        raise UserError("no cluster here")
        yield

    monkeypatch.setattr(in_process, "cluster", cluster)
    return requests


@pytest.mark.parametrize("job", JOBS)
def test_the_options_for_workers_arrive_at_the_cluster(tmp_path, small, requested, job):
    arguments, options, first_file = JOBS[job]
    if job == "evaluate":
        draw_and_measure(tmp_path / "out", steps=(2,), eta=(0.0,), num_images=20)
    if job == "verify":
        claim(open_run(small))
    (tmp_path / "pictures").mkdir()
    for i in range(3):
        Image.new("L", (8, 8), i).save(tmp_path / "pictures" / f"{i}.png")
    given = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", value)]
    arguments = [argument.replace("{}", str(tmp_path / "pictures")) for argument in arguments]
    status, _, err = run_here(job, "--out", tmp_path / "out", *arguments, *given)
    assert (status, err.splitlines()[-1]) == (2, "error: no cluster here")
    (request,) = requested
    out = request.out if job == "nightly" else str(tmp_path / "out")
    assert request == Request(**options, out=out, first_file=first_file)
    assert out.startswith(str(tmp_path / "out"))
