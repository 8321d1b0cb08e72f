"""What an operator sees of a work while it runs: total progress, the state of each setting, metrics."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.cluster.dispatch import Watcher
from pipeline.cluster.progress import Progress
from pipeline.cluster.task import Task

SECONDS_BETWEEN_STATES = 60.0

METRICS = {
    "ddim_images_total": ("counter", "Images of shards that are done."),
    "ddim_shard_seconds": ("histogram", "From giving a shard to a worker to its end."),
    "ddim_shard_failures_total": ("counter", "Attempts at shards that failed."),
    "ddim_shards_in_flight": ("gauge", "Shards that workers have."),
    "ddim_images_left": ("gauge", "Images still to do."),
}
"""Name → kind and description. The tags are work (`stage`) and setting; Prometheus puts `ray_` before the name."""

MakeMetric = Callable[[str, str, str], Callable[[float, dict[str, str]], None]]


@dataclass
class State:
    """The progress of a setting in a work."""

    images: int = 0
    """Images to do when the work began."""
    done: int = 0
    """Images done."""
    in_flight: int = 0
    """Shards that workers have."""
    failed: int = 0
    """Shards whose attempts have all failed."""
    since: float | None = None
    """The monotonic time at which a worker got its first shard; None before."""
    moved: bool = False
    """Whether anything has changed since the last line."""

    def text(self, now: float) -> str:
        """Return the state as a line; `now` is the monotonic time."""
        seconds = now - self.since if self.since is not None else 0.0
        rate = self.done / seconds if seconds else 0.0
        left = f"{(self.images - self.done) / rate:,.0f} s left" if rate else "…"
        return (
            f"{self.done:,} of {self.images:,} images, {self.in_flight} shards in flight, {self.failed} failed, "
            f"{rate:,.1f} images/s, {left}"
        )


class Patience(Watcher):
    """Prints a line for every minute without any worker."""

    def __init__(self, work: str) -> None:
        self.work, self.minutes = work, 0

    def tick(self, without_worker: float) -> None:
        """Print a line if one is due."""
        if int(without_worker / 60) > self.minutes:
            text = f"{self.work}: no worker for {without_worker:,.0f} s, waiting for the cluster"
            print(text, file=sys.stderr, flush=True)
        self.minutes = int(without_worker / 60)


class Monitor(Patience):
    """Follows the tasks of a work and reports to standard error, Prometheus and `publish`."""

    def __init__(
        self,
        work: str,
        tasks: Sequence[Task[Any]],
        make_metric: MakeMetric,
        publish: Callable[[], None],
        on_done: Callable[[Any, Any], None],
    ) -> None:
        """Count the images to do.

        Args:
            work: the name of the work.
            tasks: all count in the total, and those with a group also in the group's state.
            make_metric: makes a metric of kind, name and description.
            publish: called about once a minute.
            on_done: called with (item, result).

        """
        super().__init__(work)
        self.publish, self.on_done = publish, on_done
        self.states: dict[str, State] = {}
        images = cost = 0
        for task in tasks:
            images, cost = images + task.images, cost + task.cost
            if task.group is not None:
                self.states.setdefault(task.group, State()).images += task.images
        self.metrics = {name: make_metric(kind, name, text) for name, (kind, text) in METRICS.items()}
        for group in self.states:
            self._show(group)
        self.progress = Progress(work, images, cost)
        self.last_states = time.monotonic()

    def started(self, task: Task[Any]) -> None:
        """Count a task as in flight."""
        if task.group is not None:
            state = self.states[task.group]
            state.in_flight += 1
            state.since = state.since or time.monotonic()
            self._show(task.group)

    def done(self, task: Task[Any], result: Any, seconds: float) -> None:
        """Count a task as done."""
        if task.group is not None:
            state = self.states[task.group]
            state.in_flight -= 1
            state.done += task.images
            self._feed("ddim_images_total", task.images, task.group)
            self._feed("ddim_shard_seconds", seconds, task.group)
            self._show(task.group)
        self.progress.add(task.images, task.cost)
        self.on_done(task.item, result)

    def failed(self, task: Task[Any], error: str, final: bool) -> None:
        """Count a failed attempt."""
        if task.group is not None:
            state = self.states[task.group]
            state.in_flight -= 1
            state.failed += final
            self._feed("ddim_shard_failures_total", 1, task.group)
            self._show(task.group)

    def tick(self, without_worker: float) -> None:
        """Print the lines that are due, and publish about once a minute."""
        super().tick(without_worker)
        self.progress.tick()
        if time.monotonic() - self.last_states >= SECONDS_BETWEEN_STATES:
            self.last_states = time.monotonic()
            self._say_states()
            self.publish()

    @property
    def finished(self) -> bool:
        """Whether all tasks are done."""
        return self.progress.spent >= self.progress.cost

    def summary(self) -> dict[str, dict[str, int]]:
        """Return setting → numbers of images to do and done, and of shards in flight and failed."""
        return {
            slug: {"images": state.images, "done": state.done, "in_flight": state.in_flight, "failed": state.failed}
            for slug, state in self.states.items()
        }

    def _say_states(self) -> None:
        for slug, state in self.states.items():
            if state.moved and not self.progress.on_terminal:
                print(f"  {slug}: {state.text(self.last_states)}", file=sys.stderr, flush=True)
            state.moved = False

    def _show(self, group: str) -> None:
        state = self.states[group]
        state.moved = state.since is not None
        self._feed("ddim_shards_in_flight", state.in_flight, group)
        self._feed("ddim_images_left", state.images - state.done, group)

    def _feed(self, name: str, value: float, group: str) -> None:
        self.metrics[name](value, {"stage": self.work, "setting": group})
