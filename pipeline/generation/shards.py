"""The plan: setting × range of seeds; and what of it is still missing."""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.grid import Setting
from pipeline.storage import Storage


@dataclass(frozen=True, slots=True)
class Shard:
    """The images of one setting with seeds first ≤ seed < end: one file."""

    setting: Setting
    first: int
    end: int

    @property
    def name(self) -> str:
        """File name."""
        return f"seeds-{self.first:09d}-{self.end:09d}.parquet"

    @property
    def rows(self) -> int:
        """Number of images."""
        return self.end - self.first

    @property
    def cost(self) -> int:
        """Network calls × images."""
        return self.setting.nfe * self.rows

    def path(self, kind: str) -> str:
        """Path in the output; `kind` is "images" or "features"."""
        return f"{folder(kind, self.setting)}/{self.name}"


def folder(kind: str, setting: Setting) -> str:
    """Return the folder of one setting's files, as hive partitioning names it."""
    return f"{kind}/setting={setting.slug}"


def plan(setting: Setting, num_images: int, shard_size: int) -> list[Shard]:
    """Cut the seeds 0 … num_images-1 of a setting into shards."""
    return [Shard(setting, first, min(first + shard_size, num_images)) for first in range(0, num_images, shard_size)]


def pending(storage: Storage, kind: str, shards: Iterable[Shard]) -> list[Shard]:
    """Return the shards whose file is not there, by one listing a setting. An empty file counts as missing."""
    found: dict[Setting, dict[str, int]] = {}
    missing = []
    for shard in shards:
        if shard.setting not in found:
            found[shard.setting] = storage.ls(folder(kind, shard.setting))
        if not found[shard.setting].get(shard.name):
            missing.append(shard)
    return missing
