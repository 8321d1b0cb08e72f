"""The life of an output of any kind: opened as its job opens it, killed, spoiled, refused, and verified."""

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from in_process import InProcess
from PIL import Image

from pipeline import UserError
from pipeline.cluster.resources import Request
from pipeline.images.digits import digits_images
from pipeline.storage.store import Storage
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.run import open_evaluation, open_run, saved_run
from pipeline.work.between import InterpolateConfig, open_interpolation
from pipeline.work.complete import complete, complete_study
from pipeline.work.interpolate import Interpolate
from pipeline.work.inventory import take_inventory
from pipeline.work.line import LineWorker
from pipeline.work.reconstruct import Reconstruct, ReconstructConfig, open_reconstruction
from pipeline.work.trace import Trace, TraceConfig, open_trace
from pipeline.work.verify import verify

SMALL = {"steps": (2,), "batch_size": 2}
STUDIES = {
    "reconstruction": (Reconstruct, ReconstructConfig, open_reconstruction, {"num_images": 4, "shard_size": 2}),
    "interpolation": (Interpolate, InterpolateConfig, open_interpolation, {"seeds": (0, 1, 2, 3), "count": 3}),
    "trajectory": (Trace, TraceConfig, open_trace, {"seeds": (0, 1), "sampler": ("ddim", "ddim:eta=1")}),
}
KINDS = ["sweep", "evaluation", *STUDIES]


class Life:
    """An output of a kind in a folder, opened as the job of the kind opens it."""

    def __init__(self, kind, out):
        self.kind, self.out = kind, Path(out)

    def open(self, **changes):
        """Return a study's work, or a run; `changes` are of the options. An evaluation is in a finished sweep."""
        if self.kind in STUDIES:
            make, config, open_study, given = STUDIES[self.kind]
            return make(open_study(config(out=str(self.out), **SMALL | given | changes), None))
        if self.kind == "evaluation":
            return open_evaluation(saved_run(str(self.out)), None, None, str(self.out.parent / "other"))
        config = {"eta": (0.0,), "num_images": 4, "shard_size": 2, "reference": str(self.out.parent / "few")}
        return open_run(SweepConfig(out=str(self.out), **SMALL | config | changes))

    def complete(self, **changes):
        self.end(self.open(**changes))

    def end(self, opened):
        (complete_study if self.kind in STUDIES else complete)(opened, Request())

    def place(self):
        """The folder of an output that is opened now."""
        opened = self.open()
        return Path((opened.study if self.kind in STUDIES else opened).url)

    @property
    def worker(self):
        return STUDIES[self.kind][0].worker if self.kind in STUDIES else LineWorker

    @property
    def home(self):
        """The folder of the first file."""
        return next((self.out / "evaluations").iterdir()) if self.kind == "evaluation" else self.out

    @property
    def name(self):
        """The name of the first file."""
        return {"sweep": "sweep.json", "evaluation": "evaluation.json"}.get(self.kind, "study.json")

    @property
    def first(self):
        return self.home / self.name

    def content(self):
        """Path → columns of every file that a worker wrote."""
        storage = Storage(str(self.out))
        paths = sorted(str(file.relative_to(self.out)) for file in self.out.rglob("*.parquet"))
        return {p: storage.read_table(p, lambda table, _: table.to_pydict()) for p in paths if p[0] != "_"}

    def problems(self):
        inventory = take_inventory(str(self.out), None)
        return inventory, verify(inventory, InProcess())

    def assert_well(self, content):
        assert self.content() == content
        assert self.problems()[1] == []


def prepare(life, whole):
    """Lay down what it needs: references of five images, and for an evaluation a finished sweep."""
    for first, name in enumerate(("few", "other")):
        folder = life.out.parent / name
        folder.mkdir()
        for i, image in enumerate(digits_images()[first : first + 5]):
            Image.fromarray(image[0].numpy()).save(folder / f"{i}.png")
    if life.kind == "evaluation":
        shutil.copytree(whole("sweep")[0].out, life.out)


@contextlib.contextmanager
def killed(monkeypatch, life, count):
    """Let workers do so many tasks and then be interrupted."""
    do_one, left = life.worker.do, [count]

    def counted(self, item):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return do_one(self, item)

    with monkeypatch.context() as patch:
        patch.setattr(life.worker, "do", counted)
        with pytest.raises(KeyboardInterrupt):
            yield


def result(life):
    return json.loads((life.home / "result.json").read_text())


def spoil(life, change):
    """Write the first file anew with a change, sealed."""
    storage = Storage(str(life.home))
    content = storage.read_json(life.name)
    change(content)
    storage.write_json(life.name, content)


def described(life):
    """What the first file says, but for the folders in which it was drawn."""
    content = Storage(str(life.home)).read_json(life.name)
    return {name: content.get(name) for name in ("format", "kind", "identity", "settings", "samplers", "model")}


def refused(life, says, **changes):
    """Opening is refused, in one line, and nothing is written."""
    before = {file: file.stat().st_mtime_ns for file in life.out.rglob("*")}
    with pytest.raises(UserError, match=says) as error:
        life.open(**changes)
    assert len(str(error.value).splitlines()) == 1
    assert {file: file.stat().st_mtime_ns for file in life.out.rglob("*")} == before
