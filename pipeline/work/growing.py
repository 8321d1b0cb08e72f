"""The page of a sweep that runs: written again each minute with what there is."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from pipeline.images.pixels import Pixels
from pipeline.reporting.report import write_page
from pipeline.storage.store import StorageError
from pipeline.sweep.run import Run
from pipeline.work.perform import IncompleteError


@contextlib.contextmanager
def growing_page(run: Run, seen: dict[str, Pixels]) -> Iterator[Callable[[], None]]:
    """Yield a function that begins to write the page with what is there; at the end no page is being written any more.

    Each of the measurements that are done together has its page.

    It is written in a thread of its own, since a slow store must not keep workers waiting for tasks; while one is being
    written, no other is begun. If tasks fail for good, the last page has what all others gave.

    Args:
        run: the run.
        seen: slug of a setting → its first images; those that are read are added.

    """
    # a page that waits for a lost store would keep the run from ending
    runs = [replace(one, patience=0.0) for one in run.measured_together]
    writing: Future[None] = Future()
    writing.set_result(None)

    def write() -> None:
        with contextlib.suppress(StorageError, OSError):  # the work itself will report a lost store
            for one in runs:
                write_page([one], seen=seen)

    def begin() -> None:
        nonlocal writing
        if writing.done():
            writing = thread.submit(write)

    with ThreadPoolExecutor(1) as thread:
        try:
            yield begin
        except IncompleteError:
            thread.submit(write)
            raise
