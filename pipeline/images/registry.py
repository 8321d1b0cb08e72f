"""The sources of images: one line each."""

from pipeline import UserError
from pipeline.images.base import Images, Source
from pipeline.images.data_sets import DATA_SETS
from pipeline.images.digits import DIGITS_SOURCE
from pipeline.images.folder import FOLDER
from pipeline.images.parquet import PARQUET

SOURCES: list[Source] = [
    FOLDER,  # the first, since it takes what no other does
    PARQUET,
    DATA_SETS,
    DIGITS_SOURCE,
]
"""The last is asked first."""


def open_images(name: str, option: str = "--reference") -> Images:
    """Return the images that a user gave, in a fixed order.

    Args:
        name: what a source takes: a path or URL, or the name of a data set.
        option: the user's option that has it, for messages.

    Raises:
        UserError: there are no images, or it is not clear which; the message names the option.

    """
    source = next(source for source in reversed(SOURCES) if source.takes(name))
    images = source.open(name, option)
    if not images.number:
        known = [text for source in SOURCES for text in source.gives()]
        known = ["an .npz", *known] if option == "--reference" else known
        raise UserError(f"{images.source} has no images: give {', '.join(known[:-1])} or {known[-1]}")
    return images
