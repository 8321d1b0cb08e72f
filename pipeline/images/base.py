"""Images and Source: what the project knows of images that are already there, and what a kind of them has to offer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pipeline.images.pictures import Picture, refuse


@dataclass(frozen=True)
class Images:
    """Images with an index, so that a part of them is read without those before it."""

    name: str
    """What the user gave."""
    source: str
    """The option and `name`, for messages."""
    number: int
    pictures: Callable[[int, int], Iterator[Picture]]
    """The images first ≤ i < end, as far as there are any, with what is wrong with each."""
    identity: Callable[[str | None], str]
    """Text that changes with the images: a data set's name, or a digest of all that is read. It is given the identity
    that an output has of the same name, or None, and may return that where an earlier release had another rule."""
    shape: tuple[int, ...] | None = None
    """(C, H, W), where that is known without reading one."""
    labels: Sequence[int] | None = None
    """The class of each, where the source knows classes."""
    note: str = ""
    """A line on the files that are left out."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Why → number of files and folders."""

    def read(self, first: int, end: int) -> Iterator[Tensor]:
        """Yield the images first ≤ i < end, uint8, (C, H, W). Raises UserError if one cannot be read."""
        for picture in self.pictures(first, end):
            if picture.pixels is None:
                refuse(self.source, [picture.misfit(None)], self.number)
            else:
                yield picture.pixels


@dataclass(frozen=True)
class Source:
    """A kind of images. It is one file and one line of `pipeline.images.registry`."""

    takes: Callable[[str], bool]
    """Whether what the user gave is of this kind."""
    open: Callable[[str, str], Images]
    """(what the user gave, its option for messages) → the images, in a fixed order. Raises UserError."""
    gives: Callable[[], list[str]]
    """What a user may give, for messages."""


def numbered(images: Any) -> Callable[[int, int], Iterator[Picture]]:
    """Return the `pictures` of what has a length and gives image i, uint8, (C, H, W), by images[i]."""
    return lambda first, end: (Picture(f"image {i}", images[i]) for i in range(first, min(end, len(images))))
