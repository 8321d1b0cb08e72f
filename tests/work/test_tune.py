"""Tune as a study: its rounds follow from its files, whoever wrote them; resumed, verified, refused, the same again."""

import json
import pickle
import shutil
from itertools import islice, product

import pytest
from here import run_here
from in_process import InProcess
from studies import files, problems

from pipeline.storage.store import DamagedFileError
from pipeline.sweep.study import saved_study
from pipeline.tuning import config, rounds, search, tasks
from pipeline.tuning.config import TuneConfig, open_tuning
from pipeline.tuning.grids import named
from pipeline.tuning.tasks import FIRST_SEED, Draw, Refine, Score, Show, Teach
from pipeline.work import tuning_worker
from pipeline.work.claim import claim
from pipeline.work.inventory import take_inventory
from pipeline.work.perform import perform
from pipeline.work.tune import Tune
from pipeline.work.tuning_worker import TuneWorker

UNIPC = "unipc:order=2,variant=bh2,corrector=on,end=first,lower_order_final=always"
SMALL = {"sampler": (UNIPC, "ddim:eta=1"), "calls": (3,), "num_images": 20}
SIZES = {"SEARCHED": 24, "TAUGHT_AT_ONCE": 12, "MOVES": 3, "SHARD_SIZE": 12, "TEACHER_CALLS": 8, "FEW": 12, "SOME": 12}


@pytest.fixture(scope="module", autouse=True)
def small():
    """Few seeds and moves, so that a whole tuning takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        for module, (name, value) in product((config, tasks, search, rounds, tuning_worker), SIZES.items()):
            if hasattr(module, name):
                patch.setattr(module, name, value)
        patch.setattr(search, "named", lambda *given: dict(islice(named(*given).items(), 3)))
        yield


def opened(out, **changes):
    return Tune(open_tuning(TuneConfig(out=str(out), batch_size=12, **SMALL | changes), None))


def do(work):
    claim(work.study)
    while work.tasks():
        perform(work, InProcess())
    return work


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return do(opened(tmp_path_factory.mktemp("tuning") / "out"))


def contents(work):
    return {file.path: work.study.storage.read(file.path) for file in files(work) if file.path.endswith(".json")}


def test_the_same_command_finds_the_same_grid_and_goes_on_after_a_kill(done, tmp_path):
    """Each time with a new object, as another process has it; in the end every plain file has the same bytes."""
    claim(opened(tmp_path).study)
    while missing := opened(tmp_path).tasks():
        worker = TuneWorker("cpu", opened(tmp_path).arguments)
        for task in missing[: max(1, len(missing) // 2)]:
            worker.do(task.item)
    assert contents(opened(tmp_path)) == contents(done)


def test_no_image_of_the_search_is_one_of_the_proof(done, monkeypatch):
    """The seeds of every walk, as they are drawn: those of the search begin above any that a proof may have."""
    seen = {}
    worker = TuneWorker("cpu", done.arguments)
    for method in ("draw", "steps"):
        walk = getattr(worker.drawer.walker, method)

        def spy(way, seeds, *more, walk=walk):
            seen.setdefault(kind, set()).update(seeds.tolist())
            return walk(way, seeds, *more)

        monkeypatch.setattr(worker.drawer.walker, method, spy)
    for task in done.planned():
        kind = "proof" if isinstance(task.item, Draw | Show) else "search"
        worker.do(task.item)
    assert seen["proof"] == {*range(20)}
    assert seen["search"] == {FIRST_SEED + i for i in range(24)}
    largest = next(m.le for m in TuneConfig.model_fields["num_images"].metadata if hasattr(m, "le"))
    assert largest <= FIRST_SEED


def test_the_costs_that_are_told_are_the_calls_that_are_made(done):
    """Of a refinement they are those of the grids that it tried; what the ladder's defaults were chosen by is not."""
    (answer,) = done._answers()
    of_search, of_proof = 0, 0
    for task in done.planned():
        match task.item:
            case Teach() as item:
                of_search += (item.end - item.first) * 8
            case Score() as item if not item.round.startswith("defaults"):
                of_search += item.cost
            case Refine() as item:
                of_search += done._read(item)["tried"] * item.number * item.setting.nfe
            case Draw() as item:
                of_proof += item.shard.cost
    assert (answer.cost.search, answer.cost.proof) == (of_search, of_proof)


