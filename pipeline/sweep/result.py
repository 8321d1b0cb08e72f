"""result.json: whether a sweep is running, finished, failed or stopped, and what it has cost so far."""

import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pipeline.storage.store import DamagedFileError, Storage, StorageError
from pipeline.sweep.layout import RESULT

RUNNING, FINISHED, FAILED, STOPPED = "running", "finished", "failed", "stopped"


class Result:
    """The result of one run of a sweep, written to its output."""

    def __init__(self, storage: Storage, hurried: Storage) -> None:
        """Take the output twice: patient for the start and the end, and without patience for what is between."""
        self.storage, self.hurried = storage, hurried
        self.content: dict[str, Any] = {}

    @contextlib.contextmanager
    def recorded(self, num_settings: int, num_images: int) -> Iterator[None]:
        """Write "running" now, and at the end how it ended; then print the summary as the last line.

        Args:
            num_settings: of the grid.
            num_images: of the grid, all settings together.

        """
        # What earlier runs on this output have cost stays in the sum.
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
        self.write()
        try:
            yield
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt):
                whole = {"the sweep": f"{type(error).__name__}: {error}"}
                self.content["failures"] = getattr(error, "failures", whole)
            # Where the store is what failed, its patience is spent: it is not asked to take this too.
            if not isinstance(error, StorageError):
                with contextlib.suppress(StorageError, OSError):  # the error in hand says more
                    self._end(STOPPED if isinstance(error, KeyboardInterrupt) else FAILED)
            raise
        self._end(FINISHED)

    def note(self, work: str, states: dict[str, dict[str, int]], worker_seconds: float, gpus: float) -> None:
        """Note what a work has done and cost.

        Args:
            work: its name.
            states: setting → counts.
            worker_seconds: for which workers were there since the last note, all together.
            gpus: GPUs a worker, 0 for a CPU core.

        """
        self.content["stages"][work] = states
        self.content["images_drawn"] = sum(s["done"] for s in self.content["stages"].get("drawing", {}).values())
        self.content["gpu_hours" if gpus else "cpu_hours"] += worker_seconds * (gpus or 1) / 3600

    def write(self) -> None:
        """Write it as it is now."""
        self.content["updated"] = now()
        self.storage.write_json(RESULT, self.content)

    def publish(self) -> None:
        """Write it as it is now, without trying again: the work itself will report a store that is gone."""
        self.content["updated"] = now()
        with contextlib.suppress(StorageError, OSError):
            self.hurried.write_json(RESULT, self.content)

    def _end(self, state: str) -> None:
        self.content["state"] = state
        self.write()
        print(f"{state}: {summary(self.content)}", file=sys.stderr, flush=True)


def summary(content: dict[str, Any]) -> str:
    """Return what a result says in one line."""
    hours = f"{content['gpu_hours']:.2f} GPU hours"
    if content["cpu_hours"]:
        hours += f", {content['cpu_hours']:.2f} CPU core hours"
    return (
        f"{content['settings']} settings, {content['images']:,} images ({content['images_drawn']:,} drawn now), "
        f"{len(content['failures'])} failures, {hours}"
    )


def now() -> str:
    """Return the time as text, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def seconds_of(text: str) -> float:
    """Return a time from `now` in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()
