"""Storage on a real S3 server, through every fault that a network and a store can have."""

import re
import time

import pyarrow as pa
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from s3 import FINAL, SECRET, TRANSIENT, FaultProxy, moto, options

from pipeline.storage.store import Storage, StorageError


@pytest.fixture(scope="module")
def proxy():
    with moto() as server, FaultProxy(server) as running:
        Storage("s3://bucket", options(server))._fs.mkdir("bucket")
        yield running


@pytest.fixture
def storage(proxy, request):
    proxy.inject(None)
    proxy.requests.clear()
    return Storage(f"s3://bucket/{request.node.name}", options(proxy.url, read_timeout=1))


def same(table):
    def check(back, metadata):
        if not back.equals(table):
            raise ValueError("another table")
        return metadata

    return check


@pytest.mark.parametrize("fault", TRANSIENT)
def test_transient_faults_at_30_percent_change_nothing(storage, proxy, fault):
    proxy.inject(fault)
    tables = {f"t/{i}.parquet": pa.table({"seed": list(range(i, i + 500))}) for i in range(8)}
    for path, table in tables.items():
        storage.write_table(path, table, {"path": path}, row_group_size=100)
    storage.write_json("a.json", {"x": 1.25})
    for path, table in list(tables.items()) * 3:
        assert storage.read_table(path, same(table))["path"] == path
    assert storage.read_json("a.json") == {"x": 1.25}
    assert len(storage.ls("t")) == 8
    assert proxy.hits > 0
    proxy.inject(None)
    assert set(storage.find()) == {*tables, "a.json"}
    assert storage._fs.call_s3("list_multipart_uploads", Bucket="bucket").get("Uploads", []) == []


@pytest.mark.parametrize("fault", ["500", "503", "reset", "stall"])
def test_a_fault_for_ever_is_an_error_with_url_operation_and_cause(storage, proxy, fault, monkeypatch):
    monkeypatch.setattr("pipeline.storage.store.SECONDS_OF_PATIENCE", 1.5)
    proxy.inject(fault, share=1.0)
    started = time.monotonic()
    with pytest.raises(StorageError, match="^cannot write " + re.escape(f"{storage.url}/a: ") + r"\w+") as error:
        storage.write("a", b"x")
    assert time.monotonic() - started >= 1.5  # a busy machine may take longer
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("fault", FINAL)
def test_refusals_are_errors_at_once(storage, proxy, fault):
    proxy.inject(fault, share=1.0)
    for operation, call in {
        "write": lambda: storage.write("a", b"x"),
        "read": lambda: storage.read("a"),
        "list": lambda: storage.ls("a"),
    }.items():
        proxy.requests.clear()
        with pytest.raises(StorageError, match=re.escape(f"cannot {operation} {storage.url}/a: PermissionError")):
            call()
        assert len(proxy.requests) <= 2, proxy.requests


def test_a_missing_bucket_is_named(proxy):
    proxy.inject(None)
    nowhere = Storage("s3://no-such-bucket/x", options(proxy.url))
    assert nowhere.ls("") == {}
    with pytest.raises(FileNotFoundError, match="bucket"):
        nowhere.write("a", b"x")


def test_one_listing_for_more_than_a_page_of_files(storage, proxy):
    bucket, _, prefix = storage.url.removeprefix("s3://").partition("/")
    for i in range(1200):  # past the server's door: as many requests would take ten seconds
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(bucket, f"{prefix}/f/{i:04d}", b"x")
    proxy.requests.clear()
    assert len(storage.ls("f")) == 1200
    assert proxy.requests == ["LIST", "LIST"]  # two pages of a thousand


def test_files_are_dated(storage):
    before = time.time()
    storage.write("images/a.bin", b"12")
    size, written = storage.dated("images")["a.bin"]
    assert size == 2
    assert before - 2 <= written <= time.time() + 2  # S3's times are whole seconds
