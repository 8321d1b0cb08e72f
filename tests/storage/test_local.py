"""Sources: paths, URLs and checkpoint files become local paths; each is fetched once a node."""

import functools
import hashlib
import http.server
import threading

import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem

from pipeline import UserError
from pipeline.diffusion.checkpoint import read_checkpoint
from pipeline.storage.local import local_path, sha256_of
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
