"""Measure the images of a finished sweep again, in other features or against another reference, and draw none.

    python jobs/evaluate.py --out runs/cifar10 --extractor vgg16
    python jobs/evaluate.py --out runs/cifar10 --reference cifar10_train.npz --extractor-weights inception.pth

Prints the tables; metrics.json, features and report lie in OUT/evaluations/<extractor>-<digest>/, or in OUT itself
where what is asked for is what the sweep measured. Exit status: 0 done, 1 failed, 2 bad input, 130 interrupted.
"""

import argparse
import dataclasses
import sys

from pipeline import UserError
from pipeline.cli import Parser, exit_with, storage_options
from pipeline.cluster.executor import cluster
from pipeline.cluster.resources import Request
from pipeline.evaluation.measurement import FOLDER, Evaluation, open_evaluation
from pipeline.reporting.report import publish
from pipeline.storage.store import StorageError
from pipeline.sweep.config import fingerprint
from pipeline.sweep.run import Run, saved_run
from pipeline.sweep.shards import pending
from pipeline.work.complete import evaluate


def parse_args() -> argparse.Namespace:
    """Return the command line; what is not given of the evaluation is the sweep's own."""
    parser = Parser(__doc__)
    parser.add_output("folder or URL of a sweep's outputs")
    parser.add_num_workers()
    parser.add_evaluation(parser.add_argument_group("the evaluation (defaults are the sweep's)"))
    return parser.parse_args()


def choose(run: Run, args: argparse.Namespace) -> Evaluation:
    """Return the evaluation that is asked for; one that is not the sweep's own has a folder of its own.

    Raises:
        UserError: it cannot be done.

    """
    own = run.evaluation
    extractor = args.extractor or own.extractor.name
    # weights belong to their extractor
    weights = args.extractor_weights or (own.extractor.weights if extractor == own.extractor.name else None)
    reference = args.reference or own.reference.spec
    chosen = open_evaluation(extractor, weights, reference, run.model.image_shape, run.identity)
    if chosen.identity == own.identity:
        return own
    return dataclasses.replace(chosen, path=f"{FOLDER}/{extractor}-{fingerprint(chosen.identity)[:8]}")


def claim_evaluation(run: Run) -> None:
    """Write evaluation.json, the first file of an evaluation.

    Raises:
        UserError: the output cannot be written.

    """
    try:
        run.results.write_json("evaluation.json", dataclasses.asdict(run.evaluation))
    except (OSError, StorageError) as error:
        raise UserError(f"--out {run.config.out} cannot be written: {error}") from error


def main() -> int:
    """Measure and return the exit status."""
    args = parse_args()
    request = Request(out=args.out, num_workers=args.num_workers)
    run = saved_run(args.out, storage_options(args.storage_options))
    if missing := pending(run.storage, "images", run.shards()):
        raise UserError(f"--out {args.out} lacks {len(missing)} image files: finish the sweep first")
    run = dataclasses.replace(run, evaluation=choose(run, args))
    if len(run.metrics()) < len(run.settings):
        with cluster(request) as resources:
            claim_evaluation(run)
            evaluate(run, resources)
    else:
        print("nothing to measure: every setting is", file=sys.stderr)
    print(publish(run))
    return 0


if __name__ == "__main__":
    exit_with(main)
