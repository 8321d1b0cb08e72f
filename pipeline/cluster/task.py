"""Task and Work: all that a cluster knows of what it does."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, Protocol, TypeVar, overload

Arguments = TypeVar("Arguments")
Item = TypeVar("Item")
Result = TypeVar("Result")
Taken = TypeVar("Taken", contravariant=True)
Given = TypeVar("Given", covariant=True)


@dataclass(frozen=True, slots=True)
class Task(Generic[Item]):
    """A piece of work that one worker does at once. Doing it twice must be harmless."""

    item: Item
    """What the worker is given."""
    name: str
    """For messages: it says what failed."""
    group: str | None
    """The slug of its setting, which is followed by itself; None where it is followed in the whole alone."""
    images: int
    cost: int
    """In any unit that the tasks of one work share: the most expensive goes first."""


class Tasks(Sequence[Task[Item]], Generic[Item]):
    """Tasks that are made when they are asked for: a million of them are not a million objects."""

    def __init__(self, items: Sequence[Item], make: Callable[[Item], Task[Item]]) -> None:
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


class Worker(Protocol[Taken, Given]):
    """Does tasks. A plain class that knows no Ray: the same object serves a unit test and a cluster."""

    def do(self, item: Taken, /) -> Given:
        """Do one task. An exception is a failed attempt."""


class Work(ABC, Generic[Arguments, Item, Result]):
    """A kind of work: who does it, with what, and what of it is missing."""

    name: ClassVar[str]
    """As progress, metrics and result.json call it."""
    on_gpu: ClassVar[bool]
    """Whether its workers take the GPUs where there are some; other work leaves them free."""

    worker: Callable[[str, Arguments], Worker[Item, Result]]
    """Class of the workers: made of a device, "cpu" or "cuda", and the arguments."""

    @property
    @abstractmethod
    def arguments(self) -> Arguments:
        """What a worker is made of: a frozen dataclass that can be pickled."""

    @abstractmethod
    def tasks(self) -> Sequence[Task[Item]]:
        """Return what is to be done."""
