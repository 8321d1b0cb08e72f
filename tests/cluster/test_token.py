"""The token of a cluster: without it nothing answers, with it nobody else sees it, and a sweep says what it lacks."""

import re
import urllib.error

import psutil
import pytest
from cluster_sweep import GRID
from clusters import authentication, head
from processes import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def cluster():
    with head("--num-cpus=1") as running:
        yield running


ASKED = "PermissionError: it asks for its token: set RAY_AUTH_MODE=token"
NOTHING = "AuthenticationError: .*token"  # where there is nothing to send, Ray says so itself
SAID = {
    "no authentication": ASKED,
    "mode without a token": NOTHING,
    "a path to nothing": NOTHING,
    "another token": ASKED,
}
"""Who has not the token → what a sweep says to him."""


@pytest.fixture(params=SAID)
def stranger(request, tmp_path):
    """The environment of a process that has not the cluster's token."""
    nobody = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "", "HOME": str(tmp_path)}
    return {
        "no authentication": nobody | {"RAY_AUTH_MODE": "disabled"},
        "mode without a token": nobody,
        "a path to nothing": nobody | {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "nothing")},
        "another token": authentication(tmp_path),
    }[request.param]


@pytest.mark.parametrize("path", ["/api/version", "/api/jobs/", "/nodes?view=summary"])
@pytest.mark.parametrize(
    ("headers", "status"), [({"Accept": "*/*"}, 401), ({"Authorization": f"Bearer {'0' * 64}"}, 403)]
)
def test_the_job_server_answers_nobody_without_the_token(cluster, path, headers, status):
    cluster.get(path)
    with pytest.raises(urllib.error.HTTPError) as refused:
        cluster.get(path, **headers)
    assert refused.value.code == status


def test_ray_job_gives_strangers_nothing(cluster, stranger):
    for arguments in (["submit", "--", "true"], ["list"], ["stop", "job"], ["logs", "job"]):
        ended = cluster.job(*arguments, **stranger)
        assert ended.returncode != 0, arguments
        assert "uthentication" in ended.stdout + ended.stderr, arguments
    assert cluster.get("/api/jobs/") == []


def test_a_sweep_that_has_not_the_token_says_so(cluster, stranger, tmp_path, request):
    status, text, err = run("sweep", *GRID, "--out", tmp_path / "out", **cluster.environment | stranger)
    assert (status, text, len(err.splitlines())) == (2, "", 1), err
    assert err.startswith(f"error: RAY_ADDRESS {cluster.address}: cannot join that cluster: ")
    assert err.count("RAY_ADDRESS") == 1
    assert re.search(SAID[request.node.callspec.params["stranger"]], err), err
    assert not (tmp_path / "out").exists()


def test_no_command_line_and_no_log_has_the_token(cluster):
    assert cluster.job("submit", "--", "true").returncode == 0
    head_and_children = [psutil.Process(cluster.process.pid), *psutil.Process(cluster.process.pid).children(True)]
    assert len(head_and_children) > 3
    assert not any(cluster.token in " ".join(process.cmdline()) for process in head_and_children)
    having = [file.name for file in cluster.folder.rglob("*") if file.is_file() and cluster.token in text_of(file)]
    assert having == ["token"]


def test_an_embedded_start_says_nothing_and_leaves_a_token(tmp_path):
    environment = {"HOME": str(tmp_path), "MPLCONFIGDIR": str(tmp_path), "RAY_AUTH_TOKEN_PATH": ""}
    arguments = ["--steps", "2", "--eta", "0", "--num-images", "40", "--out", tmp_path / "out"]
    status, _, err = run("sweep", *arguments, **environment)
    assert status == 0, err
    assert "oken" not in err
    assert len((tmp_path / ".ray" / "auth_token").read_text()) == 64


def text_of(file):
    return file.read_bytes().decode(errors="replace")
