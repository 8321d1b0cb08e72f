"""Two sweeps in one output: plan, numbers and files agree, whoever begins, ends or writes last."""

import csv
import itertools
import json
import threading

import pytest
from in_process import InProcess, without_ray
from studies import do, problems
from verified import found

from pipeline.cluster.resources import Request
from pipeline.diffusion.samplers.unipc import UniPC
from pipeline.reporting.report import publish
from pipeline.storage.store import Storage
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.layout import METRICS, SWEEP
from pipeline.sweep.run import open_run, saved_run
from pipeline.sweep.study import saved_study
from pipeline.work.claim import claim, publish_as_planned
from pipeline.work.complete import complete, complete_study
from pipeline.work.flow import flow
from pipeline.work.inventory import Inventory
from pipeline.work.measure import Measure, MeasureWorker
from pipeline.work.reconstruct import Reconstruct, ReconstructConfig, open_reconstruction

GRIDS = {"A": (2, 4), "B": (4, 6)}
STEPS_OF_AN_END = 4


class Place:
    """What `verified` needs of an output."""

    def __init__(self, url):
        self.url = url


def opened(out, name):
    return open_run(SweepConfig(out=str(out), steps=GRIDS[name], eta=(0.0,), num_images=4, shard_size=2))


def draw(run):
    claim(run)
    flow(run, InProcess())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Both sweeps, drawn and measured, and neither has ended."""
    out = tmp_path_factory.mktemp("two") / "out"
    runs = {name: opened(out, name) for name in GRIDS}  # both before the first has written anything
    for run in runs.values():
        draw(run)
    return runs


def write_table(run):
    run.storage.write(METRICS, json.dumps([*run.metrics().values()]).encode())
    return ""


def measured(run):
    return len(run.metrics()) == len(run.settings)


@pytest.fixture
def turns(monkeypatch):
    """Lets threads that have a sweep's name use plan and numbers only in their turn."""
    order, may = [], threading.Condition()

    def in_turn(method):
        def wait(self, path, *args):
            name = threading.current_thread().name
            if name not in GRIDS or path not in (SWEEP, METRICS):
                return method(self, path, *args)
            with may:
                may.wait_for(lambda: not order or order[0] == name)
                try:
                    return method(self, path, *args)
                finally:
                    del order[:1]
                    may.notify_all()

        return wait

    def end(name, run):
        publish_as_planned(run, write_table, measured)
        with may:  # it leaves its turns to the other
            order[:] = [other for other in order if other != name]
            may.notify_all()

    def both(runs, wanted):
        order[:] = wanted
        threads = [threading.Thread(target=end, args=item, name=item[0]) for item in runs.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)

    for name in ("read", "write"):
        monkeypatch.setattr(Storage, name, in_turn(getattr(Storage, name)))
    return both


def test_plan_and_numbers_agree_however_two_ends_are_interleaved(drawn, turns):
    """An end reads the plan for what else is in it, writes its own, writes the numbers, and reads the plan again."""
    for first in itertools.combinations(range(2 * STEPS_OF_AN_END), STEPS_OF_AN_END):
        order = ["A" if i in first else "B" for i in range(2 * STEPS_OF_AN_END)]
        turns(drawn, order)
        there = saved_run(drawn["A"].out)
        Inventory(there).files[METRICS].read(there.storage)
        rows = json.loads(there.storage.read(METRICS))
        assert tuple(row["steps"] for row in rows) == there.config.steps, order
    assert found(Place(there.out)) == []  # the other's settings are no surplus


def test_the_last_to_end_has_plan_numbers_and_report_though_it_began_first(drawn):
    for run in drawn.values():
        claim(run)
    for name in ("B", "A"):
        publish_as_planned(drawn[name], publish, measured)
        there = saved_run(drawn[name].out)
        assert there.config.steps == GRIDS[name]
        lines = there.storage.read("report/table.csv").decode().splitlines()
        assert tuple(int(row["steps"]) for row in csv.DictReader(lines)) == GRIDS[name]
        assert found(Place(there.out)) == []


def test_a_sweep_that_was_killed_after_its_claim_leaves_the_other_numbers_right(tmp_path, monkeypatch):
    without_ray(monkeypatch)
    complete(opened(tmp_path, "A"), Request())
    claim(opened(tmp_path, "B"))
    problems = found(Place(str(tmp_path)))
    assert {kind for kind, _ in problems} == {"missing"}
    assert all("S6" in path for _, path in problems), problems


def test_a_setting_that_both_measure_keeps_its_first_row(drawn):
    """Its seconds are in the table of the one that ends first, and would not be those of the second."""
    run = drawn["A"]
    setting = run.settings[1]
    before = run.metrics()[setting]
    features = run.storage.find()
    path = next(path for path in features if path.startswith("features/") and f"{setting.slug}/seeds" in path)
    table, metadata = run.storage.read_table(path, lambda *content: content)
    slower = {k: v for k, v in metadata.items() if k not in ("sha256", "pages")} | {"seconds": 99.0}
    run.storage.write_table(path, table, slower, 1000)
    worker = MeasureWorker("cpu", Measure(run).arguments)
    assert worker.do(("", setting)) == before == run.metrics()[setting]


def test_samplers_of_both_are_in_the_plan(tmp_path):
    """A release with another version of one of them must refuse the output, whoever ended last."""
    config = SweepConfig(out=str(tmp_path), steps=(4,), eta=(0.0,), num_images=4)
    one = open_run(config)
    other = open_run(config.model_copy(update={"sampler": ("unipc",), "eta": None}))
    claim(one)
    claim(other)
    publish_as_planned(one, lambda run: "", lambda run: False)
    assert saved_run(str(tmp_path)).earlier_samplers == {"ddim": 1, "unipc": UniPC.version}


def test_two_studies_in_one_output(tmp_path):
    """The settings of both stay in the plan, and the numbers are those of the last to end."""
    config = ReconstructConfig(out=str(tmp_path), steps=(2, 3), num_images=4, shard_size=2, batch_size=2)
    works = [
        Reconstruct(open_reconstruction(one, None)) for one in (config, config.model_copy(update={"steps": (3, 4)}))
    ]
    for work in works:
        do(work)
    for work in (*works, works[0]):
        complete_study(work, Request())
        assert saved_study({config.kind: ReconstructConfig}, str(tmp_path), None).settings == work.study.settings
        assert problems(work) == []
