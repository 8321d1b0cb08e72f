"""Draw and measure a grid of DDIM settings, and print the paper's table.

    python jobs/sweep.py                             # the embedded digits model, a few minutes on two cores
    python jobs/sweep.py --steps 10 50 --eta 0 hat --num-images 500 --out runs/small
    python jobs/sweep.py --dry-run                   # what there is to do
    python jobs/sweep.py --config runs/digits/sweep.json
    python jobs/sweep.py --preset cifar10 --model model-790000.ckpt --out s3://bucket/cifar10   # table 1, on GPUs

Prints progress on standard error and the tables on standard output. Run it again after an interruption: it does what
is missing. By itself it starts Ray; under `ray job submit`, or if RAY_ADDRESS is set, it joins that cluster.
result.json in the output says whether the sweep is running, finished, failed or stopped; jobs/status.py reads it. Exit
status: 0 done, 1 shards failed or no worker came, 2 bad input, 130 stopped by an interrupt or SIGTERM.
"""

from pipeline.cli import Parser, exit_with, storage_options

import sys

from pipeline import RunFailedError, UserError
from pipeline.cluster.resources import Request, joins_a_cluster
from pipeline.storage.local import local_path
from pipeline.sweep.config import SweepConfig, make_config
from pipeline.sweep.layout import SWEEP


def main() -> int:
    """Run the sweep and return the exit status."""
    parser = Parser(__doc__)
    parser.add_argument("--config", metavar="FILE", help="a run's sweep.json, by path or URL, to run again")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_storage_options()
    parser.add_options(Request)
    parser.add_options(SweepConfig, group="the run (defaults are the preset's)")
    args = parser.parse_args()
    file = args.config and local_path("--config", args.config)
    changes = parser.given(args, SweepConfig)
    config = make_config(changes.pop("preset", None), file, changes)
    import torch  # slow imports, for which neither --help nor a wrong option waits

    from pipeline.sweep.run import open_run
    from pipeline.work.complete import complete, print_plan

    request = Request(**parser.given(args, Request), out=config.out, first_file=SWEEP)
    run = open_run(config, storage_options(args.storage_options))
    if args.dry_run:
        print_plan(run)
        return 0
    if config.dtype == "tf32" and not joins_a_cluster() and not torch.cuda.is_available():
        raise UserError("--dtype tf32 is a GPU's, and torch sees none here")
    if 0 < run.config.batch_size < config.batch_size:
        print(f"batches of {run.config.batch_size} images: a shard has no more", file=sys.stderr)
    try:
        complete(run, request)
    except RunFailedError:
        print("the sweep is not complete; the next run tries only what is missing", file=sys.stderr)
        raise
    except KeyboardInterrupt:
        print("\nstopped; run the same command again to go on where it stopped", file=sys.stderr)
        raise
    return 0


if __name__ == "__main__":
    exit_with(main)
