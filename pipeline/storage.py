"""Parquet and JSON on fsspec: commit, list, read. The only file that writes outputs."""

import json
import os
import socket
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

_S3_DEFAULTS: dict[str, Any] = {
    "use_listings_cache": False,  # another writer's objects must show
    "config_kwargs": {
        "retries": {"mode": "standard", "total_max_attempts": 5},
        "connect_timeout": 5,
        "read_timeout": 30,
    },
}


class Storage:
    """A folder of outputs, local or at any fsspec URL. Files appear whole or not at all."""

    def __init__(self, url: str, options: dict[str, Any] | None = None) -> None:
        """Open `url`; nothing is read or written yet.

        Args:
            url: a local path, or a URL such as s3://bucket/prefix.
            options: fsspec's storage options.

        """
        self.url = url.rstrip("/")
        defaults = _S3_DEFAULTS if url.startswith("s3://") else {}
        self._fs, self._root = fsspec.core.url_to_fs(self.url, **(defaults | (options or {})))

    def ls(self, folder: str) -> dict[str, int]:
        """Return name → size in bytes of every file in `folder`; empty where there is no such folder."""
        try:
            entries = self._fs.ls(f"{self._root}/{folder}".rstrip("/"), detail=True)
        except FileNotFoundError:
            return {}
        return {Path(entry["name"]).name: entry["size"] for entry in entries if entry["type"] == "file"}

    def exists(self, path: str) -> bool:
        """Say whether a file is there."""
        return bool(self._fs.exists(f"{self._root}/{path}"))

    def read(self, path: str) -> bytes:
        """Return a whole file. Raises FileNotFoundError."""
        return bytes(self._fs.cat_file(f"{self._root}/{path}"))

    def write(self, path: str, data: bytes) -> None:
        """Commit a file: after a crash at any moment it is there whole, or not, or as it was before."""
        target = f"{self._root}/{path}"
        if not isinstance(self._fs, LocalFileSystem):
            self._fs.pipe_file(target, data)
            return
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

    def read_json(self, path: str) -> Any:
        """Return a JSON file's content. Raises FileNotFoundError, or ValueError where it is not JSON."""
        return json.loads(self.read(path))

    def write_json(self, path: str, content: Any) -> None:
        """Commit `content` as indented JSON."""
        self.write(path, (json.dumps(content, indent=2) + "\n").encode())

    def read_table(self, path: str) -> tuple[pa.Table, dict[str, Any]]:
        """Return a Parquet file's table and the metadata that `write_table` put into it.

        Raises:
            FileNotFoundError: there is none.
            OSError: a page fails its checksum, or it is not Parquet.

        """
        file = pq.ParquetFile(pa.BufferReader(self.read(path)), page_checksum_verification=True)
        metadata = file.schema_arrow.metadata or {}
        return file.read(), json.loads(metadata.get(b"ddim", b"{}"))

    def write_table(
        self,
        path: str,
        table: pa.Table,
        metadata: dict[str, Any],
        row_group_size: int,
        dictionary: list[str] | bool = False,
    ) -> int:
        """Commit a Parquet file with `metadata` under the schema key "ddim"; return its size in bytes."""
        sink = pa.BufferOutputStream()
        pq.write_table(
            table.replace_schema_metadata({**(table.schema.metadata or {}), b"ddim": json.dumps(metadata).encode()}),
            sink,
            row_group_size=row_group_size,
            compression="zstd",
            use_dictionary=dictionary,
            write_statistics=["seed"],
            write_page_checksum=True,
        )
        data = sink.getvalue().to_pybytes()
        self.write(path, data)
        return len(data)

    def remove_stale_temporaries(self) -> None:
        """Remove what a killed writer of this machine left half-written. Object stores keep nothing half-written."""
        if not isinstance(self._fs, LocalFileSystem):
            return
        for file in Path(self._root).rglob(f".*.{socket.gethostname()}.*.tmp"):
            pid = int(file.name.split(".")[-3])
            if not Path(f"/proc/{pid}").exists():
                file.unlink(missing_ok=True)
