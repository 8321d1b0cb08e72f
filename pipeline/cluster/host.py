"""The object in a worker process that makes the workers of one work after another. It does not use Ray."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pipeline.cluster.task import Worker


class Host:
    """Makes one worker for each work and keeps it, so that a network stays loaded from work to work."""

    def __init__(self) -> None:
        self.made: dict[str, tuple[Any, Worker[Any, Any]]] = {}

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
            self.made[name] = arguments, make(device, arguments)
        return device

    def do(self, name: str, item: Any) -> Any:
        """Do one task of a work."""
        return self.made[name][1].do(item)
