"""The sweep that tests of the job draw, kill and resume, and what its files must hold."""

import time
from pathlib import Path

from places import image_digest

from pipeline.sweep.config import SweepConfig
from pipeline.sweep.run import open_run

GRID = ["--steps", "50", "--eta", "0", "1", "--num-images", "450", "--batch-size", "50", "--shard-size", "50"]
CONFIG = SweepConfig(steps=(50,), eta=(0.0, 1.0), num_images=450, batch_size=50, shard_size=50)


def images(out):
    return sorted(Path(out).glob("images/*/*.parquet"))


def wait_for_images(process, out, count):
    deadline = time.monotonic() + 120
    while len(images(out)) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def digests(out):
    """The digests of a run's files, each checked against its pixels."""
    opened = open_run(CONFIG.model_copy(update={"out": str(out)}))
    return {s.path("images"): image_digest(opened, s) for s in opened.shards()}


def assert_complete(out, expected):
    assert digests(out) == expected
    assert not list(Path(out).rglob("*.tmp"))
