"""Task and Work: everything that `pipeline.cluster` knows of what it does."""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, ClassVar, Generic, Protocol, TypeVar, overload

Arguments = TypeVar("Arguments")
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Taken = TypeVar("Taken", contravariant=True)
Given = TypeVar("Given", covariant=True)


@dataclass(frozen=True, slots=True)
class Task(Generic[Item]):
    """One piece of a work, which one worker does in one call. Doing it twice must be harmless."""

    item: Item
    """What the worker gets."""
    name: str
    """The name in messages about failures."""
    group: str | None
    """The slug of the setting whose progress it counts in; None if it counts only in the total."""
    images: int
    cost: int
    """The cost, in any unit that the tasks of one work share; the most expensive task goes first."""


class Tasks(Sequence[Task[Item]], Generic[Item]):
    """Tasks that are created when they are accessed, so that a million of them take little memory."""

    def __init__(self, items: Sequence[Any], make: Callable[[Any], Task[Item]]) -> None:
        self.items, self.make = items, make

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Task[Item]: ...
    @overload
    def __getitem__(self, index: slice) -> "Tasks[Item]": ...
    def __getitem__(self, index: int | slice) -> "Task[Item] | Tasks[Item]":
        if isinstance(index, slice):
            return Tasks(self.items[index], self.make)
        return self.make(self.items[index])

    def __iter__(self) -> Iterator[Task[Item]]:
        return map(self.make, self.items)


class Joined(Sequence[Item], Generic[Item]):
    """Several sequences as one, without a copy."""

    def __init__(self, parts: Sequence[Sequence[Item]]) -> None:
        self.parts = parts
        self._ends = [*accumulate(map(len, parts))]

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        part = bisect_right(self._ends, index)
        return self.parts[part][index - self._ends[part] + len(self.parts[part])]

    def __iter__(self) -> Iterator[Item]:
        return chain.from_iterable(self.parts)


@dataclass(frozen=True)
class Rest(Generic[Outcome]):
    """What is left of a task that needs its worker's device no more, as the commit of a file."""

    end: Callable[[], Outcome]
    """Ends the task and returns its result. It is called in another thread, while the worker does the next task."""


class Worker(Protocol[Taken, Given]):
    """A plain object that does tasks. It does not use Ray, so it works in a unit test as on a cluster."""

    def do(self, item: Taken, /) -> Given | Rest[Given]:
        """Do one task and return its result, or the rest of the task. An exception is a failed attempt."""


class Work(ABC, Generic[Arguments, Item, Outcome]):
    """A kind of work: its workers, their arguments, and the tasks that are still missing."""

    name: ClassVar[str]
    """The name in progress, metrics and result.json."""
    on_gpu: ClassVar[bool]
    """Whether its workers take GPUs if there are any; other works leave them free."""

    worker: Callable[[str, Arguments], Worker[Item, Outcome]]
    """The class of the workers, which takes a device, "cpu" or "cuda", and the arguments."""

    @property
    @abstractmethod
    def arguments(self) -> Arguments:
        """The arguments of the workers: a frozen dataclass that can be pickled."""

    @abstractmethod
    def tasks(self) -> Sequence[Task[Item]]:
        """Return the tasks that are still missing."""
