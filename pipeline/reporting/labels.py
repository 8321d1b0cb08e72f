"""The labels of samplers in tables, plots and pictures."""

from typing import Any

from pipeline.diffusion import samplers
from pipeline.diffusion.samplers.base import Sampler

Row = dict[str, Any]
"""A setting's row of metrics.json."""


def sampler_of(row: Row) -> Sampler:
    """Return the sampler of a row, with its options."""
    return samplers.make(row["sampler"], row)


def labels(rows: list[Row]) -> dict[Sampler, str]:
    """Return a label for each sampler of the rows. If they differ only in options, the label has only these."""
    found = dict.fromkeys(map(sampler_of, rows))
    alone = len({sampler.name for sampler in found}) == 1 and all(sampler.options_label for sampler in found)
    return {sampler: sampler.options_label if alone else sampler.label for sampler in found}


def in_latex(label: str) -> str:
    """Return a label in LaTeX, which matplotlib understands too."""
    if label.startswith("  "):
        return rf"\quad {label.strip()}"
    return label.replace("σ̂", r"$\hat{\sigma}$").replace("η", r"$\eta$")
