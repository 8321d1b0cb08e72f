"""The rows of metrics.json as the paper's table: samplers down, S across; for a terminal, Markdown, LaTeX and CSV."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.diffusion.samplers.base import Sampler
from pipeline.reporting.labels import Row, labels, line_labels, one_spacing_each, sampler_of
from pipeline.reporting.standings import shown
from pipeline.text_table import text_table

PUBLISHED = {"fid_paper": "  paper", "fid_published": "  published, second-hand"}
"""Key of a row → label of the line below its sampler."""

_METRICS = (
    ("FID ↓", "FID $\\downarrow$", "fid", "fid_se"),
    ("IS ↑", "IS $\\uparrow$", "is_mean", "is_se"),
    ("images/s per worker", "images/s per worker", "images_per_second", None),
    (
        "distance from the largest S, 1: another seed's",
        "distance from the largest $S$",
        "consistency",
        "consistency_se",
    ),
)
"""(title, title in LaTeX, key of a row, key of its standard error)."""


@dataclass(frozen=True)
class Block:
    """One table: one metric, of one spacing or of all where each sampler has its own."""

    title: str
    latex_title: str
    steps: list[int]
    nfe: list[str]
    """Network calls per image in each column: one number, or the range if samplers differ."""
    rows: list[tuple[str, list[str]]]
    """(label, cells) per sampler, and after it published cells, if they may be compared. A cell that takes other
    network calls than S says so, if its column has several numbers of them."""


def blocks(rows: list[Row]) -> list[Block]:
    """Return a table for each spacing and metric. A setting that was not drawn is an empty cell.

    If each sampler has a spacing of its own, there is one table for all, and the labels have the spacings.
    """
    result = []
    together = one_spacing_each(rows)
    for spacing in [None] if together else _distinct(row["spacing"] for row in rows):
        here = [row for row in rows if spacing in (None, row["spacing"])]
        names = {sampler: name for (sampler, _), name in line_labels(rows).items()} if together else labels(rows)
        for title, latex_title, metric, se in _METRICS:
            if all(row.get(metric) is None for row in here):
                continue
            suffix, in_tex = ("", "") if spacing is None else (f", {spacing} τ", f", {spacing} $\\tau$")
            result.append(_block(title + suffix, latex_title + in_tex, metric, se, here, names))
    return result


def _block(
    title: str, latex_title: str, metric: str, se: str | None, rows: list[Row], names: dict[Sampler, str]
) -> Block:
    cells = {(sampler_of(row), row["steps"]): row for row in rows}
    steps = sorted({s for _, s in cells})
    calls = {s: [row["nfe"] for (_, here), row in cells.items() if here == s] for s in steps}
    lines = []
    for sampler in _distinct(sampler for sampler, _ in cells):
        drawn = [cells.get((sampler, s)) for s in steps]
        texts = [shown(metric, row, se) if row else "" for row in drawn]
        for i, row in enumerate(drawn):
            if row and metric in row and row["nfe"] != row["steps"] and len(set(calls[row["steps"]])) > 1:
                texts[i] += f" ({row['nfe']})"
        lines.append((names[sampler], texts))
        for key, label in PUBLISHED.items() if metric == "fid" else ():
            published = [row and row.get(key) for row in drawn]
            if any(published):
                lines.append((label, [f"{value:.2f}" if value else "" for value in published]))
    return Block(title, latex_title, steps, [_range(calls[s]) for s in steps], lines)


def to_text(rows: list[Row]) -> str:
    """Return the tables for a terminal."""
    parts = []
    for block in blocks(rows):
        lines = [["S", *map(str, block.steps)], ["calls an image", *block.nfe]]
        lines += [[label, *cells] for label, cells in block.rows]
        parts.append(f"{block.title}\n{text_table(lines, head=2)}")
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
        body = [f"{_in_latex(label)} & " + " & ".join(cells) + r" \\" for label, cells in block.rows]
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
    """Return CSV with one line per setting and every metric at full precision; missing values are empty.

    Each option of a sampler has a column, and `sampler_options` has all of them as text.
    """
    rows = [
        row | {"sampler_options": ",".join(f"{name}={value}" for name, value in sampler_of(row).options.items())}
        for row in rows
    ]
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


def _in_latex(label: str) -> str:
    """Return a label in LaTeX."""
    if label.startswith("  "):
        return rf"\quad {label.strip()}"
    for text, symbol in {"σ̂": r"\hat{\sigma}", "η": r"\eta", "λ": r"\lambda"}.items():
        label = label.replace(text, f"${symbol}$")
    return label
