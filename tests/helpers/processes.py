"""Jobs as processes: started as a user starts them, watched, and ended by pid."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]


def start(job, *arguments, **environment):
    """Start jobs/<job>.py in a process group of its own, as a terminal does."""
    command = [sys.executable, str(ROOT / "jobs" / f"{job}.py"), *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    listen = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731 - a shell's background job ignores it
    return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, preexec_fn=listen, **pipes)


def run(job, *arguments, **environment):
    """Run a job to its end: (exit status, standard output, standard error)."""
    process = start(job, *arguments, **environment)
    out, err = communicate(process)
    return process.returncode, out, err


def communicate(process, timeout=300):
    """Wait for a job's end: (standard output, standard error). One that takes too long is killed with its group."""
    try:
        return process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise


def title(process):
    """The process's own title, as Ray sets it; "" once it has ended."""
    try:
        return (process.cmdline() or [""])[0]
    except psutil.NoSuchProcess:
        return ""


def assert_ended(family, but=()):
    """Wait until all processes have ended, those with a title in `but` excepted."""
    deadline = time.monotonic() + 180
    while left := {process.pid: title(process) for process in family if title(process) and title(process) not in but}:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
