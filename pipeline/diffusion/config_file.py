"""JSON files of a checkpoint, read and checked: one clear line about what is wrong in them."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline import UserError

Parsed = TypeVar("Parsed", bound=BaseModel)


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file. Raises UserError if it holds none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{file} holds no JSON object")
    return content


def parse(kind: type[Parsed], content: dict[str, Any], file: Path | None) -> Parsed:
    """Return what `kind` knows of the content of a file. Raises UserError that names the first wrong field."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"{file}: {first['loc'][0]}: {first['msg']} (got {content.get(str(first['loc'][0]))!r})"
        ) from None
