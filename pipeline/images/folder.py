"""A folder of images: which of its files are read, which are left out and why, and their pictures."""

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

import fsspec

from pipeline import UserError
from pipeline.images.base import Images, Source
from pipeline.images.parquet import parquet_pictures
from pipeline.images.pictures import Picture, decode_picture
from pipeline.storage.local import content_of, local_path, versions_of

FOLDER_IDENTITIES = _BY_LISTING, _BY_CONTENT = "files:", "content:"
"""What the identity of a local folder begins with: in earlier releases, and now."""

_PICTURES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
_HIDDEN = "hidden"
_AGAIN = "reached again by a link"
_NAMED_AT_MOST = 3
_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""Split → the words by which `datasets` knows it."""
_SPLIT_OF_WORD = {word: split for split, words in _SPLITS.items() for word in words}


@dataclass(frozen=True)
class FolderFiles:
    """The images of a folder: files of one each, or Parquet."""

    paths: dict[str, str]
    """Name below the folder → path in its store, in the order of the images."""
    parquet: bool
    left_out: dict[str, list[str]]
    """Why → names of the files and folders that are not read for that reason."""

    @property
    def note(self) -> str:
        """A line on what is left out; "" if nothing is."""
        parts = []
        for why, names in self.left_out.items():
            some = ", ".join(names[:_NAMED_AT_MOST]) + (", …" if len(names) > _NAMED_AT_MOST else "")
            parts.append(f"{len(names):,} {why} ({some})")
        files = f"{len(self.paths):,} {'Parquet files' if self.parquet else 'images'}"
        return f"{files} read; left out: {'; '.join(parts)}" if parts else ""


def folder_files(spec: str, option: str) -> FolderFiles:
    """Return the files of a folder that have images, sorted.

    Links are followed, but a file is read once, whatever leads to it. What begins with a dot, and macOS's `__MACOSX`,
    is hidden. A remote folder of pictures is copied here first.

    Raises:
        UserError: it has both images and Parquet, or several splits of a data set.

    """
    left_out: dict[str, list[str]] = defaultdict(list)
    paths = _remote(spec, left_out) if "://" in spec else {}
    if not any(map(_is_parquet, paths)):
        left_out.clear()
        folder = local_path(option, spec)
        paths = _local(folder, left_out) if folder.is_dir() else {}
    parquet = sorted(name for name in paths if _is_parquet(name))
    pictures = sorted((name for name in paths if PurePath(name).suffix.lower() in _PICTURES), key=PurePath)
    if parquet and pictures:
        raise UserError(
            f"{option} {spec} has both {len(pictures):,} images ({pictures[0]}, …) and {len(parquet):,} Parquet files "
            f"({parquet[0]}, …): give a folder of one kind"
        )
    for name in paths.keys() - {*parquet, *pictures}:
        left_out[PurePath(name).suffix.lower() or "without a suffix"].append(name)
    names = parquet or pictures
    splits = {split: name for name in names for split in _splits(name, bool(parquet))}
    if len(splits) > 1:
        raise UserError(
            f"{option} {spec} has several splits, {', '.join(sorted(splits))} ({', '.join(sorted(splits.values()))}): "
            "give a file or a folder of one"
        )
    named = {why: sorted(names) for why, names in sorted(left_out.items())}
    return FolderFiles({name: paths[name] for name in names}, bool(parquet), named)


def _is_parquet(name: str) -> bool:
    return name.lower().endswith(".parquet")


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _remote(spec: str, left_out: dict[str, list[str]]) -> dict[str, str]:
    """Return name → path of all files at a URL that are not hidden."""
    fs, root = fsspec.core.url_to_fs(spec)
    paths = {path.removeprefix(root).lstrip("/"): path for path in fs.find(root)}
    left_out[_HIDDEN] += [name for name in paths if any(map(_is_hidden, PurePath(name).parts))]
    return {name: path for name, path in paths.items() if name not in left_out[_HIDDEN]}


def _local(folder: Path, left_out: dict[str, list[str]]) -> dict[str, str]:
    """Return name → path of all files below a folder that are not hidden, each once, under its own name if it has one.

    A link to a folder that holds this one is not followed: what it holds besides was not asked for.
    """
    paths: dict[str, str] = {}
    top = os.path.realpath(folder)
    seen = {*map(str, Path(top).parents)}
    todo, links = [(str(folder), top, True)], list[str]()
    while todo or links:
        if todo:  # links come last
            path, real, is_folder = todo.pop()
        else:
            path = links.pop(0)
            real, is_folder = os.path.realpath(path), os.path.isdir(path)  # noqa: PTH112 - a million times, it may be
        name = os.path.relpath(path, folder)
        if real in seen:
            left_out[_AGAIN].append(name)
            continue
        seen.add(real)
        if not is_folder:
            paths[name] = path
            continue
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if _is_hidden(entry.name):
                    left_out[_HIDDEN].append(os.path.relpath(entry.path, folder))
                elif entry.is_symlink():
                    links.append(entry.path)
                else:
                    todo.append((entry.path, f"{real}/{entry.name}", entry.is_dir()))
    return paths


def _splits(name: str, parquet: bool) -> Iterator[str]:
    """Yield the split of a data set to which a file belongs, if its name says one.

    Parquet is named as `datasets` reads it, train-00000-of-00001.parquet or test/0.parquet; pictures lie in folders of
    their splits.
    """
    path = PurePath(name)
    places = [path.stem, *reversed(path.parts[:-1])] if parquet else path.parts[:-1][:1]
    for place in places:
        for word in re.split(r"[-._ 0-9]+", place.lower()) if parquet else [place.lower()]:
            if word in _SPLIT_OF_WORD:
                yield _SPLIT_OF_WORD[word]
                return


def _open(name: str, option: str) -> Images:
    source, files = f"{option} {name}", folder_files(name, option)
    note = f"{source}: {files.note}" if files.note else ""
    left_out = {why: len(names) for why, names in files.left_out.items()}
    if files.parquet:
        number, read = parquet_pictures(fsspec.core.url_to_fs(name)[0], files.paths, source)
    else:
        number, read = len(files.paths), _reader(files.paths)

    def identity(known: str | None) -> str:
        # nothing says that pixels changed if names and sizes are what an earlier release saw
        if known is not None and known.startswith(_BY_LISTING) and known == _by_listing(name):
            return known
        return _by_content(name, files)

    return Images(name, source, number, read, identity, note=note, left_out=left_out)


def _reader(paths: dict[str, str]) -> Callable[[int, int], Iterator[Picture]]:
    names = [*paths]
    return lambda first, end: (decode_picture(name, Path(paths[name])) for name in names[first:end])


def _by_content(name: str, files: FolderFiles) -> str:
    if files.parquet and "://" in name:
        return f"versions:{versions_of(fsspec.core.url_to_fs(name)[0], files.paths)}"
    return f"{_BY_CONTENT}{content_of(files.paths)}"


def _by_listing(name: str) -> str:
    """Return the identity of a folder in earlier releases, by the names and sizes of all files in it."""
    fs, root = fsspec.core.url_to_fs(name)
    sizes = sorted((path.removeprefix(root), entry["size"]) for path, entry in fs.find(root, detail=True).items())
    return f"{_BY_LISTING}{hashlib.sha256(json.dumps(sizes).encode()).hexdigest()}"


FOLDER = Source(lambda name: True, _open, lambda: ["a folder with some"])
