"""What the works of a run share: they are made from it, and they own files of its output, which `verify` checks."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.cluster.task import Arguments, Item, Result, Work
from pipeline.storage.store import Storage
from pipeline.sweep.grid import Setting
from pipeline.sweep.run import Run
from pipeline.sweep.shards import Shard

Claims = dict[str, str]
"""Path → digest: what a file says of the content of files, itself among them."""


@dataclass(frozen=True)
class File:
    """A file that a work owns."""

    path: str
    read: Callable[[Storage], Claims]
    """Checks the file and returns what it says of the files that it was made from. Raises DamagedFileError."""
    made_from: tuple[str, ...] = ()
    """Paths: where one of them is bad or missing, this file is set aside with it."""
    needed: bool = True
    """Whether a finished output has it."""
    shard: Shard | None = None
    """Whose images it holds."""


@dataclass(frozen=True)
class Output:
    """Where a worker reads and writes."""

    url: str
    storage_options: dict[str, Any] | None = field(repr=False)

    @classmethod
    def of(cls, run: Run) -> "Output":
        """Return that of a run."""
        return cls(run.config.out, run.storage_options)

    def open(self) -> Storage:
        """Open it, in the process that uses it."""
        return Storage(self.url, self.storage_options)


class RunWork(Work[Arguments, Item, Result]):
    """A kind of work on a run."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @abstractmethod
    def files(self, settings: Sequence[Setting], found: Mapping[str, int]) -> Iterable[File]:
        """Return the files that this work owns in a finished output.

        Args:
            settings: that have files in the output: those of the grid first, then those of earlier grids.
            found: path → size of all files that are there.

        """


def sealed_json(path: str, storage: Storage) -> Claims:
    """Check a file that `Storage.write_json` wrote. It says nothing of others."""
    storage.read_json(path)
    return {}
