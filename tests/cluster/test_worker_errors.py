"""What a worker's exception is to the run: the store's ends it, any other fails one task; without Ray running."""

import pytest
from ray.exceptions import RayTaskError

from pipeline.cluster import executor
from pipeline.cluster.executor import ActorPool
from pipeline.cluster.resources import Request, choose
from pipeline.storage.store import StorageError


def event(monkeypatch, cause, call="do"):
    """What the pool makes of a call that raised `cause` in its worker."""

    def get(ref):
        raise RayTaskError("draw_shard", "the worker's traceback", cause)

    monkeypatch.setattr(executor.ray, "get", get)
    pool = ActorPool(choose(Request(num_workers=1), [{"CPU": 1.0}], False))
    return pool._event("ref", "worker", call)


def test_a_stores_refusal_in_a_worker_ends_the_run(monkeypatch):
    with pytest.raises(StorageError, match="cannot write s3://bucket/a: the token has expired"):
        event(monkeypatch, StorageError("cannot write s3://bucket/a: the token has expired"))


def test_any_other_exception_fails_its_task_alone(monkeypatch):
    failed = event(monkeypatch, IsADirectoryError("a.parquet"))
    assert (failed.worker, failed.kind, failed.value) == ("worker", "failed", "IsADirectoryError: a.parquet")
    lost = event(monkeypatch, OSError("disk"), call="end")
    assert (lost.worker, lost.kind, lost.value) == ("worker", "lost", "OSError: disk")
