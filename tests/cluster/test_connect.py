"""How a job connects: what it sets for the workers of its own Ray, and a cluster's token, asked for before Ray is."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from pipeline import UserError
from pipeline.cluster import executor


@pytest.fixture
def started(monkeypatch):
    """What `ray.init` is called with; no Ray is started."""
    calls = []
    monkeypatch.setattr(executor.ray, "init", lambda **given: calls.append(given))
    for name in executor.OF_OWN_RAY:
        monkeypatch.setenv(name, "")  # is taken back after the test, whatever is set in it
        monkeypatch.delenv(name)
    return calls


@pytest.mark.parametrize("own", [None, "narenas:1", ""])
def test_workers_keep_memory_and_the_commands_niceness_but_as_the_user_says(started, monkeypatch, own):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if own is not None:
        monkeypatch.setenv("MALLOC_CONF", own)
    executor._connect()
    environment = {name: executor.os.environ.get(name) for name in executor.OF_OWN_RAY}
    assert environment == {
        "RAY_LD_PRELOAD_ON_WORKERS": "1",
        "MALLOC_CONF": "dirty_decay_ms:-1" if own is None else own,
        "RAY_worker_niceness": "0",
    }
    assert [(call["address"], call["include_dashboard"]) for call in started] == [("local", False)]


@pytest.fixture
def gcs(monkeypatch, request):
    """A cluster's first server, that ends each call with a status; RAY_ADDRESS names it."""

    def answer(asked, context):
        context.abort(request.param, "said by the server")

    class Handler(grpc.GenericRpcHandler):
        def service(self, details):
            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(ThreadPoolExecutor(1), handlers=(Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    yield f"127.0.0.1:{port}"
    server.stop(None)


@pytest.mark.parametrize("gcs", [grpc.StatusCode.UNAUTHENTICATED], indirect=True)
def test_a_token_that_is_missing_is_told_before_ray_would_try_again_and_again(started, gcs):
    with pytest.raises(UserError) as refused:
        executor._connect()
    assert str(refused.value) == (
        f"RAY_ADDRESS {gcs}: cannot join that cluster: PermissionError: it asks for its token: set RAY_AUTH_MODE=token,"
        " and have that token in ~/.ray/auth_token"
    )
    assert started == []


@pytest.mark.parametrize("gcs", [grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE], indirect=True)
def test_whatever_else_it_says_is_left_to_ray(started, gcs):
    executor._connect()
    assert len(started) == 1
