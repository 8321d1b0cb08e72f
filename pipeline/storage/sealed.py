"""Content that carries its own digest, so that a changed bit is noticed whenever it is read."""

import hashlib
import json
from typing import Any


def seal(content: dict[str, Any]) -> dict[str, Any]:
    """Return JSON-like content with its SHA-256 added under the key "sha256"."""
    return content | {"sha256": digest(content)}


def unseal(sealed: dict[str, Any]) -> dict[str, Any]:
    """Return the content that was sealed. Raises ValueError if it has changed or was never sealed."""
    if not isinstance(sealed, dict) or "sha256" not in sealed:
        raise ValueError("it does not carry its digest: not a file that this project wrote")
    content = {key: value for key, value in sealed.items() if key != "sha256"}
    if sealed["sha256"] != digest(content):
        raise ValueError("the content does not match its digest")
    return content


def fingerprint(identity: dict[str, Any]) -> str:
    """Return 16 hexadecimal digits that identify JSON-like content."""
    return digest(identity)[:16]


def digest(content: dict[str, Any]) -> str:
    """Return the SHA-256 of JSON-like content in hexadecimal; the order of keys does not matter."""
    return sha256(json.dumps(content, sort_keys=True).encode())


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def footer_start(data: bytes) -> int:
    """Return the offset of a Parquet file's footer. The file ends with the footer's length in four bytes and "PAR1"."""
    return len(data) - 8 - int.from_bytes(data[-8:-4], "little")
