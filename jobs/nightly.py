"""Say whether quality or speed got worse than a baseline, beyond noise: the check that a team runs every night.

    python jobs/nightly.py                                    # the embedded digits baseline, into runs/nightly
    python jobs/nightly.py --baseline s3://bucket/baseline --out s3://bucket/nightly
    python jobs/nightly.py --baseline s3://bucket/baseline --model path/to/new --out s3://bucket/nightly
    python jobs/nightly.py --update-baseline --baseline s3://bucket/baseline --out s3://bucket/nightly/runs/20260301T…

Draws the baseline's grid anew under OUT/runs/, pairs it with the baseline image by image, and writes OUT/summary.md,
OUT/junit.xml, OUT/trend.html and a file in OUT/history/. Prints progress on standard error and the summary on standard
output. Exit status: 0 clean, 1 regression, 2 bad input or unusable baseline, 3 no answer: the run is incomplete or
its pages cannot be written, 130 interrupted.
"""

import argparse
import contextlib
import sys
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from pipeline import RunFailedError, UserError
from pipeline.cli import FAILED, Parser, exit_with, storage_options
from pipeline.cluster.executor import ActorPool
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
from pipeline.regression.comparison import Comparer, Comparison
from pipeline.regression.gate import Limits, check_extractor, judge
from pipeline.storage.local import local_path
from pipeline.storage.store import Storage, StorageError
from pipeline.sweep.config import make_config
from pipeline.sweep.run import Run, open_folder, open_run, saved_run
from pipeline.work.complete import claimed, draw, evaluate
from pipeline.work.perform import stage

INCOMPLETE = 3


def parse_args() -> argparse.Namespace:
    """Return the command line."""
    parser = Parser(__doc__)
    parser.add_argument("--baseline", default=EMBEDDED, help="folder or URL, or digits, the embedded one (the default)")
    parser.add_argument("--out", default="runs/nightly", help="folder or URL of all nights (runs/nightly)")
    parser.add_argument("--update-baseline", action="store_true", help="write one from the finished run in --out")
    parser.add_argument("--config", metavar="FILE", help="a run's sweep.json, in place of the baseline's config")
    parser.add_argument("--model", help="another model than the baseline's")
    parser.add_argument("--tolerance", type=float, default=0.02, help="rise of FID, relative to the baseline's (0.02)")
    parser.add_argument("--speed-tolerance", type=float, default=0.3, help="loss of images a second, relative (0.3)")
    parser.add_num_workers()
    parser.add_storage_options()
    args = parser.parse_args()
    if not args.tolerance >= 0:
        raise UserError(f"--tolerance must be 0 or more, not {args.tolerance}")
    if not 0 <= args.speed_tolerance < 1:
        raise UserError(f"--speed-tolerance must be from 0 to below 1, not {args.speed_tolerance}")
    if args.update_baseline:
        for name in ("config", "model", "tolerance", "speed_tolerance", "num_workers"):
            if getattr(args, name) != parser.get_default(name):
                raise UserError(f"--{name.replace('_', '-')} means nothing with --update-baseline: leave it out")
    return args


def main() -> int:
    """Check, or write a baseline, and return the exit status."""
    args = parse_args()
    options = storage_options(args.storage_options)
    if args.update_baseline:
        return update_baseline(args.baseline, args.out, options)
    started = time.monotonic()
    date = datetime.now(UTC)
    name = f"{date:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:4]}"
    baseline = open_baseline(args.baseline, options)
    home = open_home(args.out, options)
    run = open_night(args, baseline, f"{home.url}/runs/{name}", options)
    request = Request(out=run.config.out, num_workers=args.num_workers)
    refuse_another(baseline, run.settings, run.evaluation.identity)
    try:
        comparisons = draw_and_compare(run, baseline, request)
    except RunFailedError as error:
        if not isinstance(error, StorageError):  # else the store is what failed, and its patience is spent
            with contextlib.suppress(OSError, StorageError):
                home.write("summary.md", summary.incomplete_markdown(name, str(error)).encode())
                home.write("junit.xml", summary.incomplete_junit([s.slug for s in run.settings], str(error)))
        print(f"error: {error}\nthe run is not complete, so there is no answer", file=sys.stderr)
        return INCOMPLETE
    check_extractor(comparisons, baseline.storage.url)
    verdicts = judge(comparisons, Limits(args.tolerance, args.speed_tolerance))
    night = summary.Night(
        name,
        f"{args.baseline} of {baseline.written}",
        changes(baseline, run, comparisons),
        verdicts,
        time.monotonic() - started,
    )
    print(summary.to_markdown(night), flush=True)
    try:
        history.append(home, name, history.rows(verdicts, name, date, versions()["torch"], run.identity["model"]))
        home.write("summary.md", summary.to_markdown(night).encode())
        home.write("junit.xml", summary.to_junit(night))
        home.write("trend.html", trend.to_html(history.read(home), summary.headline(night)).encode())
    except (OSError, StorageError) as error:
        print(f"error: the pages in {home.url} cannot be written: {error}", file=sys.stderr)
        return INCOMPLETE
    print(f"Files: {home.url}/summary.md, junit.xml, trend.html, history/{name}.parquet, runs/{name}/")
    return FAILED if night.failed else 0


