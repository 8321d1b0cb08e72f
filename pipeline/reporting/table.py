"""The rows of metrics.json as the paper's table: samplers down, S across; for a terminal, Markdown, LaTeX and CSV."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.reporting.labels import Row, in_latex, labels, sampler_of

PAPER = "  paper"

_METRICS = (
    ("FID ↓", "FID $\\downarrow$", "fid"),
    ("IS ↑", "IS $\\uparrow$", "is_mean"),
    ("images/s per worker", "images/s per worker", "images_per_second"),
)


@dataclass(frozen=True)
class Block:
    """One table: one metric of one spacing."""

    title: str
    latex_title: str
    steps: list[int]
    nfe: list[str]
    """Network calls per image in each column: one number, or the range if samplers differ."""
    rows: list[tuple[str, list[str]]]
    """(label, cells) per sampler; after it (`PAPER`, the paper's cells), if they may be compared."""


def blocks(rows: list[Row]) -> list[Block]:
    """Return a table for each spacing and metric. A setting that was not drawn is an empty cell."""
    result = []
    names = labels(rows)
    for spacing in _distinct(row["spacing"] for row in rows):
        here = [(sampler_of(row), row) for row in rows if row["spacing"] == spacing]
        steps = sorted({row["steps"] for _, row in here})
        nfe = [_range([row["nfe"] for _, row in here if row["steps"] == s]) for s in steps]
        cells = {(sampler, row["steps"]): row for sampler, row in here}
        for title, latex_title, metric in _METRICS:
            lines = []
            for sampler in _distinct(sampler for sampler, _ in here):
                drawn = [cells.get((sampler, s)) for s in steps]
                lines.append((names[sampler], [_format(metric, row) if row else "" for row in drawn]))
                published = [row and row.get("fid_paper") for row in drawn]
                if metric == "fid" and any(published):
                    lines.append((PAPER, [f"{value:.2f}" if value else "" for value in published]))
            block = Block(f"{title}, {spacing} τ", f"{latex_title}, {spacing} $\\tau$", steps, nfe, lines)
            result.append(block)
    return result


def to_text(rows: list[Row]) -> str:
    """Return the tables for a terminal."""
    parts = []
    for block in blocks(rows):
        lines = [["S", *map(str, block.steps)], ["calls an image", *block.nfe]]
        lines += [[label, *cells] for label, cells in block.rows]
        widths = [max(_width(line[i]) for line in lines) for i in range(len(lines[0]))]
        body = [
            "  ".join([_pad(line[0], -widths[0]), *(_pad(c, w) for c, w in zip(line[1:], widths[1:], strict=True))])
            for line in lines
        ]
        body.insert(2, "─" * _width(body[0]))
        parts.append("\n".join([block.title, *body]))
    return "\n\n".join(parts)


def to_markdown(rows: list[Row], caption: str) -> str:
    """Return the tables as GitHub's Markdown."""
    parts = [caption]
    for block in blocks(rows):
        head = f"| {block.title} | " + " | ".join(f"S = {s}" for s in block.steps) + " |"
        rule = "|:--" + "|--:" * len(block.steps) + "|"
        body = [f"| {label} | " + " | ".join(cells) + " |" for label, cells in block.rows]
        calls = "| network calls an image | " + " | ".join(block.nfe) + " |"
        parts.append("\n".join([head, rule, *body, calls]))
    return "\n\n".join(parts) + "\n"


def to_latex(rows: list[Row], caption: str) -> str:
    """Return the tables as LaTeX; needs the package booktabs."""
    parts = [f"% {caption}"]
    for block in blocks(rows):
        columns = len(block.steps)
        body = [f"{in_latex(label)} & " + " & ".join(cells) + r" \\" for label, cells in block.rows]
        parts.append(
            "\n".join(
                [
                    rf"\begin{{tabular}}{{l{'r' * columns}}}",
                    r"\toprule",
                    rf"{block.latex_title} & \multicolumn{{{columns}}}{{c}}{{$S$}} \\",
                    rf"\cmidrule(l){{2-{columns + 1}}}",
                    " & " + " & ".join(map(str, block.steps)) + r" \\",
                    r"\midrule",
                    *body,
                    r"\midrule",
                    "network calls & " + " & ".join(block.nfe) + r" \\",
                    r"\bottomrule",
                    r"\end{tabular}",
                ]
            )
        )
    return "\n\n".join(parts) + "\n"


def to_csv(rows: list[Row]) -> str:
    """Return CSV with one line per setting and every metric at full precision; missing values are empty."""
    names = _distinct(name for row in rows for name, value in row.items() if not isinstance(value, dict))
    sink = io.StringIO()
    writer = csv.DictWriter(sink, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue()


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _format(metric: str, row: Row) -> str:
    value = row[metric]
    if metric == "fid":
        return f"{value:.2f}" if value >= 1 else f"{value:.3f}"
    if metric == "is_mean":
        return f"{value:.2f} ± {row['is_std']:.2f}"
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def _width(text: str) -> int:
    return len(text.replace("\u0302", ""))  # the combining hat has no width


def _pad(text: str, width: int) -> str:
    space = " " * (abs(width) - _width(text))
    return text + space if width < 0 else space + text
