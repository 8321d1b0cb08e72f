"""Complete a sweep or another measurement of it: each work does its missing tasks, then a report is written."""

import sys
from dataclasses import replace
from functools import partial

from pipeline import UserError
from pipeline.cluster.executor import cluster
from pipeline.cluster.resources import Request
from pipeline.evaluation.measurement import Measurement, open_measurement
from pipeline.images.pixels import Pixels
from pipeline.reporting.report import publish
from pipeline.storage.sealed import fingerprint
from pipeline.sweep.layout import EVALUATIONS
from pipeline.sweep.run import Run
from pipeline.sweep.shards import pending
from pipeline.text_table import text_table
from pipeline.work.claim import claim, claim_evaluation, publish_as_planned
from pipeline.work.draw import Draw
from pipeline.work.flow import flow
from pipeline.work.growing import growing_page
from pipeline.work.match import Consistency
from pipeline.work.perform import perform
from pipeline.work.settle import settle


def complete(run: Run, request: Request) -> None:
    """Draw and measure what is missing from a sweep, write its report and print the tables.

    If nothing is missing, Ray is not started. Meanwhile result.json has the state of the sweep, and the page in report/
    what is measured.

    Raises:
        IncompleteError: all attempts at a task failed; all tasks that do not need it are done.

    """
    for note in run.notes:
        print(note, file=sys.stderr)
    grid = len(run.settings), len(run.settings) * run.config.num_images
    if run.config.settled and not Draw(run).tasks() and _measured(run) and not Consistency(run).tasks():
        claim(run)
        print("nothing to draw: every shard is there", file=sys.stderr)
        with run.result.recorded(*grid):
            print(publish_as_planned(run, publish, _measured))
        return
    with cluster(request) as joined:
        run = settle(run, joined)
        claim(run, joined)
        seen: dict[str, Pixels] = {}
        with run.result.recorded(*grid):
            with growing_page(run, seen) as write:
                flow(run, joined, run.result, on_minute=write)
                perform(Consistency(run), joined, run.result)
            print(publish_as_planned(run, partial(publish, seen=seen), _measured))


def print_plan(run: Run) -> None:
    """Print the settings of a sweep and how many of its shards are missing."""
    shards = run.shards()
    missing = pending(run.storage, "images", shards)
    lacking = dict.fromkeys(run.settings, 0)
    for shard in missing:
        lacking[shard.setting] += 1
    a_setting = len(shards) // len(run.settings)
    for note in run.notes:
        print(note)
    lines = [
        [setting.slug, f"{setting.nfe}", f"calls an image, {a_setting - count} of {a_setting} shards found"]
        for setting, count in lacking.items()
    ]
    print(text_table(lines, left=(0, 2), least=(0, 5), gap=" "))
    known = fingerprint(run.identity) if run.config.settled else "known when it is chosen what is auto"
    print(
        f"{len(run.settings)} settings × {run.config.num_images:,} images in {run.config.out}, "
        f"fingerprint {known}\n"
        f"{len(shards) - len(missing)} shards found, {len(missing)} missing: "
        f"{sum(shard.cost for shard in missing):,} network calls × images to do"
    )


def measure_again(
    run: Run, request: Request, extractor: str | None, weights: str | None, reference: str | None
) -> None:
    """Measure the images of a finished sweep with another extractor or reference; print the tables.

    Args:
        run: the sweep.
        request: what to request of a cluster.
        extractor: name of the extractor; None for the sweep's own.
        weights: the extractor's weights; None for the sweep's if the extractor is the sweep's, else its default.
        reference: the reference; None for the sweep's own.

    Raises:
        UserError: images are missing, the extractor or reference cannot be used, or the output cannot be written.
        IncompleteError: all attempts at a task failed; all tasks that do not need it are done.

    """
    if missing := pending(run.storage, "images", run.shards()):
        raise UserError(f"--out {run.config.out} lacks {len(missing)} image files: finish the sweep first")
    run = replace(run, measurement=_chosen(run, extractor, weights, reference))
    if note := run.measurement.reference.note:
        print(note, file=sys.stderr)
    if not _measured(run) or Consistency(run).tasks():
        with cluster(request) as joined:
            claim_evaluation(run)
            flow(run, joined)
            perform(Consistency(run), joined)
    else:
        print("nothing to measure: every setting is", file=sys.stderr)
    print(publish(run) if run.measurement.path else publish_as_planned(run, publish, _measured))


def _measured(run: Run) -> bool:
    return len(run.metrics()) == len(run.settings)


def _chosen(run: Run, extractor: str | None, weights: str | None, reference: str | None) -> Measurement:
    own = run.measurement
    extractor = extractor or own.extractor.name
    # weights belong to their extractor
    weights = weights or (own.extractor.weights if extractor == own.extractor.name else None)
    spec = reference or own.reference.spec
    known = own.reference.identity if spec == own.reference.spec else None
    chosen = open_measurement(extractor, weights, spec, run.model.image_shape, run.identity, known)
    if chosen.identity == own.identity:
        return own
    return replace(chosen, path=f"{EVALUATIONS}/{extractor}-{fingerprint(chosen.identity)[:8]}")
