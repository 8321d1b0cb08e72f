"""Check whether quality or speed got worse than a baseline, beyond noise. A team runs this every night.

    python jobs/nightly.py                                    # the embedded digits baseline, into runs/nightly
    python jobs/nightly.py --baseline s3://bucket/baseline --out s3://bucket/nightly
    python jobs/nightly.py --baseline s3://bucket/baseline --model path/to/new --out s3://bucket/nightly
    python jobs/nightly.py --update-baseline --baseline s3://bucket/baseline --out s3://bucket/nightly/runs/20260301T…

Draws the baseline's grid again under OUT/runs/, pairs it with the baseline image by image, and writes OUT/summary.md,
OUT/junit.xml, OUT/trend.html and a file in OUT/history/. Prints progress on standard error and the summary on standard
output. Exit status: 0 clean, 1 regression, 2 bad input or unusable baseline, 3 no answer (the run is incomplete or its
pages cannot be written), 130 interrupted.
"""

from pipeline.cli import FAILED, Parser, exit_with, storage_options

from pipeline import UserError
from pipeline.cluster.resources import Request
from pipeline.regression.baseline import EMBEDDED
from pipeline.regression.gate import Limits
from pipeline.sweep.layout import SWEEP
from pipeline.work.night import hold, open_night, update_baseline

INCOMPLETE = 3


def main() -> int:
    """Check, or write a baseline, and return the exit status."""
    parser = Parser(__doc__)
    parser.add_argument("--baseline", default=EMBEDDED, help="folder or URL, or digits, the embedded one (the default)")
    parser.add_argument("--out", default="runs/nightly", help="folder or URL of all nights (runs/nightly)")
    parser.add_argument("--update-baseline", action="store_true", help="write one from the finished run in --out")
    parser.add_argument("--config", metavar="FILE", help="a run's sweep.json, in place of the baseline's config")
    parser.add_argument("--model", help="another model than the baseline's")
    parser.add_argument("--tolerance", type=float, default=0.02, help="rise of FID, relative to the baseline's (0.02)")
    parser.add_argument(
        "--speed-tolerance", type=float, default=0.1, help="loss of the network's share, relative (0.1)"
    )
    parser.add_options(Request, "num_workers")
    parser.add_storage_options()
    args = parser.parse_args()
    if args.update_baseline:
        for name in ("config", "model", "tolerance", "speed_tolerance", "num_workers"):
            if vars(args).get(name, parser.get_default(name)) != parser.get_default(name):
                raise UserError(f"--{name.replace('_', '-')} means nothing with --update-baseline: leave it out")
    limits = Limits(args.tolerance, args.speed_tolerance)
    options = storage_options(args.storage_options)
    if args.update_baseline:
        print(update_baseline(args.baseline, args.out, options))
        return 0
    night = open_night(args.out, args.baseline, args.config, args.model, options)
    request = Request(**parser.given(args, Request), out=night.run.config.out, first_file=SWEEP)
    answer, files = hold(night, limits, request)
    print(files)
    return FAILED if answer.failed else 0


if __name__ == "__main__":
    exit_with(main, failed=INCOMPLETE)
