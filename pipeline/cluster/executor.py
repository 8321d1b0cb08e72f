"""Ray actors as a pool of workers for `dispatch.run`. The only file under pipeline/ that imports ray."""

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import ray
from ray._private.gcs_utils import create_gcs_channel
from ray.actor import ActorHandle
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.exceptions import AuthenticationError, RayError, RayTaskError
from ray.util.metrics import Counter, Gauge, Histogram

from pipeline import UserError
from pipeline.cluster.address import cannot_start, check_address
from pipeline.cluster.dispatch import Event, Failure, Watcher, run
from pipeline.cluster.host import Host
from pipeline.cluster.resources import OF_OWN_RAY, Request, Resources, choose, joins_a_cluster
from pipeline.cluster.task import Arguments, Item, Task, Work
from pipeline.storage.store import StorageError

CHECKOUT = Path(__file__).parents[2]
AHEAD = 8
"""Workers requested beyond those that an autoscaling cluster has room for, so that it grows; or as many again."""


@contextlib.contextmanager
def cluster(request: Request = Request()) -> Iterator["Cluster"]:  # noqa: B008  frozen
    """Join the cluster that RAY_ADDRESS names (a submitted job has it set), or start one in this process.

    Raises:
        UserError: the cluster cannot be joined, or it lacks what is requested and cannot grow.

    """
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        _connect()
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray has replaced it
        autoscaling = joins_a_cluster() and is_autoscaler_v2(fetch_from_server=True)
        joined = Cluster(choose(request, _nodes(), autoscaling))
        yield joined
        joined.close()
    except SystemExit:  # Ray's own answer to SIGTERM, until its handler is replaced
        raise KeyboardInterrupt from None
    finally:
        ray.shutdown()


