"""A night: the baseline's grid is drawn again, compared with the baseline, judged, and the answer written."""

import contextlib
import sys
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline import RunFailedError, UserError
from pipeline.cluster.executor import cluster
from pipeline.cluster.resources import Request
from pipeline.regression import history, summary, trend
from pipeline.regression.baseline import (
    EMBEDDED,
    MAY_DIFFER,
    Baseline,
    open_baseline,
    refuse_another,
    versions,
    write_baseline,
)
from pipeline.regression.comparison import Comparison
from pipeline.regression.gate import Limits, check_extractor, judge
from pipeline.storage.local import local_path
from pipeline.storage.store import Storage, StorageError
from pipeline.sweep.config import make_config
from pipeline.sweep.layout import SWEEP
from pipeline.sweep.output import open_folder
from pipeline.sweep.run import Run, open_run, saved_run
from pipeline.work.claim import claim
from pipeline.work.compare import Compare
from pipeline.work.flow import flow
from pipeline.work.perform import perform


@dataclass(frozen=True)
class Night:
    """A night that is ready to be held: its baseline and its run."""

    home: Storage
    """The folder of all nights."""
    name: str
    baseline: Baseline
    run: Run
    date: datetime
    since: float = field(default_factory=time.monotonic)
    """The monotonic time of its start."""


def open_night(out: str, baseline: str, config: str | None, model: str | None, options: dict[str, Any] | None) -> Night:
    """Return tonight's night, in a new folder, so that no pixels of other code are reused.

    Args:
        out: folder or URL of all nights.
        baseline: URL, or the embedded one's name.
        config: path or URL of a sweep.json, in place of the baseline's config.
        model: another model than the baseline's.
        options: fsspec's options for nights and baseline.

    Raises:
        UserError: the run or the baseline cannot be opened, or `out` is a sweep's output.

    """
    opened = open_baseline(baseline, options)
    home, names = open_folder("--out", out, options)
    if SWEEP in names:
        raise UserError(f"--out {out} is a sweep's output: give the nights a folder of their own")
    date = datetime.now(UTC)
    name = f"{date:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:4]}"
    changed = {"out": f"{home.url}/runs/{name}"} | ({} if model is None else {"model": model})
    if config is None:
        wanted = opened.config.model_copy(update=changed)
    else:
        wanted = make_config(None, local_path("--config", config), changed)
    wanted = wanted.model_copy(update={"extractor": wanted.extractor[:1]})  # by which the baseline is measured
    known = opened.identity["reference"] if wanted.reference == opened.config.reference else None
    # not capped: batches have the baseline's size for any number of images
    return Night(home, name, opened, open_run(wanted, options, cap_batch=False, known_reference=known), date)


def hold(night: Night, limits: Limits, request: Request) -> tuple[summary.Night, str]:
    """Draw, compare, judge and write the pages; return the answer and a line with the paths of its pages.

    Raises:
        UserError: run and baseline do not fit, or the extractor or the reference has changed under the same name.
        RunFailedError: the run is not complete, or the pages cannot be written, so there is no answer.

    """
    run, home, name = night.run, night.home, night.name
    refuse_another(night.baseline, run.settings, run.measurement.identity)
    for note in run.notes:
        print(note, file=sys.stderr)
    try:
        comparisons = _draw_and_compare(night, request)
    except RunFailedError as error:
        if not isinstance(error, StorageError):  # a failed store was already retried
            with contextlib.suppress(OSError, StorageError):
                home.write("summary.md", summary.incomplete_markdown(name, str(error)).encode())
                home.write("junit.xml", summary.incomplete_junit([s.slug for s in run.settings], str(error)))
        raise RunFailedError(f"{error}\nthe run is not complete, so there is no answer") from error
    check_extractor(comparisons, night.baseline.storage.url)
    verdicts = judge(comparisons, limits)
    seconds = time.monotonic() - night.since
    against = f"{night.baseline.storage.url} of {night.baseline.written}"
    answer = summary.Night(name, against, changes(night.baseline, run, comparisons), verdicts, seconds, run.notes)
    print(summary.to_markdown(answer), flush=True)
    rows = history.rows(verdicts, name, night.date, versions()["torch"], run.identity["model"])
    try:
        history.append(home, name, rows)
        home.write("summary.md", summary.to_markdown(answer).encode())
        home.write("junit.xml", summary.to_junit(answer))
        home.write("trend.html", trend.to_html(history.read(home), summary.headline(answer)).encode())
    except (OSError, StorageError) as error:
        raise RunFailedError(f"the pages in {home.url} cannot be written: {error}") from error
    return answer, f"Files: {home.url}/summary.md, junit.xml, trend.html, history/{name}.parquet, runs/{name}/"


def changes(baseline: Baseline, run: Run, comparisons: list[Comparison]) -> list[str]:
    """Return lines on what differs from when the baseline was written. If nothing does, pixels should be equal."""
    tonight = versions(run.settings)
    texts = [
        f"{name} {str(baseline.identity[name])[:12]} in the baseline, {str(run.identity[name])[:12]} tonight"
        for name in MAY_DIFFER
        if baseline.identity[name] != run.identity[name]
    ]
    texts += [
        f"{name} {written} in the baseline, {tonight.get(name)} tonight"
        for name, written in baseline.versions.items()
        if tonight.get(name) != written
    ]
    devices = [sorted({name for c in comparisons for name in c.speeds[side].devices}) for side in (0, 1)]
    if devices[0] != devices[1]:
        texts.append(f"device {' / '.join(devices[0])} in the baseline, {' / '.join(devices[1])} tonight")
    return texts


def update_baseline(url: str, out: str, options: dict[str, Any] | None) -> str:
    """Write a baseline from a finished run; return a line that says what was written.

    Raises:
        UserError: `out` is not the output of one run, or the baseline cannot be written to `url`.
        RunFailedError: the run is not finished.

    """
    if url == EMBEDDED:
        raise UserError("--update-baseline needs --baseline: a folder or URL to write to")
    _, nights = open_folder("--out", f"{out}/runs", options)
    if nights:
        raise UserError(
            f"--update-baseline: --out {out} holds nights: give one of them, such as {out}/runs/{nights[-1]}"
        )
    run = saved_run(out, options)
    storage, names = open_folder("--baseline", url, options)
    if SWEEP in names:
        raise UserError(f"--baseline {url} is a sweep's output: give the baseline a folder of its own")
    rows = run.metrics()
    if unmeasured := [setting.slug for setting in run.settings if setting not in rows]:
        raise RunFailedError(f"{out} is not finished, {unmeasured[0]} is not measured: finish the sweep first")
    try:
        size = write_baseline(storage, run)
    except OSError as error:
        raise UserError(f"--baseline {url} cannot be written: {error}") from error
    return f"{len(rows)} settings × {run.config.num_images:,} images, {size:,} bytes in {url}"


def _draw_and_compare(night: Night, request: Request) -> list[Comparison]:
    """Draw and measure tonight's run and return its comparisons, in the order of the grid."""
    run = night.run
    compared: dict[Any, Comparison] = {}
    with cluster(request) as joined:
        claim(run, joined)
        flow(run, joined)
        perform(Compare(run, night.baseline), joined, on_done=compared.__setitem__)
    return [compared[setting] for setting in run.settings]
