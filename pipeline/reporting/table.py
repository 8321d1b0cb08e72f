"""The rows of metrics.json as the paper's table: η down, S across; for a terminal, Markdown, LaTeX and CSV."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
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
    nfe: list[int]
    rows: list[tuple[str, list[str]]]
    """(η, cells); below an η, where it may stand there, (`PAPER`, the paper's cells)."""


def blocks(rows: list[Row]) -> list[Block]:
    """Return a table for each spacing and metric. A setting that was not drawn is an empty cell."""
    result = []
    for spacing in _distinct(row["spacing"] for row in rows):
        here = [row for row in rows if row["spacing"] == spacing]
        steps = sorted({row["steps"] for row in here})
        nfe = {row["steps"]: row["nfe"] for row in here}
        cells = {(row["eta"], row["steps"]): row for row in here}
        for title, latex_title, metric in _METRICS:
            lines = []
            for eta in _distinct(row["eta"] for row in here):
                drawn = [cells.get((eta, s)) for s in steps]
                lines.append((_eta(eta), [_format(metric, row) if row else "" for row in drawn]))
                published = [row and row.get("fid_paper") for row in drawn]
                if metric == "fid" and any(published):
                    lines.append((PAPER, [f"{value:.2f}" if value else "" for value in published]))
            block = Block(
                f"{title}, {spacing} τ", f"{latex_title}, {spacing} $\\tau$", steps, [nfe[s] for s in steps], lines
            )
            result.append(block)
    return result


def to_text(rows: list[Row]) -> str:
    """Return the tables for a terminal."""
    parts = []
    for block in blocks(rows):
        lines = [["S", *map(str, block.steps)], ["calls an image", *map(str, block.nfe)]]
        lines += [[_label(eta), *cells] for eta, cells in block.rows]
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
        body = [f"| {_label(eta)} | " + " | ".join(cells) + " |" for eta, cells in block.rows]
        calls = "| network calls an image | " + " | ".join(map(str, block.nfe)) + " |"
        parts.append("\n".join([head, rule, *body, calls]))
    return "\n\n".join(parts) + "\n"


def to_latex(rows: list[Row], caption: str) -> str:
    """Return the tables as LaTeX; needs the package booktabs."""
    parts = [f"% {caption}"]
    for block in blocks(rows):
        columns = len(block.steps)
        body = [f"{_latex_label(eta)} & " + " & ".join(cells) + r" \\" for eta, cells in block.rows]
        parts.append(
            "\n".join(
                [
                    rf"\begin{{tabular}}{{l{'r' * columns}}}",
                    r"\toprule",
                    rf"{block.latex_title} & \multicolumn{{{columns}}}{{c}}{{$S$}} \\",
                    rf"\cmidrule(l){{2-{columns + 1}}}",
                    "$\\eta$ & " + " & ".join(map(str, block.steps)) + r" \\",
                    r"\midrule",
                    *body,
                    r"\midrule",
                    "network calls & " + " & ".join(map(str, block.nfe)) + r" \\",
                    r"\bottomrule",
                    r"\end{tabular}",
                ]
            )
        )
    return "\n\n".join(parts) + "\n"


def to_csv(rows: list[Row]) -> str:
    """Return one line a setting, with every metric at full precision."""
    names = [name for name, value in rows[0].items() if not isinstance(value, dict)]
    sink = io.StringIO()
    writer = csv.DictWriter(sink, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue()


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _eta(eta: Any) -> str:
    return "σ̂" if eta == "hat" else f"{eta:.1f}" if round(eta, 1) == eta else repr(eta)


def _label(eta: str) -> str:
    return eta if eta in ("σ̂", PAPER) else f"η = {eta}"


def _latex_label(eta: str) -> str:
    return r"\quad paper" if eta == PAPER else r"$\hat{\sigma}$" if eta == "σ̂" else f"${eta}$"


def _format(metric: str, row: Row) -> str:
    value = row[metric]
    if metric == "fid":
        return f"{value:.2f}" if value >= 1 else f"{value:.3f}"
    if metric == "is_mean":
        return f"{value:.2f} ± {row['is_std']:.2f}"
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def _width(text: str) -> int:
    return len(text.replace("\u0302", ""))  # the combining hat takes no room


def _pad(text: str, width: int) -> str:
    space = " " * (abs(width) - _width(text))
    return text + space if width < 0 else space + text
