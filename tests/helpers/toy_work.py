"""A kind of work that is not the project's, with files of its own: the mean of every image, registered by one line."""

from functools import partial

import pyarrow as pa

from pipeline.cluster.task import Task, Tasks
from pipeline.sweep.images import read_images
from pipeline.sweep.shards import pending, plan_all
from pipeline.work.kind import File, Place, RunWork
from pipeline.work.registry import WORKS


class Averager:
    def __init__(self, device, arguments):
        output, self.identity = arguments
        self.storage = output.open()

    def do(self, shard):
        pixels, info = read_images(self.storage, shard, shard.setting.fingerprint(self.identity))
        table = pa.table({"mean": pixels.reshape(len(pixels), -1).mean(axis=1)})
        self.storage.write_table(shard.path("means"), table, {"digest": info.digest}, 1000)
        return len(pixels)


class Means(RunWork):
    name = "means"
    on_gpu = False
    worker = Averager

    @property
    def arguments(self):
        return Place.of(self.run), self.run.identity

    def tasks(self):
        missing = pending(self.run.storage, "means", self.run.shards())
        return Tasks(missing, lambda s: Task(s, s.full_name, s.setting.slug, s.rows, s.rows))

    def files(self, settings, listed):
        for shard in plan_all(settings, self.run.config.num_images, self.run.config.shard_size):
            images, path = shard.path("images"), shard.path("means")
            yield File(path, partial(check, images, path), (images,), needed=False)


def check(images, path, storage):
    return {images: storage.read_table(path, lambda table, metadata: metadata["digest"])}


WORKS[Means.name] = Means
