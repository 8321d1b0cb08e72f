"""The plan: the shards of every setting, and which of them are still missing."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import overload

import numpy as np

from pipeline.storage.store import Storage
from pipeline.sweep.grid import Setting
from pipeline.sweep.layout import folder


@dataclass(frozen=True, slots=True)
class Shard:
    """The images of one setting with seeds first ≤ seed < end; they are one file."""

    setting: Setting
    first: int
    end: int

    @property
    def name(self) -> str:
        """The file name."""
        return f"seeds-{self.first:09d}-{self.end:09d}.parquet"

    @property
    def rows(self) -> int:
        """The number of images."""
        return self.end - self.first

    @property
    def cost(self) -> int:
        """The cost of drawing, in network calls × images."""
        return self.setting.nfe * self.rows

    @property
    def full_name(self) -> str:
        """The slug of the setting and the file name."""
        return f"{self.setting.slug}/{self.name}"

    def path(self, kind: str) -> str:
        """Return the path in the output; `kind` is "images" or "features"."""
        return f"{folder(kind, self.setting.slug)}/{self.name}"


class Shards(Sequence[Shard]):
    """Shards of several settings, each created when it is accessed, so that a million of them take little memory."""

    def __init__(self, parts: list[tuple[Setting, Sequence[int]]], num_images: int, shard_size: int) -> None:
        """Describe the shards.

        Args:
            parts: settings, each with the first seeds of its shards, ascending.
            num_images: images per setting.
            shard_size: images in a shard; the last may be short.

        """
        self.parts = [(setting, firsts) for setting, firsts in parts if len(firsts)]
        self.num_images, self.shard_size = num_images, shard_size
        self._firsts = dict(self.parts)
        self._ends = list(accumulate(len(firsts) for _, firsts in self.parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> Shard: ...
    @overload
    def __getitem__(self, index: slice) -> list[Shard]: ...
    def __getitem__(self, index: int | slice) -> Shard | list[Shard]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        part = bisect_right(self._ends, index)
        setting, firsts = self.parts[part]
        return self._shard(setting, firsts[index - self._ends[part]])  # a negative index, from the part's end

    def __iter__(self) -> Iterator[Shard]:
        for setting, firsts in self.parts:
            for first in firsts:
                yield self._shard(setting, first)

    def __contains__(self, shard: object) -> bool:
        if not isinstance(shard, Shard):
            return False
        firsts = self._firsts.get(shard.setting, ())
        at = bisect_left(firsts, shard.first)
        return at < len(firsts) and firsts[at] == shard.first

    def _shard(self, setting: Setting, first: int) -> Shard:
        return Shard(setting, first, min(first + self.shard_size, self.num_images))


def united(plans: Sequence[Shards]) -> Shards:
    """Return the shards that are in one of the plans, which are of the same settings, or of some of them."""
    firsts: dict[Setting, list[Sequence[int]]] = {}
    for setting, some in (part for plan in plans for part in plan.parts):
        firsts.setdefault(setting, []).append(some)
    parts: list[tuple[Setting, Sequence[int]]] = [
        (setting, some[0] if len(some) == 1 else array("q", np.unique(np.concatenate(some))))
        for setting, some in firsts.items()
    ]
    return Shards(parts, plans[0].num_images, plans[0].shard_size)


def plan_all(settings: Sequence[Setting], num_images: int, shard_size: int) -> Shards:
    """Cut the seeds 0 … num_images-1 of each setting into shards."""
    return Shards([(setting, range(0, num_images, shard_size)) for setting in settings], num_images, shard_size)


def plan(setting: Setting, num_images: int, shard_size: int) -> list[Shard]:
    """Return the shards of one setting."""
    return [*plan_all([setting], num_images, shard_size)]


def pending(storage: Storage, kind: str, shards: Shards, prefix: str = "") -> Shards:
    """Return the shards whose file is missing or empty, by one listing per setting.

    Args:
        storage: the output.
        kind: "images" or "features".
        shards: the shards to look for.
        prefix: what the paths of a measurement's results begin with.

    """
    missing: list[tuple[Setting, Sequence[int]]] = []
    for setting, firsts in shards.parts:
        listed = storage.ls(prefix + folder(kind, setting.slug))
        of_setting = Shards([(setting, firsts)], shards.num_images, shards.shard_size)
        missing.append((setting, array("q", (shard.first for shard in of_setting if not listed.get(shard.name)))))
    return Shards(missing, shards.num_images, shards.shard_size)
