"""The rows of metrics.json as the paper's table: methods down, S across; for a terminal, Markdown, LaTeX and CSV."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.reporting.columns import PUBLISHED, Column, shown, tables
from pipeline.sweep.grid import Row, Rows, Setting
from pipeline.sweep.method import Method, labels
from pipeline.text_table import csv_table, text_table


@dataclass(frozen=True)
class Block:
    """One table: one metric, of one spacing or of all where each sampler has its own."""

    title: str
    latex_title: str
    steps: list[int]
    nfe: list[str]
    """Network calls per image in each column: one number, or the range if samplers differ."""
    rows: list[tuple[str, list[str]]]
    """(label, cells) per method, and after it published cells, if they may be compared. A cell that takes other
    network calls than S says so, if its column has several numbers of them."""


def blocks(rows: Rows) -> list[Block]:
    """Return a table for each spacing and metric. A setting that was not drawn is an empty cell.

    If there are several spacings and each sampler has one of its own, there is one table for all, and the labels have
    the spacings.
    """
    result = []
    methods = _distinct(setting.method for setting in rows)
    spacings = _distinct(method.spacing for method in methods)
    each_its_own = len({(method.sampler, method.spacing) for method in methods}) == len({m.sampler for m in methods})
    together = len(spacings) > 1 and each_its_own
    names = labels(methods, short=True, besides=() if together else ("spacing",))
    for spacing in [None] if together else spacings:
        of_table = {setting: row for setting, row in rows.items() if spacing in (None, setting.spacing)}
        for column in tables():
            if all(row.get(column.key) is None for row in of_table.values()):
                continue
            suffix, in_tex = ("", "") if spacing is None else (f", {spacing} τ", f", {spacing} $\\tau$")
            titles = column.heading + suffix, column.latex_heading + in_tex
            result.append(_block(*titles, column, of_table, names))
    return result


def _block(title: str, latex_title: str, column: Column, rows: Rows, names: dict[Method, str]) -> Block:
    steps = sorted({setting.steps for setting in rows})
    calls = {s: [setting.nfe for setting in rows if setting.steps == s] for s in steps}
    of_method: dict[Method, dict[int, tuple[Setting, Row]]] = {}
    for setting, row in rows.items():
        of_method.setdefault(setting.method, {})[setting.steps] = setting, row
    lines = []
    for method, cells in of_method.items():
        texts = [_cell(column, *cells[s], calls[s]) if s in cells else "" for s in steps]
        lines.append((names[method], texts))
        for key, label in PUBLISHED.items() if column.key == "fid" else ():
            published = [cells[s][1].get(key) if s in cells else None for s in steps]
            if any(published):
                lines.append((label, [f"{value:.2f}" if value else "" for value in published]))
    return Block(title, latex_title, steps, [_range(calls[s]) for s in steps], lines)


def _cell(column: Column, setting: Setting, row: Row, calls: list[int]) -> str:
    text = shown(column, row)
    differ = column.key in row and setting.nfe != setting.steps and len(set(calls)) > 1
    return f"{text} ({setting.nfe})" if differ else text


def to_text(rows: Rows) -> str:
    """Return the tables for a terminal."""
    parts = []
    for block in blocks(rows):
        lines = [["S", *map(str, block.steps)], ["calls an image", *block.nfe]]
        lines += [[label, *cells] for label, cells in block.rows]
        parts.append(f"{block.title}\n{text_table(lines, head=2)}")
    return "\n\n".join(parts)


def to_markdown(rows: Rows, caption: str) -> str:
    """Return the tables as GitHub's Markdown."""
    parts = [caption]
    for block in blocks(rows):
        head = f"| {block.title} | " + " | ".join(f"S = {s}" for s in block.steps) + " |"
        rule = "|:--" + "|--:" * len(block.steps) + "|"
        body = [f"| {label} | " + " | ".join(cells) + " |" for label, cells in block.rows]
        calls = "| network calls an image | " + " | ".join(block.nfe) + " |"
        parts.append("\n".join([head, rule, *body, calls]))
    return "\n\n".join(parts) + "\n"


def to_latex(rows: Rows, caption: str) -> str:
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


def to_csv(rows: Rows) -> str:
    """Return CSV with one line per setting and every metric at full precision; missing values are empty.

    Each option of a sampler has a column, and `sampler_options` has all of them as text.
    """
    lines = [
        {
            **setting.describe(),
            **row,
            "sampler_options": ",".join(f"{k}={v}" for k, v in setting.sampler.options.items()),
        }
        for setting, row in rows.items()
    ]
    names = _distinct(name for line in lines for name, value in line.items() if not isinstance(value, dict))
    return csv_table(lines, names)


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
    return label.replace("_", r"\_")  # as in the name of an option
