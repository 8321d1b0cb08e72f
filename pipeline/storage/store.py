"""Parquet and JSON files on fsspec: commit, list and read. Only this module writes outputs."""

import errno
import io
import json
import math
import os
import socket
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import NoCredentialsError, ParamValidationError
from fsspec.implementations.local import LocalFileSystem
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from pipeline import RunFailedError
from pipeline.storage.sealed import footer_start, seal, sha256, unseal

T = TypeVar("T")

SECONDS_OF_PATIENCE = 80.0
"""How long a failing request to an object store is retried before the run gives up."""

# Only `Storage._call` retries: retries by botocore and s3fs would multiply its attempts.
_S3_DEFAULTS: dict[str, Any] = {
    "use_listings_cache": False,  # objects of other writers must be visible
    "max_concurrency": 1,  # above 1, s3fs would request every object's size before reading it
    "config_kwargs": {"retries": {"total_max_attempts": 1}, "connect_timeout": 5, "read_timeout": 15},
}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class StorageError(RunFailedError):
    """The store cannot be used, so no other task can succeed; the message has operation, URL and cause."""


class DamagedFileError(RunFailedError):
    """A file of the output is missing or wrong; the message has its URL and what is wrong."""


class Storage:
    """A folder of outputs, local or at any fsspec URL. Files appear whole or not at all.

    Its methods raise StorageError if an object store refuses (no permission, expired token) or stays unreachable for
    `patience` seconds, or if a local disk is full or read-only. Other errors of a local disk are OSErrors.
    """

    def __init__(self, url: str, options: dict[str, Any] | None = None, patience: float | None = None) -> None:
        """Open `url`; nothing is read or written yet.

        Args:
            url: a local path, or a URL such as s3://bucket/prefix.
            options: fsspec's storage options. They appear in no file and no message.
            patience: seconds for which a failing request is retried, 0 for one attempt; None for `SECONDS_OF_PATIENCE`.

        Raises:
            ValueError, TypeError, ImportError: the URL names no folder, or fsspec cannot open it with these options.

        """
        self.url, self.patience = url.rstrip("/") or url[:1], patience
        if not self.url or self.url.endswith(":") or "::" in self.url:
            raise ValueError("give a folder, or one URL of one such as s3://bucket/prefix")
        defaults = _S3_DEFAULTS if url.startswith("s3://") else {}
        self._fs, self._root = fsspec.core.url_to_fs(self.url, **(defaults | (options or {})))
        if url.startswith("s3://"):
            self._fs.retries = 1

    def ls(self, folder: str) -> dict[str, int]:
        """Return name → size in bytes of every file in `folder`; empty if there is no such folder."""
        return {name: size for name, (size, _) in self.dated(folder).items()}

    def dated(self, folder: str) -> dict[str, tuple[int, float]]:
        """Return name → (size in bytes, time written in seconds since 1970 or nan) of every file in `folder`."""
        try:
            entries = self._call("list", folder, self._fs.ls, detail=True)
        except FileNotFoundError:
            return {}
        return {
            Path(entry["name"]).name: (entry["size"], _written(entry)) for entry in entries if entry["type"] == "file"
        }

    def names(self) -> list[str]:
        """Return the names of the files and folders at the top of the output. Raises NotADirectoryError for a file."""
        try:
            entries = self._call("list", "", self._fs.ls, detail=True)
        except FileNotFoundError:
            return []
        if [(entry["name"], entry["type"]) for entry in entries] == [(self._root, "file")]:
            raise NotADirectoryError("it is a file, and a folder is needed")
        return sorted(Path(entry["name"]).name for entry in entries)

    def find(self) -> dict[str, int]:
        """Return path → size in bytes of every file of the output."""
        entries = self._call("list", "", self._fs.find, detail=True)
        return {name.removeprefix(self._root).lstrip("/"): entry["size"] for name, entry in entries.items()}

    def read(self, path: str) -> bytes:
        """Return the content of a file. Raises FileNotFoundError."""
        return bytes(self._call("read", path, self._fs.cat_file))

    def read_checked(self, path: str, parse: Callable[[bytes], T]) -> T:
        """Return parse(content). `parse` must raise on any content that is not right.

        Content that does not parse is read again until two readings agree, since networks corrupt data too.

        Raises:
            DamagedFileError: the file is missing, or its content is wrong and not just one reading of it.

        """
        try:
            data = self.read(path)
            while True:
                try:
                    return parse(data)
                except Exception as error:  # any parser may fail in any way on arbitrary bytes
                    again = self.read(path)
                    if again == data:
                        raise DamagedFileError(f"{self.url}/{path}: {error}") from error
                    data = again
        except FileNotFoundError:
            raise DamagedFileError(f"{self.url}/{path} is missing") from None

    def write(self, path: str, data: bytes) -> None:
        """Commit a file: after a crash at any moment it is whole, or as it was before."""
        local = isinstance(self._fs, LocalFileSystem)
        self._call("write", path, _commit_locally if local else self._fs.pipe_file, data)

    def move(self, path: str, to: str) -> None:
        """Move a file to another path in the output."""
        if isinstance(self._fs, LocalFileSystem):
            Path(f"{self._root}/{to}").parent.mkdir(parents=True, exist_ok=True)
        self._call("move", path, self._fs.mv, f"{self._root}/{to}")

    def read_json(self, path: str) -> dict[str, Any]:
        """Return the content that `write_json` wrote. Raises DamagedFileError."""
        return self.read_checked(path, lambda data: unseal(json.loads(data)))

    def write_json(self, path: str, content: dict[str, Any]) -> None:
        """Commit `content` as indented JSON with its digest in it."""
        self.write(path, (json.dumps(seal(content), indent=2) + "\n").encode())

    def read_table(self, path: str, check: Callable[[pa.Table, dict[str, Any]], T]) -> T:
        """Return check(table, metadata) of a file that `write_table` wrote; `check` must raise if they are not right.

        Raises:
            DamagedFileError: the file is missing or not Parquet, a page or the metadata fails its checksum, or `check`
                raises.

        """

        def parse(data: bytes) -> T:
            file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
            metadata = unseal(json.loads(file.metadata.metadata[b"ddim"]))
            if sha256(data[: footer_start(data)]) != metadata["pages"]:
                raise ValueError("its pages do not match their digest")
            return check(file.read(), metadata)

        return self.read_checked(path, parse)

    def write_table(
        self,
        path: str,
        table: pa.Table,
        metadata: dict[str, Any],
        row_group_size: int,
        dictionary: list[str] | bool = False,
    ) -> int:
        """Commit a Parquet file with `metadata` under the footer's key "ddim"; return its size in bytes.

        The metadata includes a digest of everything before the footer: a page's checksum does not cover its header.
        """
        sink = io.BytesIO()
        options: dict[str, Any] = {"compression": "zstd", "write_statistics": ["seed"], "write_page_checksum": True}
        with pq.ParquetWriter(sink, table.schema, use_dictionary=dictionary, **options) as writer:
            writer.write_table(table, row_group_size)
            sealed = seal(metadata | {"pages": sha256(sink.getvalue())})
            writer.add_key_value_metadata({"ddim": json.dumps(sealed)})
        self.write(path, sink.getvalue())
        return sink.tell()

    def remove_stale_temporaries(self) -> None:
        """Remove temporary files that killed writers on this machine left. Object stores have no such files."""
        if not isinstance(self._fs, LocalFileSystem):
            return
        for file in Path(self._root).rglob(f".*.{socket.gethostname()}.*.tmp"):
            pid = int(file.name.split(".")[-3])
            if not Path(f"/proc/{pid}").exists():
                file.unlink(missing_ok=True)

    def _call(self, operation: str, path: str, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        remote = not isinstance(self._fs, LocalFileSystem)
        where = f"{self.url}/{path}".rstrip("/")
        retrying = Retrying(
            stop=stop_after_delay(SECONDS_OF_PATIENCE if self.patience is None else self.patience),
            wait=wait_random_exponential(multiplier=0.1, max=5),
            retry=retry_if_exception(lambda error: remote and _transient(error)),
            reraise=True,
        )
        try:
            return retrying(function, f"{self._root}/{path}".rstrip("/") or "/", *args, **kwargs)
        except FileNotFoundError:
            raise
        except Exception as error:
            if remote or getattr(error, "errno", None) in _FULL:
                raise StorageError(f"cannot {operation} {where}: {type(error).__name__}: {error}") from error
            raise


def _written(entry: dict[str, Any]) -> float:
    # local, S3, memory: fsspec has no common name for it
    time = next((entry[name] for name in ("mtime", "LastModified", "created") if name in entry), math.nan)
    return float(time) if isinstance(time, int | float) else float(time.timestamp())


def _transient(error: BaseException) -> bool:
    """Return whether a failed request to an object store may succeed when it is retried."""
    final = (FileNotFoundError, PermissionError, NoCredentialsError, ParamValidationError)
    return isinstance(error, Exception) and not isinstance(error, final) and getattr(error, "errno", 0) != errno.EINVAL


def _commit_locally(target: str, data: bytes) -> None:
    file = Path(target)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    directory = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
