"""What an operator sees of a stage while it runs: progress in all, each setting's state, metrics."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.cluster.dispatch import Watcher
from pipeline.cluster.progress import Progress
from pipeline.sweep.shards import Shard

SECONDS_BETWEEN_STATES = 60.0

METRICS = {
    "ddim_images_total": ("counter", "Images of shards that are done."),
    "ddim_shard_seconds": ("histogram", "From giving a shard to a worker to its end."),
    "ddim_shard_failures_total": ("counter", "Attempts at shards that failed."),
    "ddim_shards_in_flight": ("gauge", "Shards that workers have."),
    "ddim_images_left": ("gauge", "Images still to do."),
}
"""Name → kind and description, each by stage and setting; Prometheus finds them with `ray_` before the name."""

MakeMetric = Callable[[str, str, str], Callable[[float, dict[str, str]], None]]


@dataclass
class State:
    """How far a setting is in a stage."""

    images: int = 0
    """To do, when the stage began."""
    done: int = 0
    """Images."""
    in_flight: int = 0
    """Shards."""
    failed: int = 0
    """Shards that failed for good."""
    since: float | None = None
    """When its first shard was given out."""
    moved: bool = False
    """Since the last line."""

    def text(self, now: float) -> str:
        """Return it as a line."""
        seconds = now - self.since if self.since is not None else 0.0
        rate = self.done / seconds if seconds else 0.0
        left = f"{(self.images - self.done) / rate:,.0f} s left" if rate else "…"
        return (
            f"{self.done:,} of {self.images:,} images, {self.in_flight} shards in flight, {self.failed} failed, "
            f"{rate:,.1f} images/s, {left}"
        )


class Patience(Watcher):
    """Says every minute that no worker comes."""

    def __init__(self, stage: str) -> None:
        self.stage, self.minutes = stage, 0

    def tick(self, without_worker: float) -> None:
        """Say so if it is time."""
        if int(without_worker / 60) > self.minutes:
            text = f"{self.stage}: no worker for {without_worker:,.0f} s, waiting for the cluster"
            print(text, file=sys.stderr, flush=True)
        self.minutes = int(without_worker / 60)


class Monitor(Patience):
    """Follows the tasks of a stage and tells standard error, Prometheus and `publish`."""

    def __init__(
        self,
        stage: str,
        tasks: Sequence[Any],
        images: Callable[[Any], int],
        cost: Callable[[Any], int],
        make_metric: MakeMetric,
        publish: Callable[[], None],
        on_done: Callable[[Any, Any], None],
    ) -> None:
        """Count what there is to do.

        Args:
            stage: its name.
            tasks: shards have a setting each; other tasks count in the whole alone.
            images: of a task.
            cost: of a task.
            make_metric: from kind, name and description.
            publish: called about once a minute.
            on_done: called with (task, result).

        """
        super().__init__(stage)
        self.images, self.cost = images, cost
        self.publish, self.on_done = publish, on_done
        self.states: dict[str, State] = {}
        for task in tasks:
            if isinstance(task, Shard):
                self.states.setdefault(task.setting.slug, State()).images += task.rows
        self.metrics = {name: make_metric(kind, name, text) for name, (kind, text) in METRICS.items()}
        for slug in self.states:
            self._show(slug)
        self.progress = Progress(stage, sum(map(images, tasks)), sum(map(cost, tasks)))
        self.last_states = time.monotonic()

    def started(self, task: Any) -> None:
        """Count a shard as in flight."""
        if isinstance(task, Shard):
            state = self.states[task.setting.slug]
            state.in_flight += 1
            state.since = state.since or time.monotonic()
            self._show(task.setting.slug)

    def done(self, task: Any, result: Any, seconds: float) -> None:
        """Count a task as done."""
        if isinstance(task, Shard):
            state = self.states[task.setting.slug]
            state.in_flight -= 1
            state.done += task.rows
            self._feed("ddim_images_total", task.rows, task.setting.slug)
            self._feed("ddim_shard_seconds", seconds, task.setting.slug)
            self._show(task.setting.slug)
        self.progress.add(self.images(task), self.cost(task))
        self.on_done(task, result)

    def failed(self, task: Any, error: str, final: bool) -> None:
        """Count a failed attempt."""
        if isinstance(task, Shard):
            state = self.states[task.setting.slug]
            state.in_flight -= 1
            state.failed += final
            self._feed("ddim_shard_failures_total", 1, task.setting.slug)
            self._show(task.setting.slug)

    def tick(self, without_worker: float) -> None:
        """Say something if it is time."""
        super().tick(without_worker)
        self.progress.tick()
        if time.monotonic() - self.last_states >= SECONDS_BETWEEN_STATES:
            self.last_states = time.monotonic()
            self._say_states()
            self.publish()

    def summary(self) -> dict[str, dict[str, int]]:
        """Return setting → counts: of images to do and done, of shards in flight and failed."""
        return {
            slug: {"images": state.images, "done": state.done, "in_flight": state.in_flight, "failed": state.failed}
            for slug, state in self.states.items()
        }

    def _say_states(self) -> None:
        for slug, state in self.states.items():
            if state.moved and not self.progress.on_terminal:
                print(f"  {slug}: {state.text(self.last_states)}", file=sys.stderr, flush=True)
            state.moved = False

    def _show(self, slug: str) -> None:
        state = self.states[slug]
        state.moved = state.since is not None
        self._feed("ddim_shards_in_flight", state.in_flight, slug)
        self._feed("ddim_images_left", state.images - state.done, slug)

    def _feed(self, name: str, value: float, slug: str) -> None:
        self.metrics[name](value, {"stage": self.stage, "setting": slug})
