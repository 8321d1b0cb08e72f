"""What the page shows of studies: the text and the pictures of their reports."""

import base64
from dataclasses import dataclass
from typing import Any

from pipeline import UserError
from pipeline.reporting.part import public
from pipeline.storage.store import DamagedFileError
from pipeline.sweep.layout import REPORT, STUDY, SUMMARY
from pipeline.sweep.output import open_folder, read_first
from pipeline.sweep.study import Study


@dataclass(frozen=True)
class Shown:
    """A finished study."""

    output: str
    """Its output's URL without what may be secret."""
    kind: str
    text: str
    """The text of its report."""
    pictures: list[tuple[str, str]]
    """(name, PNG in base64) of its figures."""


def read_study(out: str, storage_options: dict[str, Any] | None) -> Shown | None:
    """Return what the page shows of a study; None if the output is none's.

    Raises:
        UserError: the study is not finished, or its first file is damaged.

    """
    storage, names = open_folder("--out", out, storage_options)
    if STUDY not in names:
        return None
    try:
        kind = read_first(Study, storage, lambda content: str(content["kind"]))
        files = storage.ls(REPORT)
        text = storage.read(f"{REPORT}/{SUMMARY}").decode()
    except FileNotFoundError:
        raise UserError(f"--out {out}: the study has no report yet, run it to its end first") from None
    except DamagedFileError as error:
        raise UserError(f"--out {out}: {error}") from error
    pictures = [name for name in sorted(files) if name.endswith(".png")]
    shown = [(name, base64.b64encode(storage.read(f"{REPORT}/{name}")).decode()) for name in pictures]
    return Shown(public(out.rstrip("/")), kind, public(text), shown)
