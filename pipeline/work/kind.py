"""The base of the works of a run. They are made from a run and own files of its output, which `verify` checks."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.cluster.task import Arguments, Item, Outcome, Work
from pipeline.storage.store import Storage
from pipeline.sweep.grid import Setting
from pipeline.sweep.run import Run
from pipeline.sweep.shards import Shard

Claims = dict[str, str]
"""Path → digest that a file gives for the content of that path, which may be its own."""


@dataclass(frozen=True)
class File:
    """A file that a work owns."""

    path: str
    read: Callable[[Storage], Claims]
    """Checks the file and returns its claims on the files that it was made from. Raises DamagedFileError."""
    made_from: tuple[str, ...] = ()
    """Paths of its sources: if one of them is bad or missing, this file is set aside too."""
    needed: bool = True
    """Whether a finished output must have it."""
    shard: Shard | None = None
    """The shard whose images it holds; None for other files."""


@dataclass(frozen=True)
class Output:
    """The output that a worker reads and writes."""

    url: str
    storage_options: dict[str, Any] | None = field(repr=False)

    @classmethod
    def of(cls, run: Run) -> "Output":
        """Return the output of a run."""
        return cls(run.config.out, run.storage_options)

    def open(self) -> Storage:
        """Open the output, in the process that uses it."""
        return Storage(self.url, self.storage_options)


class RunWork(Work[Arguments, Item, Outcome]):
    """A kind of work on a run."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @abstractmethod
    def files(self, settings: Sequence[Setting], found: Mapping[str, int]) -> Iterable[File]:
        """Return the files that this work owns in a finished output.

        Args:
            settings: settings with files in the output: those of the grid first, then those of earlier grids.
            found: path → size in bytes of all files in the output.

        """


def sealed_json(path: str, storage: Storage) -> Claims:
    """Check a file that `Storage.write_json` wrote; it makes no claims. Raises DamagedFileError."""
    storage.read_json(path)
    return {}
