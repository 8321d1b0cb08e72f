"""The object in a worker process that makes the workers of one work after another. It does not use Ray."""

import gc
import socket
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Semaphore
from typing import Any

import torch

from pipeline.cluster.task import Rest, Worker


class Host:
    """Makes one worker for each work and keeps it, so that a network stays loaded from work to work."""

    def __init__(self) -> None:
        self.made: dict[str, tuple[Any, Worker[Any, Any]]] = {}
        self.rests: SimpleQueue[Rest[Any]] = SimpleQueue()
        self.room = Semaphore(1)  # for one rest: more would fill the memory where a store is slow

    def prepare(
        self,
        name: str,
        make: Callable[[str, Any], Worker[Any, Any]],
        arguments: Any,
        device: str,
        witness: str | None,
    ) -> str:
        """Make the worker of a work and return its device, which is "cpu" if torch sees no GPU.

        Raises:
            FileNotFoundError: this node does not see `witness`, a file that every node must see.

        """
        if witness is not None and not Path(witness).exists():
            raise FileNotFoundError(f"{socket.gethostname()} does not see {witness}: --out must be on a shared disk")
        if not torch.cuda.is_available():
            device = "cpu"
        if name not in self.made or self.made[name][0] != arguments:
            gc.disable()  # a sixth of the time of imports, in which nothing is garbage
            try:
                self.made[name] = arguments, make(device, arguments)
            finally:
                gc.enable()
        return device

    def do(self, name: str, item: Any) -> tuple[bool, Any]:
        """Do one task of a work; return (True, its result), or (False, None) if `end` is to be called for it."""
        outcome = self.made[name][1].do(item)
        if not isinstance(outcome, Rest):
            return True, outcome
        self.room.acquire()
        self.rests.put(outcome)
        return False, None

    def end(self) -> Any:
        """End the first task of which there is a rest, and return its result. Called by another thread than `do`."""
        try:
            return self.rests.get().end()
        finally:
            self.room.release()
