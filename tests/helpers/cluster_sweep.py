"""The small sweep that runs on clusters, and what it has drawn."""

from pathlib import Path

from places import image_digest

from pipeline.sweep.run import saved_run

SIZE = {"num_images": 960, "shard_size": 40}
"""Of the sweep: 2 settings × 24 shards, half a second each on a core."""
GRID = ["--steps", "20", "--eta", "0", "hat", "--num-images", "960", "--batch-size", "20", "--shard-size", "40"]
SHARDS = 48


def digests(out):
    """Return path → digest of a run's images, each checked against its pixels."""
    opened = saved_run(str(out))
    return {s.path("images"): image_digest(opened, s) for s in opened.shards()}


def drawn(out):
    return len(list(Path(out).glob("images/*/*.parquet")))
