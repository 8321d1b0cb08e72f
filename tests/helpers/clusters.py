"""Ray clusters as processes of their own on this machine, on free ports, ended by pid."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

BIN = Path(sys.executable).parent
RAY = str(BIN / "ray")
OF_THE_USER = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "PYTHONPATH")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in OF_THE_USER} | {
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",  # an entrypoint's `python` is this one
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # else a cluster would starve beside the sweeps of other tests, which have it
    "RAY_DISABLE_IMPORT_WARNING": "1",
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def authentication(folder):
    """Write a new token into the folder, and return the environment of who has it. The user's own is not touched."""
    file = Path(folder, "token")
    file.touch(mode=0o600)
    file.write_text(secrets.token_hex(32), encoding="utf-8")
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(file)}


class Head:
    """A running head: its addresses, its process and folder, and the environment that joins it."""

    def __init__(self, port, dashboard, folder, process, has_token):
        self.address, self.jobs = f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}"
        self.folder, self.process = Path(folder), process
        self.token = Path(has_token["RAY_AUTH_TOKEN_PATH"]).read_text(encoding="utf-8")
        self._client = ENVIRONMENT | has_token
        self.environment = self._client | {"RAY_ADDRESS": self.address}

    def job(self, *arguments, **environment):
        """Run `ray job …` to its end."""
        command = [RAY, "job", arguments[0], "--address", self.jobs, *map(str, arguments[1:])]
        pipes = {"capture_output": True, "text": True, "check": False, "timeout": 300}
        return subprocess.run(command, env=self._client | environment, **pipes)

    def get(self, path, **headers):
        """Return what the head's HTTP server says to who has the token, or to who sends other headers."""
        request = urllib.request.Request(self.jobs + path, headers=headers or {"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def state(self, job):
        """Return the state of a submitted job."""
        return self.get(f"/api/jobs/{job}")["status"]


@contextlib.contextmanager
def head(*arguments, autoscaling=None, **environment):
    """Run `ray start --head --block` with the arguments; `autoscaling` makes the configuration file of a port."""
    # not tmp_path: Ray's sockets lie in it, and a socket's path has 107 characters at most
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    port, dashboard = free_port(), free_port()
    command = [RAY, "start", "--head", "--block", f"--port={port}", f"--temp-dir={folder}"]
    command += ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    command += [f"--dashboard-agent-listen-port={free_port()}", f"--object-store-memory={200 * 2**20}"]
    command += [f"--autoscaling-config={autoscaling(port)}"] if autoscaling else []
    has_token = authentication(folder)
    environment = ENVIRONMENT | has_token | environment
    with Path(folder, "start.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen([*command, *arguments], env=environment, stdout=log, stderr=log)
    running = Head(port, dashboard, folder, process, has_token)
    try:
        wait_until(lambda: process.poll() is None and _answers(running), 120)
        yield running
    finally:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        process.terminate()
        psutil.wait_procs(family, timeout=20)
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def wait_until(condition, seconds):
    """Wait until the condition holds and return what it says."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.2)
    return value


def _answers(running):
    with contextlib.suppress(OSError):
        return running.get("/api/version")
