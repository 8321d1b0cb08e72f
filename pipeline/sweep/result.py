"""result.json: whether an output's run is running, finished, failed or stopped, and what it has cost so far."""

import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pipeline.storage.store import DamagedFileError, Storage, StorageError
from pipeline.sweep.layout import RESULT

RUNNING, FINISHED, FAILED, STOPPED = "running", "finished", "failed", "stopped"


class Result:
    """The result of one run, written to its output."""

    def __init__(self, storage: Storage, hurried: Storage) -> None:
        """Take two storages of the output: `storage` retries, for start and end; `hurried` does not, for in between."""
        self.storage, self.hurried = storage, hurried
        self.content: dict[str, Any] = {}

    @contextlib.contextmanager
    def recorded(self, num_settings: int, num_images: int) -> Iterator[None]:
        """Write "running" at the start and the outcome at the end; then print the summary as the last line.

        Args:
            num_settings: number of settings in the grid.
            num_images: number of images in the grid, all settings together.

        """
        # The costs of earlier runs on this output stay in the sum.
        spent: dict[str, Any] = {}
        with contextlib.suppress(DamagedFileError):
            spent = self.storage.read_json(RESULT)
        self.content = {
            "state": RUNNING,
            "started": now(),
            "settings": num_settings,
            "images": num_images,
            "images_drawn": 0,
            "failures": {},
            "gpu_hours": spent.get("gpu_hours", 0.0),
            "cpu_hours": spent.get("cpu_hours", 0.0),
            "stages": {},
        }
        try:
            self.write()
            yield
        except BaseException as error:
            stopped = _is_interrupt(error)
            if not stopped:
                whole = {"the run": f"{type(error).__name__}: {error}"}
                self.content["failures"] = getattr(error, "failures", whole)
            # If the store is what failed, it was already retried, so nothing more is written.
            if not isinstance(error, StorageError):
                with contextlib.suppress(StorageError, OSError):  # the first error says more
                    self._end(STOPPED if stopped else FAILED)
            raise
        self._end(FINISHED)

    def plan(self, num_settings: int, num_images: int) -> None:
        """Record how much is planned, where that is known bit by bit."""
        self.content |= {"settings": num_settings, "images": num_images}

    def note(self, work: str, states: dict[str, dict[str, int]]) -> None:
        """Record what a work has done: setting → counts, see `Monitor.summary`; of other settings they stay."""
        self.content["stages"].setdefault(work, {}).update(states)
        self.content["images_drawn"] = sum(s["done"] for s in self.content["stages"].get("drawing", {}).values())

    def spend(self, worker_seconds: float, gpus: float) -> None:
        """Record what workers have cost since the last call.

        Args:
            worker_seconds: seconds of all workers of a pool together.
            gpus: GPUs per worker; 0 for a CPU core.

        """
        self.content["gpu_hours" if gpus else "cpu_hours"] += worker_seconds * (gpus or 1) / 3600

    def write(self) -> None:
        """Write the result as it is now."""
        self.content["updated"] = now()
        self.storage.write_json(RESULT, self.content)

    def publish(self) -> None:
        """Write the result as it is now, without retrying; the work itself will report a lost store."""
        self.content["updated"] = now()
        with contextlib.suppress(StorageError, OSError):
            self.hurried.write_json(RESULT, self.content)

    def _end(self, state: str) -> None:
        self.content["state"] = state
        try:
            self.write()
        except KeyboardInterrupt:
            self.write()  # else it would say "running"; a second interrupt comes later, see pipeline/cli.py
            raise
        print(f"{state}: {summary(self.content)}", file=sys.stderr, flush=True)


def _is_interrupt(error: BaseException | None) -> bool:
    """Return whether an error is an interrupt, or came of ending after one, as by a terminal that is closed."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or _is_interrupt(error.__context__))


def summary(content: dict[str, Any]) -> str:
    """Return a result in one line."""
    hours = f"{content['gpu_hours']:.2f} GPU hours"
    if content["cpu_hours"]:
        hours += f", {content['cpu_hours']:.2f} CPU core hours"
    return (
        f"{content['settings']} settings, {content['images']:,} images ({content['images_drawn']:,} drawn now), "
        f"{len(content['failures'])} failures, {hours}"
    )


def now() -> str:
    """Return the present time in UTC as ISO 8601 text."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def seconds_of(text: str) -> float:
    """Return a time that `now` wrote in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()
