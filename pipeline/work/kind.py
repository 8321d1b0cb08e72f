"""The base of the works of a run. They are made from a run and own files of its output, which `verify` checks."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.cluster.task import Arguments, Item, Outcome, Task, Work
from pipeline.storage.store import Storage
from pipeline.sweep.grid import Setting
from pipeline.sweep.output import Output
from pipeline.sweep.run import Run
from pipeline.sweep.shards import Shard
from pipeline.sweep.study import Study, StudyConfig

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
class Place:
    """Where a worker reads and writes an output."""

    url: str
    storage_options: dict[str, Any] | None = field(repr=False)

    @classmethod
    def of(cls, output: Output) -> "Place":
        """Return the place of an output's files."""
        return cls(output.out, output.storage_options)

    def open(self) -> Storage:
        """Open the output, in the process that uses it."""
        return Storage(self.url, self.storage_options)


class StudyWork(Work[Arguments, Item, Outcome]):
    """The work of a study. It also says how the study is opened and published."""

    config: type[StudyConfig]
    """The class of the study's config."""
    has_numbers = True
    """Whether it writes metrics.json."""

    def __init__(self, study: Study) -> None:
        self.study = study

    @abstractmethod
    def planned(self) -> Sequence[Task[Item]]:
        """Return all tasks, done or not. Each writes one file."""

    @abstractmethod
    def file(self, item: Item) -> File:
        """Return the file of a task."""

    def tasks(self) -> list[Task[Item]]:
        """Return the tasks whose file is missing or empty, by one listing."""
        listed = self.study.storage.find()
        return [task for task in self.planned() if not listed.get(self.file(task.item).path)]

    @abstractmethod
    def publish(self) -> str:
        """Write the report of a finished study and return the text for the terminal."""

    def rows(self) -> list[dict[str, Any]]:
        """Return the content of metrics.json, from the files of a finished study; no rows if it has no numbers.

        Raises:
            DamagedFileError: a file is missing or damaged.

        """
        return []


class RunWork(Work[Arguments, Item, Outcome]):
    """A kind of work on a run."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @abstractmethod
    def files(self, settings: Sequence[Setting], listed: Mapping[str, int]) -> Iterable[File]:
        """Return the files that this work owns in a finished output.

        Args:
            settings: settings with files in the output: those of the grid first, then those of earlier grids.
            listed: path → size in bytes of all files in the output.

        """


def sealed_json(path: str, storage: Storage) -> Claims:
    """Check a file that `Storage.write_json` wrote; it makes no claims. Raises DamagedFileError."""
    storage.read_json(path)
    return {}
