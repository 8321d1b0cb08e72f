"""JSON files of a checkpoint, changed by hand."""

import json
from pathlib import Path


def change(file: Path, **fields):
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | fields), encoding="utf-8")
