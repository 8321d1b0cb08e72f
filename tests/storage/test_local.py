"""Sources: paths, URLs and checkpoint files become local paths; each is fetched once a node."""

import functools
import hashlib
import http.server
import os
import threading
import time

import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem

from pipeline import UserError
from pipeline.diffusion.checkpoint import read_checkpoint
from pipeline.storage import local
from pipeline.storage.local import content_of, local_path, node_lock, sha256_of, versions_of
from pipeline.sweep.model import model_folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def memory(monkeypatch):
    """An object store that counts what is fetched from it."""
    fetched = []
    original = MemoryFileSystem.get_file

    def get_file(self, path, *args, **kwargs):
        fetched.append(path)
        return original(self, path, *args, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "get_file", get_file)
    MemoryFileSystem.store.clear()
    return MemoryFileSystem(), fetched


def test_a_local_path_stays_where_it_is(tmp_path):
    (tmp_path / "a").write_text("x")
    assert local_path("--x", str(tmp_path / "a")) == tmp_path / "a"
    with pytest.raises(UserError, match="--x nowhere: no such file or folder"):
        local_path("--x", "nowhere")


def test_a_file_at_a_url_is_fetched_once_and_again_when_it_has_changed(memory):
    store, fetched = memory
    store.pipe_file("/a/weights.pth", b"one")
    first = local_path("--x", "memory://a/weights.pth")
    assert (first.name, first.read_bytes()) == ("weights.pth", b"one")
    assert local_path("--x", "memory://a/weights.pth") == first
    assert len(fetched) == 1
    store.pipe_file("/a/weights.pth", b"two")
    assert local_path("--x", "memory://a/weights.pth").read_bytes() == b"two"


def test_a_file_behind_http_is_fetched_again_when_it_has_changed(tmp_path):
    (tmp_path / "www").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a.npz"
        for content in (b"one", b"three"):
            (tmp_path / "www" / "a.npz").write_bytes(content)
            assert local_path("--x", url).read_bytes() == content
        server.shutdown()


def test_many_at_once_fetch_once(memory):
    store, fetched = memory
    store.pipe_file("/a/w", b"x" * 1_000_000)
    threads = [threading.Thread(target=local_path, args=("--x", "memory://a/w")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fetched) == 1


def test_a_failed_fetch_leaves_nothing(memory, cache, monkeypatch):
    store, _ = memory
    store.pipe_file("/a/w", b"x")

    def broken(self, rpath, lpath, **kwargs):
        with open(lpath, "wb") as file:  # noqa: PTH123
            file.write(b"half")
        raise ConnectionResetError("reset")

    monkeypatch.setattr(MemoryFileSystem, "get_file", broken)
    with pytest.raises(UserError, match="--x memory://a/w cannot be read: ConnectionResetError: reset"):
        local_path("--x", "memory://a/w")
    assert not [file for file in cache.rglob("w*")]
    with pytest.raises(UserError, match="memory://none cannot be read"):
        local_path("--x", "memory://none")


def test_a_model_folder_at_a_url(memory, tiny_model):
    store, _ = memory
    store.put(tiny_model, "/models/tiny", recursive=True)
    assert (
        read_checkpoint(model_folder("memory://models/tiny")).info.digest
        == read_checkpoint(model_folder(tiny_model)).info.digest
    )


def test_an_unreachable_or_unknown_hub_name_is_one_line(monkeypatch):
    """A real connection that is refused: port 9 of loopback has no server."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.file_download.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        UserError, match="--model google/ddpm-none is no folder here and cannot be had from the hub"
    ) as e:
        model_folder("google/ddpm-none")
    assert "\n" not in str(e.value)


def test_what_is_not_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="--model nowhere: no such file or folder"):
        model_folder("nowhere")
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=r"x\.ckpt"):
        model_folder(str(tmp_path / "x.ckpt"))


def test_a_folder_may_be_named_as_a_checkpoint_is(tmp_path):
    (tmp_path / "x.ckpt").mkdir()
    assert model_folder(str(tmp_path / "x.ckpt")) == tmp_path / "x.ckpt"


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


@pytest.fixture
def later(monkeypatch):
    """Makes it ten seconds later than files were written."""
    monkeypatch.setattr(local.time, "time_ns", lambda now=time.time_ns: now() + 10 * 10**9)


@pytest.fixture
def read(monkeypatch):
    """The names of the files that are read."""
    names = []
    monkeypatch.setattr(local, "sha256_of", lambda file: names.append(file.name) or sha256_of(file))
    return names


def test_content_is_read_once_while_names_sizes_and_times_stay(tmp_path, later, read):
    files = {name: str(tmp_path / name) for name in ("a", "b")}
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"two")
    first = content_of(files)
    names = ["a", "b"]
    assert sorted(read) == names
    lines = [f'"{name}" {hashlib.sha256(data).hexdigest()}\n' for name, data in [("a", b"one"), ("b", b"two")]]
    assert first == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert content_of(files) == first
    assert sorted(read) == names


@pytest.mark.parametrize("how", ["in place", "another file", "name"])
def test_content_of_the_same_size_and_time_is_another(tmp_path, later, how):
    """What was written within the clock's tick, and given the old time back, as `cp -p` and `rsync -t` do."""
    (tmp_path / "a").write_bytes(b"one")
    before = (tmp_path / "a").stat()
    first = content_of({"a": str(tmp_path / "a")})
    if how == "name":
        assert content_of({"b": str(tmp_path / "a")}) != first
        return
    target = tmp_path / ("a" if how == "in place" else "b")
    target.write_bytes(b"two")
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    target.rename(tmp_path / "a")
    assert (tmp_path / "a").stat().st_mtime_ns == before.st_mtime_ns
    assert content_of({"a": str(tmp_path / "a")}) != first


def test_content_that_was_written_just_now_is_not_kept(tmp_path, read, monkeypatch):
    """It may be written again without a new time: here every file has the same."""
    (tmp_path / "a").write_bytes(b"one")
    status = (tmp_path / "a").stat()
    monkeypatch.setattr(local.Path, "stat", lambda path: status)
    first = content_of({"a": str(tmp_path / "a")})
    (tmp_path / "a").write_bytes(b"two")
    assert content_of({"a": str(tmp_path / "a")}) != first
    assert read == ["a", "a"]


def test_versions_of_a_stores_files(memory):
    store, fetched = memory
    store.pipe_file("/a/1", b"one")
    files = {"1": "/a/1"}
    first = versions_of(store, files)
    assert versions_of(store, files) == first
    store.pipe_file("/a/1", b"two")
    assert versions_of(store, files) != first
    assert versions_of(store, {"2": "/a/1"}) != versions_of(store, files)
    assert fetched == []


def test_a_cache_that_cannot_be_written_names_the_variable_to_set(cache):
    """A file where the folder goes, which stops root as another user's folder stops others."""
    cache.touch()
    with pytest.raises(UserError, match="set XDG_CACHE_HOME to a folder of your own") as refused:
        node_lock("extractors")
    assert str(refused.value).startswith(f"{cache}/ddim-pipeline cannot be written (Not a directory): ")
