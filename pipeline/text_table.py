"""A table as text: in columns, or as CSV."""

import csv
import io
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest
from typing import Any


def text_table(
    lines: Sequence[Sequence[str]],
    left: Collection[int] = (0,),
    least: Sequence[int] = (),
    gap: str = "  ",
    head: int = 0,
) -> str:
    """Return cells as lines of text, in columns as wide as their widest cell.

    Args:
        lines: the cells of each line; a line may end early.
        left: columns of words, which begin at the left; the others, of numbers, end at the right.
        least: the least width of each of the first columns, for those that shall not move with their cells.
        gap: what stands between columns.
        head: lines above a rule; 0 for none.

    """
    widths = [max(map(_width, cells)) for cells in zip_longest(*lines, [" " * n for n in least], fillvalue="")]
    if len(widths) - 1 in left:
        widths[-1] = 0  # words at the end of a line need no space after them
    text = [gap.join(_padded(cell, widths[i], i in left) for i, cell in enumerate(line)) for line in lines]
    if head:
        text.insert(head, "─" * _width(text[0]))
    return "\n".join(text)


def csv_table(lines: Sequence[Mapping[str, Any]], names: Collection[str] | None = None) -> str:
    """Return CSV with a head and a line each; missing values are empty.

    Args:
        lines: column → value of each line.
        names: the columns; None for all that a line has, in the order in which they come.

    """
    known = dict.fromkeys(name for line in lines for name in line) if names is None else names
    sink = io.StringIO()
    writer = csv.DictWriter(sink, known, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return sink.getvalue()


def _padded(cell: str, width: int, left: bool) -> str:
    space = " " * (width - _width(cell))
    return cell + space if left else space + cell


def _width(text: str) -> int:
    """Return how many places a text takes: a combining character, as the hat of σ̂, takes none."""
    return sum(not unicodedata.combining(character) for character in text)