def open_home(url: str, options: dict[str, Any] | None) -> Storage:
    """Return the folder of all nights.

    Raises:
        UserError: it cannot be listed, or is a sweep's.

    """
    home, names = open_folder("--out", url, options)
    if "sweep.json" in names:
        raise UserError(f"--out {url} is a sweep's output: give the nights a folder of their own")
    return home


def open_night(args: argparse.Namespace, baseline: Baseline, out: str, options: dict[str, Any] | None) -> Run:
    """Return tonight's run, in a folder of its own: pixels of other code must not be found there and believed."""
    changed = {"out": out} | ({} if args.model is None else {"model": args.model})
    file = args.config and local_path("--config", args.config)
    config = make_config(None, file, changed) if file else baseline.config.model_copy(update=changed)
    return open_run(config, options)


def draw_and_compare(run: Run, baseline: Baseline, request: Request) -> list[Comparison]:
    """Draw and measure tonight's run and return its comparisons, in the order of the grid."""
    config = run.config
    args = {
        "out": config.out,
        "storage_options": run.storage_options,
        "evaluation": run.evaluation,
        "baseline": baseline.storage.url,
        "num_images": config.num_images,
        "shard_size": config.shard_size,
        "fingerprint": run.fingerprint,
    }
    found: dict[Any, Comparison] = {}
    with claimed(run, request) as resources:
        draw(run, resources)
        evaluate(run, resources)
        pool = ActorPool(Comparer, args, resources)
        try:
            stage("comparing", pool, "compare", run.settings, lambda _: config.num_images, on_done=found.__setitem__)
        finally:
            pool.close()
    return [found[setting] for setting in run.settings]


def changes(baseline: Baseline, run: Run, comparisons: list[Comparison]) -> list[str]:
    """Say in words what is not as it was for the baseline. Pixels are expected to be equal where nothing is."""
    here = versions()
    texts = [
        f"{name} {str(baseline.identity[name])[:12]} in the baseline, {str(run.identity[name])[:12]} tonight"
        for name in MAY_DIFFER
        if baseline.identity[name] != run.identity[name]
    ]
    texts += [
        f"{name} {there} in the baseline, {here.get(name)} tonight"
        for name, there in baseline.versions.items()
        if here.get(name) != there
    ]
    devices = [sorted({name for c in comparisons for name in c.devices[side]}) for side in (0, 1)]
    if devices[0] != devices[1]:
        texts.append(f"device {' / '.join(devices[0])} in the baseline, {' / '.join(devices[1])} tonight")
    return texts


def update_baseline(url: str, out: str, options: dict[str, Any] | None) -> int:
    """Write a baseline from a finished run."""
    if url == EMBEDDED:
        raise UserError("--update-baseline needs --baseline: a folder or URL to write to")
    _, nights = open_folder("--out", f"{out}/runs", options)
    if nights:
        raise UserError(
            f"--update-baseline: --out {out} holds nights: give one of them, such as {out}/runs/{nights[-1]}"
        )
    run = saved_run(out, options)
    storage, names = open_folder("--baseline", url, options)
    if "sweep.json" in names:
        raise UserError(f"--baseline {url} is a sweep's output: give the baseline a folder of its own")
    rows = run.metrics()
    if unmeasured := [setting.slug for setting in run.settings if setting not in rows]:
        raise RunFailedError(f"{out} is not finished, {unmeasured[0]} is not measured: finish the sweep first")
    try:
        size = write_baseline(storage, run)
    except OSError as error:
        raise UserError(f"--baseline {url} cannot be written: {error}") from error
    print(f"{len(rows)} settings × {run.config.num_images:,} images, {size:,} bytes in {url}")
    return 0


if __name__ == "__main__":
    exit_with(main, failed=INCOMPLETE)
