"""Measure the images of a finished sweep again, with another extractor or reference, without drawing any.

    python jobs/evaluate.py --out runs/cifar10 --extractor vgg16 dinov2-vit-b-14
    python jobs/evaluate.py --out runs/cifar10 --reference cifar10_train.npz --extractor-weights inception.pth

Prints the tables, of several extractors one after the other. metrics.json, features and report are in
OUT/evaluations/<extractor>-<digest>/, or in OUT itself if extractor and reference are the sweep's own. Run it again
after an interruption: it does what is missing. Exit status: 0 done, 1 failed, 2 bad input, 130 interrupted.
"""

from pipeline.cli import Parser, exit_with, storage_options

from pipeline.cluster.resources import Request
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.layout import SWEEP
from pipeline.sweep.run import open_evaluation, saved_run
from pipeline.work.complete import complete

MEASUREMENT = ("extractor", "extractor_weights", "reference")


def main() -> int:
    """Measure and return the exit status."""
    parser = Parser(__doc__)
    parser.add_output("folder or URL of a sweep's outputs")
    parser.add_options(Request, "num_workers")
    parser.add_options(SweepConfig, *MEASUREMENT, group="the evaluation (defaults are the sweep's)")
    args = parser.parse_args()
    request = Request(**parser.given(args, Request), out=args.out, first_file=SWEEP)
    run = saved_run(args.out, storage_options(args.storage_options))
    complete(open_evaluation(run, *(vars(args).get(name) for name in MEASUREMENT)), request)
    return 0


if __name__ == "__main__":
    exit_with(main)
