"""An output that is opened for work, whatever its kind: a sweep's or a study's."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar, Self

from pipeline.diffusion.model import ModelInfo
from pipeline.diffusion.schedule import Schedule
from pipeline.storage.store import Storage
from pipeline.sweep.result import Result


class Opened(ABC):
    """What claiming, workers and result.json need to know of an output."""

    config: Any
    """What the user asks for: a frozen model with at least `out`."""
    model: ModelInfo
    storage_options: dict[str, Any] | None
    patience: float | None = None
    """Seconds for which a failing request to the output is retried; None for the storage's own."""
    first_file: ClassVar[str]
    """The name of the file that claims the output."""

    @property
    def out(self) -> str:
        """The folder or URL of the output."""
        return str(self.config.out)

    @cached_property
    def storage(self) -> Storage:
        """The output."""
        return Storage(self.out, self.storage_options, self.patience)

    @cached_property
    def schedule(self) -> Schedule:
        """The schedule of the model."""
        return self.model.schedule()

    @cached_property
    def notes(self) -> list[str]:
        """Lines for the user on what the output is made of: here, on the model."""
        return list(self.model.notes)

    @cached_property
    def result(self) -> Result:
        """The result.json of this run."""
        return Result(self.storage, Storage(self.out, self.storage_options, patience=0))

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return the content of the first file."""

    @abstractmethod
    def saved(self) -> Self:
        """Return what the first file has now: another process may have claimed the output since.

        Raises:
            UserError: this release cannot read it.
            DamagedFileError: it is missing or broken.

        """

    @abstractmethod
    def beside(self, saved: Self) -> Self:
        """Return this with what `saved`, of the same output, says of files of other grids."""