def test_what_injects_noise_is_judged_by_fid_alone(done):
    scored = [
        (setting, scores)
        for task in done.planned()
        if isinstance(task.item, Score)
        for setting, scores in zip(task.item.settings, done._read(task.item)["scores"], strict=True)
    ]
    assert {setting.sampler.injects_noise for setting, _ in scored} == {True, False}
    for setting, scores in scored:
        assert set(scores) == ({"fid"} if setting.sampler.injects_noise else {"pixels", "features", "law", "fid"})


def test_the_teachers_own_grid_has_no_distance_to_the_teacher(done):
    worker = TuneWorker("cpu", done.arguments)
    scores = worker.scores(done.teacher, 24)
    assert scores["pixels"] < 1e-10  # the sums of 8 calls in another order of batches
    assert scores["features"] < 1e-6
    assert abs(scores["law"]) < 1e-4


def test_verified_and_read_again(done):
    assert problems(done) == []
    done.publish()
    inventory = take_inventory(done.study.out, None)
    assert "metrics.json" in inventory.listed
    for file in (inventory.files[path] for path in inventory.listed.keys() & inventory.files):  # as in another process
        assert pickle.loads(pickle.dumps(file)).read(done.study.storage) == file.read(done.study.storage)
    again = saved_study({TuneConfig.kind: TuneConfig}, done.study.out, None)
    assert again.config.calls == (3,)


@pytest.mark.parametrize("damage", ["flip", "lose"])
def test_a_damaged_round_is_told_and_done_again(done, tmp_path, damage):
    shutil.copytree(done.study.out, tmp_path / "out")
    work = opened(tmp_path / "out")
    path = next(work.file(t.item).path for t in work.planned() if isinstance(t.item, Score))
    target = tmp_path / "out" / path
    data = target.read_bytes()
    target.write_bytes(data.replace(b"fid", b"fie", 1)) if damage == "flip" else target.unlink()
    told = problems(opened(tmp_path / "out"))
    assert (path, "bad" if damage == "flip" else "missing") in told
    _, _, err = run_here("verify", "--out", tmp_path / "out", "--repair")
    assert not target.exists(), err
    assert contents(do(opened(tmp_path / "out"))) == contents(done)


def test_files_of_another_seed_are_never_mixed(done, tmp_path):
    shutil.copytree(done.study.out, tmp_path / "out")
    (tmp_path / "out" / "study.json").unlink()
    other = opened(tmp_path / "out", seed=1)
    assert not other.tasks()  # a first file that is lost says nothing, and each file that is read does
    with pytest.raises(DamagedFileError, match="it has fingerprint"):
        other.publish()


def test_the_report_has_an_answer_for_each_budget(tmp_path):
    given = ["--calls", 4, 3, "--sampler", UNIPC, "--num-images", 20]
    status, out, err = run_here("tune", *given, "--batch-size", 12, "--out", tmp_path / "out")
    assert status == 0, err
    rows = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert [row["budget"] for row in rows if row["role"] == "budget"] == [3, 4]
    assert "3 calls" in out
    assert "4 calls" in out
    status, _, err = run_here("tune", *given, "--batch-size", 12, "--out", tmp_path / "out")
    assert (status, "nothing to do" in err) == (0, True)
    assert run_here("verify", "--out", tmp_path / "out")[0] == 0


BAD = {
    "too few calls": (["--calls", 2, "--sampler", "pndm", "dpm_fast"], "--calls 2: none of pndm, dpm_fast can "),
    "as many as the teacher": (["--calls", 50], "--calls 50: "),
    "a sampler that takes no times": (["--sampler", "dpm_fast"], "--calls 5: none of dpm_fast "),
    "no budget": (["--calls", 0], "--calls"),
    "no such sampler": (["--sampler", "unipcc"], "--sampler: unknown sampler 'unipcc'"),
    "a reference that is not there": (["--reference", "nothing.npz"], "--reference nothing.npz"),
    "an extractor of other images": (["--extractor", "nothing"], "--extractor nothing"),
}


@pytest.mark.parametrize(("given", "text"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_nothing_is_written(tmp_path, given, text):
    status, out, err = run_here("tune", *given, "--out", tmp_path / "out")
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert text in err
    assert not (tmp_path / "out").exists()
