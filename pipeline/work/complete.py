"""Complete an output, whatever its kind: what is missing is done, then its report is written and its tables printed."""

import sys
from abc import ABC, abstractmethod
from typing import Any, Generic

from pipeline.cluster.executor import Cluster, cluster
from pipeline.cluster.resources import Request
from pipeline.sweep.output import AnOutput
from pipeline.work.claim import claim, publish_as_planned


class Conductor(ABC, Generic[AnOutput]):
    """What `complete` asks of a kind of output."""

    output: AnOutput

    @abstractmethod
    def planned(self) -> tuple[int, int]:
        """Return the number of settings, and of images in all of them."""

    @abstractmethod
    def finished(self) -> bool:
        """Return whether every file is there, reports excepted."""

    @abstractmethod
    def perform(self, joined: Cluster) -> None:
        """Do what is missing. Raises IncompleteError."""

    @abstractmethod
    def publishable(self, output: AnOutput) -> bool:
        """Return whether all that `publish` needs of an output exists."""

    @abstractmethod
    def publish(self, output: AnOutput) -> str:
        """Write numbers and report of this output, or of another plan of it; return the text for the terminal."""

    def settle(self, joined: Cluster) -> None:
        """Choose what the config leaves open, before the output is claimed."""
        return


def complete(conductor: Conductor[Any], request: Request) -> None:
    """Do what is missing from an output, write its report and print its tables. If nothing is, Ray is not started.

    Meanwhile result.json has the state of the run.

    Raises:
        UserError, PoolBrokenError: see `cluster` and `claim`.
        IncompleteError: all attempts at a task failed; all tasks that do not need it are done.

    """
    for note in conductor.output.notes:
        print(note, file=sys.stderr)
    if conductor.finished():
        claim(conductor.output)
        print("nothing to do: every file is there", file=sys.stderr)
        _record(conductor)
        return
    with cluster(request) as joined:
        conductor.settle(joined)
        claim(conductor.output, joined)
        _record(conductor, joined)


def _record(conductor: Conductor[Any], joined: Cluster | None = None) -> None:
    output = conductor.output
    with output.result.recorded(*conductor.planned()):
        if joined is not None:
            conductor.perform(joined)
        print(publish_as_planned(output, conductor.publish, conductor.publishable))
