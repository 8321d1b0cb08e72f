"""What a job requests of a cluster, and what a cluster has for it. Does not use Ray."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fsspec.utils import get_protocol
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline import UserError

SMALLEST_SHARE = 1e-4
"""The smallest share of a GPU that Ray can count."""
JEMALLOC = {"RAY_LD_PRELOAD_ON_WORKERS": "1", "MALLOC_CONF": "dirty_decay_ms:-1"}
"""What makes Ray's workers allocate by the jemalloc that comes with Ray, and keep the memory that they free. With glibc
large tensors go back to the system and come anew, page by page, in each call of a network on a CPU."""
OF_OWN_RAY = JEMALLOC | {"RAY_worker_niceness": "0"}
"""What the processes of a Ray that a job starts itself have in their environment. Ray adds this niceness to the
command's; its own 15 would starve workers beside what else runs on the machine."""


def joins_a_cluster() -> bool:
    """Return whether this process joins a cluster: RAY_ADDRESS is set, as in a submitted job."""
    return bool(os.environ.get("RAY_ADDRESS"))


class Request(BaseModel):
    """What a job requests. Raises UserError if a value is invalid."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_workers: int | None = Field(default=None, description="workers at most (as many as there can be)")
    gpus_per_worker: float | None = Field(
        default=None, description="a share of one, as 0.5, or a whole number (1, or a CPU core where there are no GPUs)"
    )
    start_timeout: float = Field(default=1800.0, description="seconds that may pass without any worker (1800)")
    out: str | None = None
    """URL of an output that workers write."""
    first_file: str = ""
    """Name of the first file in the output. If the output is a path, every node must see this file."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise UserError.of_option(error.errors()[0]) from None
        gpus = self.gpus_per_worker
        if gpus is not None and not (SMALLEST_SHARE <= gpus <= 1 or (gpus > 1 and gpus.is_integer())):
            raise UserError(f"--gpus-per-worker must be a share up to 1 or a whole number, not {gpus:g}")
        if self.num_workers is not None and self.num_workers < 1:
            raise UserError(f"--num-workers must be 1 or more, not {self.num_workers}")
        if not self.start_timeout > 0:
            raise UserError(f"--start-timeout must be above 0, not {self.start_timeout:g}")
        if joins_a_cluster() and self._local and not Path(self._path).is_absolute():
            raise UserError(
                f"--out {self.out}: a relative path is lost on a cluster: give a URL such as s3://bucket/prefix, or an "
                "absolute path that all nodes share"
            )

    @property
    def witness(self) -> str | None:
        """A file that every node must see; None unless the output is a path and nodes may have disks of their own."""
        return f"{self._path}/{self.first_file}" if joins_a_cluster() and self._local else None

    @property
    def _local(self) -> bool:
        return self.out is not None and get_protocol(self.out) in ("file", "local")

    @property
    def _path(self) -> str:
        return (self.out or "").split("://")[-1].rstrip("/")


@dataclass(frozen=True)
class Resources:
    """What a cluster has for workers. Each worker has one or several GPUs, a share of one, or one CPU core."""

    gpus: float
    """GPUs per worker; 0 for a CPU core."""
    autoscaling: bool
    start_timeout: float
    witness: str | None
    num_workers: int | None
    """The largest number of workers; None for as many as there can be."""
    beside_gpus: bool = False
    """Whether workers get CPU cores of machines that are there for their GPUs, and are no reason for more machines."""

    @property
    def device(self) -> str:
        """The device of the workers: "cuda" or "cpu"."""
        return "cuda" if self.gpus else "cpu"

    @property
    def actor_options(self) -> dict[str, Any]:
        """Ray's options for one worker."""
        return {"num_gpus": self.gpus, "num_cpus": 0} if self.gpus else {"num_cpus": 1}

    def on_cpus(self, nodes: Iterable[dict[str, float]]) -> "Resources":
        """Return the resources for workers that need no GPU: a CPU core each, if the nodes have any."""
        cores = replace(self, gpus=0.0, beside_gpus=True)
        return cores if self.gpus and (self.autoscaling or cores.slots(nodes)) else self

    def slots(self, nodes: Iterable[dict[str, float]]) -> int:
        """Return how many workers fit on nodes that have these resources, each as name → amount."""
        return sum(map(self._fit, nodes))

    def _fit(self, node: dict[str, float]) -> int:
        if not self.gpus:
            return int(node.get("CPU", 0))
        gpus = int(node.get("GPU", 0))
        return gpus * int(1 / self.gpus) if self.gpus < 1 else gpus // int(self.gpus)


def choose(request: Request, nodes: list[dict[str, float]], autoscaling: bool) -> Resources:
    """Return the resources for the workers of a job.

    An autoscaling cluster may at first be only a head node without cores; it is then assumed to add GPUs.

    Raises:
        UserError: no worker fits, and the cluster cannot grow.

    """
    gpus, cpus = (sum(node.get(name, 0) for node in nodes) for name in ("GPU", "CPU"))
    default = 1.0 if gpus or (autoscaling and not cpus) else 0.0
    resources = Resources(
        request.gpus_per_worker or default, autoscaling, request.start_timeout, request.witness, request.num_workers
    )
    if not autoscaling and not resources.slots(nodes):
        asked = f"--gpus-per-worker {resources.gpus:g}" if resources.gpus else "a worker takes a CPU core"
        counted = f"{len(nodes)} node{'s' * (len(nodes) != 1)}"
        raise UserError(
            f"{asked}: the cluster has {gpus:g} GPUs and {cpus:g} CPU cores on {counted}, too few for one worker"
        )
    return resources
