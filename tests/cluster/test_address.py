"""What is said of RAY_ADDRESS, and of a temporary folder, with which Ray cannot work: one line, nothing written."""

import signal
import socket
from pathlib import Path

import pytest
from here import run_here

from pipeline import UserError
from pipeline.cluster.address import FORMS, cannot_start, check_address


@pytest.fixture(autouse=True)
def sigterm():
    """Ray's own handler stays where it could not start."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def closed_port():
    """A port of this machine that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]


@pytest.mark.parametrize("address", ["ray://127.0.0.1:1", "http://127.0.0.1:8265", "head", "head:", "127.0.0.1:x", " "])
def test_another_form_is_refused_with_the_forms_that_are_right(address):
    with pytest.raises(UserError) as refused:
        check_address(address)
    assert str(refused.value) == f"RAY_ADDRESS {address} is no address of a cluster here: {FORMS}"


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_an_address_at_which_nothing_answers_is_named(host, closed_port):
    with pytest.raises(UserError, match=rf"^RAY_ADDRESS {host}:{closed_port} cannot be reached \(.+\): give HOST:PORT"):
        check_address(f"{host}:{closed_port}")


def test_a_port_that_is_none():
    with pytest.raises(UserError, match="RAY_ADDRESS 127.0.0.1:99999 cannot be reached"):
        check_address("127.0.0.1:99999")


@pytest.mark.parametrize("wrap", ["{}", "[{}]"])
def test_what_answers_is_right(wrap):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        check_address(wrap.format("::1") + f":{server.getsockname()[1]}")
    check_address("auto")


def test_a_temporary_folder_that_ray_cannot_use(tmp_path):
    """A file where Ray makes its folder, which stops root as another user's folder stops others."""
    (tmp_path / "file").touch()
    out = tmp_path / "out"
    status, text, err = run_here("sweep", "--out", out, ray=True, RAY_TMPDIR=str(tmp_path / "file" / "ray"))
    assert (status, text, err.count("\n"), out.exists()) == (2, "", 1, False), err
    assert err.startswith("error: Ray cannot start, set RAY_TMPDIR to a short path of your own: ")
    assert str(tmp_path / "file") in err


def test_a_home_that_ray_cannot_use():
    """Ray puts its token there."""
    error = PermissionError(13, "Permission denied", str(Path.home() / ".ray"))
    assert str(cannot_start(error)).startswith("Ray cannot start, set HOME to a folder of your own: PermissionError: ")
