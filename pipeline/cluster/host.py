"""The process of a worker, wherever it is put: it makes the workers of one work after the other. Knows no Ray."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pipeline.cluster.task import Worker


class Host:
    """Makes one worker for each work that it is given, and keeps it: a network stays loaded from work to work."""

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
        """Make the worker of a work and return its device: the CPU where there is to be a GPU and torch sees none.

        Raises:
            FileNotFoundError: the file that every node must see is not there: `witness`.

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
