"""Local copies of remote files: a path or URL becomes a local path, downloaded once per node."""

import errno
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
from filelock import FileLock

from pipeline import UserError

_SETTLED_NS = 2 * 10**9
"""The coarsest clock of a file system (FAT's), in nanoseconds."""
_FILES_AT_ONCE = 1000


def local_path(option: str, url: str) -> Path:
    """Return a path unchanged, or for a URL the path of a local copy, downloaded once per node.

    The copy is made again when the files behind the URL have changed.

    Raises:
        UserError: nothing is there, or it cannot be reached; the message begins with `option`.

    """
    if "://" not in url:
        if not Path(url).exists():
            raise UserError(f"{option} {url}: no such file or folder")
        return Path(url)
    try:
        fs, root = fsspec.core.url_to_fs(url.rstrip("/"))
        paths = sorted(fs.find(root))
        if not paths:
            raise FileNotFoundError("nothing is there")
        version = [url, *(f"{name} {_version(fs, name)}" for name in paths)]

        def download(target: Path) -> None:
            fs.get(root, str(target), recursive=paths != [root])

        return once(hashlib.sha256("\n".join(version).encode()).hexdigest(), Path(root).name, download)
    except Exception as error:  # each kind of store raises its own errors
        raise UserError.because(f"{option} {url} cannot be read", error) from error


def once(key: str, name: str, make: Callable[[Path], object]) -> Path:
    """Return the file or folder `name` cached under `key`; if it is missing, `make(path)` creates it first."""
    target = _cache() / key[:32] / name
    with node_lock(key[:32]):
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent) as partial:
                make(Path(partial) / name)
                (Path(partial) / name).rename(target)
    return target


def node_lock(name: str) -> FileLock:
    """Return a lock that this user's processes on this node share. Raises UserError if it cannot be written."""
    return FileLock(_cache() / f"{name}.lock")


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def content_of(files: Mapping[str, str]) -> str:
    """Return a SHA-256 of the names and contents of local files, given as name → path.

    They are read once a node, see `_read_once`.
    """
    entries = [*files.items()]

    def digest() -> str:
        total = hashlib.sha256()
        with ThreadPoolExecutor() as readers:
            for first in range(0, len(entries), _FILES_AT_ONCE):
                part = entries[first : first + _FILES_AT_ONCE]
                contents = readers.map(lambda entry: sha256_of(Path(entry[1])), part)
                for (name, _), content in zip(part, contents, strict=True):
                    total.update(f"{json.dumps(name)} {content}\n".encode())
        return total.hexdigest()

    return _read_once(files, digest)


def digest_of(file: Path) -> str:
    """Return the SHA-256 of a file's content, which is read once a node, see `_read_once`."""
    return _read_once({"": str(file)}, lambda: sha256_of(file))


def _read_once(files: Mapping[str, str], digest: Callable[[], str]) -> str:
    """Return the digest of files, made once a node while their names, sizes, times and inodes stay.

    A file that was changed within the last two seconds may be changed once more without a new time, so what is read so
    early is not kept (as in git's index).
    """
    status = [(name, Path(path).stat()) for name, path in files.items()]
    listing = [(name, at.st_size, at.st_mtime_ns, at.st_ctime_ns, at.st_ino, at.st_dev) for name, at in status]
    if max(at.st_ctime_ns for _, at in status) > time.time_ns() - _SETTLED_NS:
        return digest()
    key = hashlib.sha256(json.dumps(listing).encode()).hexdigest()
    return once(key, "content", lambda target: target.write_text(digest(), encoding="ascii")).read_text("ascii")


def versions_of(fs: Any, files: Mapping[str, str]) -> str:
    """Return a SHA-256 of the names of a store's files, given as name → path, and of their ETags or what it has."""
    total = hashlib.sha256()
    for name, path in files.items():
        info = fs.info(path)
        total.update(f"{json.dumps(name)} {info.get('ETag') or info.get('etag') or fs.ukey(path)}\n".encode())
    return total.hexdigest()


def _version(fs: Any, name: str) -> str:
    """Return text that changes with a file: fsspec's ukey, which for HTTP is only the URL, and ETag, date and size."""
    info = fs.info(name)
    return f"{fs.ukey(name)} {[info.get(key) for key in ('ETag', 'Last-Modified', 'last-modified', 'size')]}"


def _cache() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ddim-pipeline"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, "Permission denied")
    except OSError as error:
        text = f"{folder} cannot be written ({error.strerror}): set XDG_CACHE_HOME to a folder of your own"
        raise UserError(text) from error
    return folder
