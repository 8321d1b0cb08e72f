"""Ray actors as a pool for `dispatch.run`. The only file under pipeline/ that imports ray."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayTaskError

from pipeline.dispatch import Event, Failure, run
from pipeline.storage import StorageError


@dataclass(frozen=True)
class Resources:
    """What the cluster has for workers: one a GPU, or one a CPU core where there is no GPU."""

    slots: int
    device: str

    @property
    def actor_options(self) -> dict[str, Any]:
        """Return Ray's options for one worker."""
        return {"num_gpus": 1, "num_cpus": 0} if self.device == "cuda" else {"num_cpus": 1}


@contextlib.contextmanager
def cluster() -> Iterator[Resources]:
    """Join the cluster that RAY_ADDRESS names (a submitted job has it set), or start one in this process."""
    if "RAY_ADDRESS" in os.environ:
        ray.init(logging_level=logging.ERROR, log_to_driver=False)
    else:
        # "local": a bare init would follow the stale address file of a crashed cluster.
        ray.init(address="local", include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    try:
        total = ray.cluster_resources()
        if gpus := int(total.get("GPU", 0)):
            yield Resources(gpus, "cuda")
        else:
            yield Resources(int(total.get("CPU", 0)), "cpu")
    finally:
        ray.shutdown()


class ActorPool:
    """Actors of one plain class; each task is one call of one of its methods."""

    def __init__(self, worker_class: type, args: dict[str, Any], resources: Resources, size: int | None) -> None:
        """Describe the actors; none is started yet.

        Args:
            worker_class: takes `device` and `args`.
            args: keyword arguments of its constructor.
            resources: of the cluster.
            size: workers at most; None for as many as fit the cluster.

        """
        self.size = size or resources.slots
        self._class: Any = ray.remote(worker_class).options(max_restarts=0, **resources.actor_options)  # type: ignore[attr-defined]
        self._args = {"device": resources.device, **args}
        self._method = ""
        self._workers: list[ActorHandle[Any]] = []
        self._pending: dict[ray.ObjectRef[Any], tuple[ActorHandle[Any], bool]] = {}
        self._spare: list[ActorHandle[Any]] = []

    def run(
        self,
        method: str,
        tasks: Sequence[Any],
        cost: Callable[[Any], float],
        on_done: Callable[[Any, Any], None],
        on_wait: Callable[[], None] = lambda: None,
    ) -> list[Failure]:
        """Call `method` once for each task; see `dispatch.run`. Actors stay for the next run."""
        self._method = method
        self._spare = [*self._workers]
        return run(self, tasks, cost, on_done, on_wait)

    def start(self) -> None:
        """Reuse an actor of the run before, or ask Ray for one. A pending actor is the autoscaler's signal."""
        if self._spare:
            worker = self._spare.pop()
        else:
            worker = self._class.remote(**self._args)
            self._workers.append(worker)
        self._pending[worker.__ray_ready__.remote()] = (worker, True)

    def submit(self, worker: Any, task: Any) -> None:
        """Call the method."""
        self._pending[getattr(worker, self._method).remote(task)] = (worker, False)

    def discard(self, worker: Any) -> None:
        """Kill an actor that is dead or out of reach."""
        ray.kill(worker)
        self._workers.remove(worker)

    def wait(self, timeout: float) -> list[Event]:
        """Return the events of the calls that have ended."""
        if not self._pending:
            time.sleep(timeout)
            return []
        ended, _ = ray.wait([*self._pending], num_returns=1, timeout=timeout)
        return [self._event(ref, *self._pending.pop(ref)) for ref in ended]

    def now(self) -> float:
        """Return the monotonic time."""
        return time.monotonic()

    def close(self) -> None:
        """Kill all actors."""
        for worker in self._workers:
            ray.kill(worker)
        self._workers.clear()

    def _event(self, ref: Any, worker: Any, starting: bool) -> Event:
        try:
            return Event(worker, "ready" if starting else "done", ray.get(ref))
        except RayTaskError as error:
            if isinstance(error.cause, StorageError):
                raise error.cause from None  # no other task can succeed either
            return Event(worker, "failed", f"{type(error.cause).__name__}: {error.cause}")
        except RayActorError as error:
            return Event(worker, "died", _cause(error))


def _cause(error: RayActorError) -> str:
    """Return the last line that says something: the exception of a constructor, or Ray's own reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if "creation task" in str(error) else lines[0]
