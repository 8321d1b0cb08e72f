"""A Slurm of two nodes on this machine, on free ports, ended by pid: munged, slurmctld, and a slurmd a node."""

import contextlib
import getpass
import os
import shutil
import subprocess
import time
from pathlib import Path

import psutil
from clusters import free_port

DAEMONS = ("munged", "slurmctld", "slurmd")
_PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
_CONF = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=2
{nodes}
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def missing():
    """Return the daemons that this machine lacks."""
    return [name for name in DAEMONS if shutil.which(name, path=_PATH) is None]


class Slurm:
    """A running Slurm."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _PATH}

    def __call__(self, *command, **environment):
        """Run one of Slurm's commands, and return what it prints."""
        environment = self.environment | environment
        done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def state(self, job):
        """Return the state of a job, such as RUNNING."""
        fields = dict(part.partition("=")[::2] for part in self("scontrol", "show", "job", job).split())
        return fields["JobState"]


@contextlib.contextmanager
def slurm(folder):
    """Run a Slurm of two nodes with one core each."""
    names, host = ("one", "two"), os.uname().nodename
    (folder / "state").mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    for path, mode in ((folder, 0o700), (folder / "munge.key", 0o400)):
        path.chmod(mode)
    nodes = "\n".join(
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} CPUs=1" for name in names
    )
    conf = _CONF.format(port=free_port(), user=getpass.getuser(), folder=folder, nodes=nodes)
    (folder / "slurm.conf").write_text(conf, encoding="utf-8")
    files = [f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in ("socket", "key-file", "pid-file")]
    running = Slurm(folder)
    try:
        # --force: it would refuse a socket in a folder whose parents others may write, as /tmp
        running("munged", "--force", *files, f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed")
        running("slurmctld", "-c", "-f", folder / "slurm.conf")
        for name in names:
            running("slurmd", "-N", name, "-f", folder / "slurm.conf")
        deadline = time.monotonic() + 60
        while running("sinfo", "--noheader", "--format=%D %t") != "2 idle":
            assert time.monotonic() < deadline, running("sinfo")
            time.sleep(0.2)
        yield running
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            running("scancel", "--quiet", f"--user={getpass.getuser()}")
        pids = [*folder.glob("slurmd-*.pid"), *folder.glob("slurmctld.pid"), *folder.glob("munge.pid")]
        daemons = [psutil.Process(int(pid.read_text(encoding="utf-8"))) for pid in pids]
        for daemon in daemons:
            daemon.terminate()
        psutil.wait_procs(daemons, timeout=60)


def read_log(folder, job):
    """Return what a job has printed."""
    return Path(folder, f"sweep-{job}.log").read_text(encoding="utf-8")
