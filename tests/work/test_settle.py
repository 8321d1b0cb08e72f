"""What is auto: the largest batch, the form that pays; chosen once, saved, and kept by every later run."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from here import run_here

from pipeline.diffusion import checkpoint
from pipeline.diffusion.network import UNet
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.run import open_run
from pipeline.work import settle as settling
from pipeline.work.draw import Draw, DrawWorker
from pipeline.work.settle import Choice, ChoiceWorker, Fit, Pace, Paces, calls_a_worker, choose, settle

SMALL = ["--steps", "2", "--eta", "0", "1", "--num-images", "12", "--shard-size", "8"]


def opened(tmp_path, **given):
    return open_run(SweepConfig(out=str(tmp_path / "out"), steps=(2, 5), eta=(0.0,), **given))


def worker_of(tmp_path, dtype="float32"):
    run = opened(tmp_path, batch_size="auto", speed="auto", dtype=dtype)
    return ChoiceWorker("cpu", Choice(run, Pace(1, 1)).arguments)


def saved(out):
    return json.loads((out / "sweep.json").read_text())


@pytest.mark.parametrize(
    ("paces", "calls", "form", "says"),
    [
        (Paces({"plain": 1.0, "channels_last": 0.99}), 100, "plain", "too few to try compiling"),
        (Paces({"plain": 1.0, "channels_last": 0.97}), 100, "channels_last", "100 s plain, 97 s channels_last"),
        (Paces({"plain": 1.0, "channels_last": 1.0, "compiled": 0.5}, 49.0), 100, "plain", "compiling takes 49 s"),
        (Paces({"plain": 1.0, "channels_last": 1.0, "compiled": 0.5}, 47.0), 100, "compiled", "97 s compiled"),
        (Paces({"plain": 1.0, "channels_last": 0.9, "compiled": 0.5}, 45.0), 100, "channels_last", "95 s compiled"),
        (
            Paces({"plain": 1.0, "channels_last": 1.0}, problem="no g++"),
            100,
            "plain",
            "cannot be compiled here: no g++",
        ),
    ],
)
def test_the_form_is_taken_that_ends_the_run_soonest_if_it_is_worth_other_pixels(paces, calls, form, says):
    chosen, why = choose(paces, calls)
    assert chosen == form
    assert why.startswith(f"{form}. ")
    assert says in why


def test_calls_are_counted_by_whole_batches_of_every_shard(tmp_path):
    run = opened(tmp_path, num_images=50, shard_size=20)
    by_hand = sum(setting.nfe * math.ceil(rows / 8) for setting in run.settings for rows in (20, 20, 10))
    assert calls_a_worker(run, 8, 1) == by_hand == 7 * 8
    assert calls_a_worker(run, 8, 4) == by_hand // 4


def test_memory_is_halved_until_a_batch_fits(tmp_path, monkeypatch):
    worker = worker_of(tmp_path)
    cores, pages = 4, 2**20
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": pages}.get)
    budget = 4096 * pages / cores / 2
    for an_image, size in [(0, 100), (budget / 100, 100), (budget / 99, 50), (budget / 24, 13), (2 * budget, 1)]:
        monkeypatch.setattr(worker, "bytes_an_image", lambda an_image=an_image: an_image)
        assert worker.do(Fit(100, 1.0)) == size


def test_on_a_gpu_calls_are_tried_within_the_workers_share(tmp_path, monkeypatch):
    worker, shares, tried = worker_of(tmp_path), [], []

    def call(size):
        tried.append(size)
        if size > 30:
            raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    monkeypatch.setattr(worker, "_call", call)
    monkeypatch.setattr(worker, "device", "cuda")
    assert worker.do(Fit(100, 0.5)) == 25
    assert (tried, shares) == ([100, 50, 25], [0.45, 1.0])


def test_memory_of_an_image_is_what_a_call_needs_of_it_at_once(tmp_path, monkeypatch):
    """Two tensors of 3,000 bytes an image live together, and a third, smaller one only after them."""
    worker = worker_of(tmp_path)

    def call(size):
        kept = torch.ones(10**6)  # whatever the batch
        one = torch.ones(size, 750)
        other = one + 1
        del one, other
        kept += torch.ones(size, 1000).sum()

    monkeypatch.setattr(worker, "_call", call)
    assert worker.bytes_an_image() == pytest.approx(6000, rel=0.01)  # an allocator rounds up to 64 bytes


def test_compiling_is_tried_where_it_may_pay_and_its_failure_is_no_end(tmp_path, monkeypatch):
    worker, asked = worker_of(tmp_path), []

    def no_compiler(network, **options):
        asked.append(options)
        raise RuntimeError("no C++ compiler\nand more")

    monkeypatch.setattr(torch, "compile", no_compiler)
    assert worker.do(Pace(4, 1)).problem == ""
    assert asked == []
    monkeypatch.setattr(settling, "WORTH_ASKING", 0.0)
    paces = worker.do(Pace(4, 1))
    assert paces.problem == "RuntimeError: no C++ compiler"
    assert paces.seconds.keys() == {"plain", "channels_last"}
    assert asked == [{"dynamic": False, "mode": "default"}]  # one shape: the last batch is filled


def test_the_time_of_a_form_is_that_of_its_calls(tmp_path, monkeypatch):
    """In the precision of the run, by which the fastest form may be another."""
    clock, costs = [0.0], {"plain": [9.0, 2.0], "channels_last": [5.0, 1.0], "compiled": [30.0, 0.5]}
    precisions = []

    class Takes(UNet):
        def __init__(self, weights, device, precision, form="plain"):
            self.costs = [*costs[form]]
            precisions.append(precision)

        def __call__(self, x_t, node, labels):
            clock[0] += self.costs.pop(0) if len(self.costs) > 1 else self.costs[0]

    worker = worker_of(tmp_path, "bfloat16")
    monkeypatch.setattr(checkpoint, "UNet", Takes)
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    paces = worker.do(Pace(4, 1000))
    assert paces == Paces({"plain": 2.0, "channels_last": 1.0, "compiled": 0.5}, 30.0)
    assert precisions == ["bfloat16"] * 3


@pytest.mark.parametrize(("gpus", "share"), [(0.0, 1.0), (0.25, 0.25), (1.0, 1.0), (4.0, 1.0)])
def test_a_batch_is_asked_for_within_a_workers_share_and_calls_are_shared(tmp_path, monkeypatch, gpus, share):
    """Of three workers each makes a third of the calls; a worker of four GPUs draws on one of them."""
    asked = []

    def ask(choice, joined):
        asked.append(choice.question)
        return 5 if isinstance(choice.question, Fit) else FASTER

    monkeypatch.setattr(Choice, "ask", ask)
    joined = SimpleNamespace(resources=SimpleNamespace(gpus=gpus), pool=lambda on_gpu: SimpleNamespace(size=3))
    run = opened(tmp_path, batch_size="auto", speed="auto", num_images=20, shard_size=10)
    config = settle(run, joined).config
    assert asked == [Fit(10, share), Pace(5, 7 * 4 // 3)]
    assert (config.batch_size, config.speed) == (5, "channels_last")


def test_a_run_without_anything_auto_asks_no_worker(tmp_path):
    run = opened(tmp_path)
    assert settle(run, None) is run


def test_what_was_chosen_is_saved_as_if_given_and_kept(tmp_path, monkeypatch):
    auto, given = tmp_path / "auto", tmp_path / "given"
    monkeypatch.setattr(ChoiceWorker, "do", lambda self, item: 4 if isinstance(item, Fit) else FASTER)
    status, _, err = run_here("sweep", *SMALL, "--batch-size", "auto", "--speed", "auto", "--out", auto)
    assert status == 0, err
    assert "--batch-size auto: 4 images a network call" in err
    assert "--speed auto: channels_last. Estimated for 12 network calls a worker: 24 s plain, 12 s channels_last" in err
    assert run_here("sweep", *SMALL, "--batch-size", "4", "--speed", "channels_last", "--out", given)[0] == 0
    one, other = saved(auto), saved(given)
    assert one["config"] == other["config"] | {"out": str(auto)}
    assert (one["fingerprint"], one["identity"]["dtype"]) == (other["fingerprint"], "float32, channels_last")

    monkeypatch.setattr(ChoiceWorker, "do", None)  # nobody is asked again
    status, _, err = run_here("sweep", *SMALL, "--batch-size", "auto", "--speed", "auto", "--out", auto)
    assert (status, "nothing to do" in err) == (0, True), err
    more = ["--steps", "2", "3", *SMALL[2:]]
    status, _, err = run_here("sweep", *more, "--batch-size", "auto", "--speed", "auto", "--out", auto)
    assert status == 0, err
    assert saved(auto)["config"]["speed"] == "channels_last"
    assert run_here("verify", "--out", auto)[0] == 0


FASTER = Paces({"plain": 2.0, "channels_last": 1.0})


def test_another_form_is_another_run(tmp_path):
    assert run_here("sweep", *SMALL, "--out", tmp_path / "out")[0] == 0
    assert "speed" in saved(tmp_path / "out")["config"]
    assert saved(tmp_path / "out")["identity"]["dtype"] == "float32"
    status, _, err = run_here("sweep", *SMALL, "--speed", "channels_last", "--out", tmp_path / "out")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "(dtype float32 there, float32, channels_last here): give another --out" in err


def test_the_worker_draws_in_the_form_of_the_run(tmp_path, monkeypatch):
    forms = []
    make = UNet.__init__
    monkeypatch.setattr(UNet, "__init__", lambda self, *given: forms.append(given[-1]) or make(self, *given))
    assert run_here("sweep", *SMALL, "--speed", "channels_last", "--out", tmp_path / "out")[0] == 0
    assert set(forms) == {"channels_last"}


def test_a_lost_first_file_leaves_the_choice_to_a_worker_again(tmp_path, monkeypatch):
    monkeypatch.setattr(ChoiceWorker, "do", lambda self, item: 4 if isinstance(item, Fit) else FASTER)
    out = tmp_path / "out"
    assert run_here("sweep", *SMALL, "--batch-size", "auto", "--out", out)[0] == 0
    (out / "sweep.json").unlink()
    status, _, err = run_here("sweep", *SMALL, "--batch-size", "auto", "--out", out)
    assert (status, "0 drawn now" in err) == (0, True), err
    assert saved(out)["config"]["batch_size"] == 4


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--batch-size", "0"], "error: --batch-size: give 1 or more, or auto (got '0')"),
        (["--batch-size", "most"], "error: --batch-size: input should be a valid integer"),
        (["--speed", "fast"], "error: --speed: input should be 'plain', 'channels_last', 'compiled' or 'auto'"),
    ],
)
def test_other_values_are_one_line(tmp_path, given, says):
    status, _, err = run_here("sweep", *given, "--out", tmp_path / "out")
    assert (status, len(err.splitlines())) == (2, 1)
    assert err.startswith(says)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_leaves_open_what_is_auto(tmp_path):
    status, said, _ = run_here("sweep", *SMALL, "--speed", "auto", "--dry-run", "--out", tmp_path / "out")
    assert (status, "fingerprint known when it is chosen what is auto" in said) == (0, True)


@pytest.mark.slow
def test_a_compiled_worker_draws_the_same_pixels_as_another_and_nearly_those_of_a_plain_one(tmp_path):
    def pixels(form):
        run = opened(tmp_path, num_images=40, batch_size=40, speed=form)
        worker = DrawWorker("cpu", Draw(run).arguments)
        return np.stack([worker.draw_batch(setting, torch.arange(40)) for setting in run.settings]).astype(int)

    plain, one, other = pixels("plain"), pixels("compiled"), pixels("compiled")
    assert np.array_equal(one, other)
    # An error of some 1e-6 moves a value over the edge of one of 256 steps in 1e-6 · 256 / 2 of all cases or so, and
    # walks of S = 5 hardly enlarge it: of 5,120 values none is expected to differ, and none by more than one step.
    assert np.abs(plain - one).max() <= 1
    assert (plain != one).mean() < 0.002
