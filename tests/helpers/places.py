"""A small sweep, and the places where it writes: local disk, and S3."""

import json

from in_process import InProcess
from processes import run, start

from pipeline.storage.store import Storage
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.images import read_images
from pipeline.sweep.run import open_run, saved_run
from pipeline.work.claim import claim
from pipeline.work.flow import flow
from pipeline.work.match import Consistency
from pipeline.work.perform import perform

GRID = ["--steps", "20", "--eta", "0", "hat", "--num-images", "240", "--batch-size", "20", "--shard-size", "20"]
FILES = 2 * (12 + 12) + 1  # images and features of two settings, and the reference


class Place:
    """Where a sweep writes: a URL, the environment that reaches it, and the way in for the test itself."""

    def __init__(self, url, environment=None, storage_options=None):
        self.url, self.environment, self.options = url, environment or {}, storage_options

    def start(self):
        return start("sweep", *GRID, "--out", self.url, **self.environment)

    def sweep(self):
        return run("sweep", *GRID, "--out", self.url, **self.environment)

    def parquet(self):
        files = Storage(self.url, self.options).find()
        return [path for path in files if path.endswith(".parquet") and not path.startswith("_set-aside/")]

    def outcome(self):
        """Digests of all images, and the metrics but for time; every file is a planned one."""
        opened = saved_run(self.url, self.options)
        digests = {s.path("images"): image_digest(opened, s) for s in opened.shards()}
        assert len(self.parquet()) == FILES
        assert not [path for path in opened.storage.find() if path.endswith(".tmp")]
        rows = json.loads(opened.storage.read("metrics.json"))
        return digests, [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows]


def image_digest(run, shard):
    """The digest of a shard's images, checked against its pixels."""
    return read_images(run.storage, shard, shard.setting.fingerprint(run.identity))[1].digest


def draw_and_measure(out, storage_options=None, **changes):
    """Do the small sweep by the plain classes, without Ray, and without its report: the opened run."""
    config = SweepConfig(steps=(20,), eta=(0.0, "hat"), num_images=240, batch_size=20, shard_size=20)
    opened = open_run(config.model_copy(update={"out": str(out)} | changes), storage_options)
    claim(opened)
    flow(opened, InProcess())
    perform(Consistency(opened), InProcess())
    return opened