class Cluster:
    """A cluster that a job has joined or started, with a pool of workers on GPUs, if any are used, and one on CPUs."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self._pools: list[ActorPool] = []

    def pool(self, on_gpu: bool) -> "ActorPool":
        """Return the workers for a work. If no GPU is used, or there is nothing but GPUs, one pool does all works."""
        wanted = self.resources if on_gpu else self.resources.on_cpus(_nodes())
        pool = next((pool for pool in self._pools if pool.resources == wanted), None)
        if pool is None:
            pool = ActorPool(wanted)
            self._pools.append(pool)
        return pool

    def release(self, pool: "ActorPool") -> None:
        """End the workers of a pool: while idle they would hold their machines."""
        pool.close()
        self._pools.remove(pool)

    def close(self) -> None:
        """End all workers."""
        for pool in [*self._pools]:
            self.release(pool)


def _connect() -> None:
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if not joins_a_cluster():
        os.environ.update(OF_OWN_RAY | os.environ)  # for Ray's processes
        try:
            ray.init(address="local", include_dashboard=False, **quiet)  # bare, it takes a crashed cluster's address
        except OSError as error:  # its temporary folder is another user's, no folder, too long a path, full, …
            raise cannot_start(error) from error
        return
    check_address(address := os.environ["RAY_ADDRESS"])
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" not in os.environ and (CHECKOUT / "jobs").is_dir():
        # as `ray job submit --working-dir .` does, so that nodes need not install this project
        quiet["runtime_env"] = {"working_dir": str(CHECKOUT)}
    try:
        if address[-1].isdigit():
            _show_token(address)
        ray.init(**quiet)
    except (OSError, AuthenticationError, ValueError) as error:
        raise UserError.because(f"RAY_ADDRESS {address}: cannot join that cluster", error) from error
    except RuntimeError as error:
        if "ersion mismatch" not in str(error):
            raise
        text = f"RAY_ADDRESS {address}: use the cluster's versions, or `ray job submit`"
        raise UserError.because(text, error) from error


def _show_token(address: str) -> None:
    # With a wrong token Ray would retry for 20 seconds, log each attempt, and end without the reason.
    ask = create_gcs_channel(address).unary_unary("/ray.rpc.NodeInfoGcsService/CheckAlive")
    try:
        ask(b"", timeout=10)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            text = "it asks for its token: set RAY_AUTH_MODE=token, and have that token in ~/.ray/auth_token"
            raise PermissionError(text) from error


def _nodes() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def metric(kind: str, name: str, description: str) -> Callable[[float, dict[str, str]], None]:
    """Return a function of (value, tags) that feeds a metric of Ray. Prometheus puts `ray_` before its name.

    The kind is "counter", "gauge" or "histogram" (of seconds).
    """
    tags = ("stage", "setting")
    if kind == "counter":
        return Counter(name, description, tags).inc
    if kind == "gauge":
        return Gauge(name, description, tags).set
    return Histogram(name, description, [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000], tags).observe


class ActorPool:
    """Actors that host workers; each task is one call. The actors are kept from one work to the next."""

    def __init__(self, resources: Resources) -> None:
        """Describe the actors; none is started yet."""
        self.resources = resources
        self._limit = resources.num_workers
        options: Any = {"concurrency_groups": {"rests": 1}} | resources.actor_options
        self._actor: Any = ray.remote(**options)(Host)
        self._work: tuple[Any, ...] = ()
        self._workers: dict[ActorHandle[Any], float | None] = {}  # ready time counted up to; None before it is ready
        self._pending: dict[ray.ObjectRef[Any], tuple[ActorHandle[Any], str]] = {}
        self._spare: list[ActorHandle[Any]] = []
        self._slots, self._slots_at = 0, -1e9
        self._seconds = 0.0
        self._warned = False

    @property
    def size(self) -> int:
        """Workers that the limit allows and that fit on the nodes, or on those that an autoscaler is to add."""
        if self._limit is not None and self.resources.autoscaling and not self.resources.beside_gpus:
            return self._limit
        if self.now() - self._slots_at > 5:
            self._slots, self._slots_at = self.resources.slots(_nodes()), self.now()
        grows = self.resources.autoscaling and not (self.resources.beside_gpus and self._slots)
        ahead = max(AHEAD, self._slots) if grows else 0
        return min(self._limit or self._slots + ahead, self._slots + ahead)

    def run(
        self,
        work: Work[Arguments, Item, Any],
        tasks: Sequence[Task[Item]],
        watcher: Watcher,
        follow: Callable[[Any, Any], Sequence[Task[Item]]] = lambda task, result: (),
        first: bool = False,
    ) -> list[Failure]:
        """Do tasks of a work; see `dispatch.run`.

        If `first`, one worker is to write the output's first file, so nodes are not yet checked for seeing it.
        """
        self._limit = 1 if first else self.resources.num_workers
        witness = None if first else self.resources.witness
        self._work = (work.name, work.worker, ray.put(work.arguments), self.resources.device, witness)
        self._pending.clear()  # calls to actors that never became ready
        self._spare = sorted(self._workers, key=lambda worker: self._workers[worker] is not None)
        return run(self, tasks, watcher, start_timeout=self.resources.start_timeout, follow=follow)

    def start(self) -> None:
        """Take an actor of the work before, or request one from Ray. A pending actor makes the autoscaler add nodes."""
        worker = self._spare.pop() if self._spare else self._actor.remote()
        self._workers.setdefault(worker, None)
        self._pending[worker.prepare.remote(*self._work)] = (worker, "prepare")

    def submit(self, worker: Any, task: Task[Any]) -> None:
        """Give the task to a worker."""
        self._pending[worker.do.remote(self._work[0], task.item)] = (worker, "do")

    def discard(self, worker: Any) -> None:
        """Kill an actor, which may be dead or out of reach."""
        ray.kill(worker)
        self._pending = {ref: call for ref, call in self._pending.items() if call[0] is not worker}
        since = self._workers.pop(worker)
        self._seconds += self.now() - since if since is not None else 0

    def wait(self, timeout: float) -> list[Event]:
        """Return the event of a call that has ended, after waiting up to `timeout` seconds for one; or nothing."""
        if not self._pending:
            time.sleep(timeout)
            return []
        ended, _ = ray.wait([*self._pending], num_returns=1, timeout=timeout)
        return [self._event(ref, *self._pending.pop(ref)) for ref in ended]

    def now(self) -> float:
        """Return the monotonic time in seconds."""
        return time.monotonic()

    def take_seconds(self) -> float:
        """Return the seconds for which workers have been ready since the last call, all workers together."""
        now = self.now()
        for worker, since in self._workers.items():
            if since is not None:
                self._seconds += now - since
                self._workers[worker] = now
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def close(self) -> None:
        """Kill all actors."""
        for worker in [*self._workers]:
            self.discard(worker)

    def _event(self, ref: Any, worker: Any, call: str) -> Event:
        try:
            value = ray.get(ref)
        except RayTaskError as error:
            text = f"{type(error.cause).__name__}: {error.cause}"
            if call == "prepare":
                return Event(worker, "died", text)  # it lives, but cannot do this work
            if isinstance(error.cause, StorageError):
                raise error.cause from None  # no other task can succeed either
            return Event(worker, "failed" if call == "do" else "lost", text)
        except RayError as error:  # out of memory, a broken environment, a lost node, …
            return Event(worker, "died", next(line.strip() for line in str(error).splitlines() if line.strip()))
        if call == "do" and not value[0]:
            self._pending[worker.end.options(concurrency_group="rests").remote()] = (worker, "end")
            return Event(worker, "free")
        if call != "prepare":
            return Event(worker, "ended", value) if call == "end" else Event(worker, "done", value[1])
        if self._workers[worker] is None:
            self._workers[worker] = self.now()
            if value != self.resources.device and not self._warned:
                print("a worker was given a GPU, but torch sees none there: it draws on the CPU", file=sys.stderr)
                self._warned = True
        return Event(worker, "ready", value)
