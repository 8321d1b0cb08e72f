"""Storage on OpenStack Swift's s3api, an S3 server that checks signatures; docs/swift.md starts one."""

import os
import uuid
from types import SimpleNamespace

import pyarrow as pa
import pytest

from pipeline.storage.store import Storage, StorageError

pytestmark = pytest.mark.swift


@pytest.fixture(scope="module")
def settings():
    endpoint = os.environ.get("DDIM_TEST_SWIFT_ENDPOINT")
    if not endpoint:
        pytest.skip("DDIM_TEST_SWIFT_ENDPOINT is not set: there is no Swift server, see docs/swift.md")
    key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    return {"key": key, "secret": secret, "endpoint_url": endpoint}


@pytest.fixture(scope="module")
def bucket(settings):
    name = f"ddim-{uuid.uuid4().hex[:12]}"
    files = Storage(f"s3://{name}", settings)._fs
    files.mkdir(name)
    yield name
    files.rm(name, recursive=True)
    assert not files.exists(name)


@pytest.fixture
def storage(bucket, settings, request):
    return Storage(f"s3://{bucket}/{request.node.name}", settings)


def test_files_are_written_overwritten_listed_and_moved(storage):
    data = os.urandom(3_000_000)
    storage.write("a", b"first")
    storage.write("a", b"overwritten")
    storage.write("t/η=0.2, S=5.parquet", data)
    assert storage.read("a") == b"overwritten"
    assert storage.read("t/η=0.2, S=5.parquet") == data
    assert storage.names() == ["a", "t"]
    assert storage.ls("") == {"a": 11}
    assert storage.ls("t") == {"η=0.2, S=5.parquet": len(data)}
    storage.move("t/η=0.2, S=5.parquet", "moved/b")
    assert storage.read("moved/b") == data
    assert storage.find() == {"a": 11, "moved/b": len(data)}


def test_tables_and_json_come_back(storage):
    table = pa.table({"seed": list(range(1000))})
    size = storage.write_table("t.parquet", table, {"x": 1}, row_group_size=100)
    back, metadata = storage.read_table("t.parquet", lambda *both: both)
    assert (back.equals(table), metadata["x"]) == (True, 1)
    assert storage.ls("") == {"t.parquet": size}
    storage.write_json("a.json", {"x": 1.25})
    assert storage.read_json("a.json") == {"x": 1.25}


def test_what_is_missing(storage):
    assert (storage.ls("nowhere"), storage.names(), storage.find()) == ({}, [], {})
    with pytest.raises(FileNotFoundError):
        storage.read("a")


def test_a_wrong_secret_is_refused_and_not_tried_again(storage, settings, monkeypatch):
    stranger = Storage(storage.url, settings | {"secret": "wrong"})
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda seconds: pytest.fail("it is tried again")))
    for call in (lambda: stranger.write("a", b"x"), lambda: stranger.read("a"), lambda: stranger.ls("")):
        with pytest.raises(StorageError) as error:
            call()
        assert isinstance(error.value.__cause__, PermissionError)
    assert storage.names() == []
