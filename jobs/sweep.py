"""Draw and measure a grid of DDIM settings, and print the paper's table.

    python jobs/sweep.py                             # the embedded digits model, a few minutes on two cores
    python jobs/sweep.py --steps 10 50 --eta 0 hat --num-images 500 --out runs/small
    python jobs/sweep.py --dry-run                   # what there is to do
    python jobs/sweep.py --config runs/digits/sweep.json
    python jobs/sweep.py --preset cifar10 --model model-790000.ckpt --out s3://bucket/cifar10   # table 1, on GPUs

Prints progress on standard error and the tables on standard output. Run it again after an interruption: it does what
is missing. Alone it starts its own Ray; under `ray job submit`, or where RAY_ADDRESS is set, it joins that cluster.
result.json in the output tells running, finished, failed and stopped apart; jobs/status.py reads it. Exit status: 0
done, 1 shards failed or no worker came, 2 bad input, 130 stopped by an interrupt or SIGTERM.
"""

import argparse
import signal
import sys

import torch

from pipeline import RunFailedError, UserError
from pipeline.cli import INTERRUPTED, Parser, exit_with, storage_options
from pipeline.cluster.resources import Request, joins_a_cluster
from pipeline.reporting.report import publish
from pipeline.storage.local import local_path
from pipeline.sweep.config import make_config
from pipeline.sweep.presets import PRESETS
from pipeline.sweep.run import Run, open_run
from pipeline.sweep.shards import pending
from pipeline.work.complete import claim, claimed, draw, evaluate


def parse_args() -> argparse.Namespace:
    """Return the command line; what is not given is not in it."""
    parser = Parser(__doc__)
    parser.add_argument("--preset", help=f"{', '.join(PRESETS)}; digits is the default")
    parser.add_argument("--config", metavar="FILE", help="a run's sweep.json, by path or URL, to run again")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_storage_options()
    parser.add_num_workers()
    parser.add_argument("--gpus-per-worker", type=float, help="a share of one, as 0.5, or a whole number")
    parser.add_argument("--start-timeout", type=float, default=1800.0, help="seconds without any worker (1800)")
    grid = parser.add_argument_group("the run (defaults are the preset's)", argument_default=argparse.SUPPRESS)
    grid.add_argument("--out", help="folder or URL of the outputs")
    grid.add_argument("--model", help="digits, a diffusers folder, a .ckpt of the authors' format, a URL, a hub name")
    grid.add_argument("--steps", nargs="+", help="values of S")
    grid.add_argument("--eta", nargs="+", help="from 0 to 1, or hat")
    grid.add_argument("--spacing", nargs="+", help="linear, quadratic, paper-linear, paper-quadratic, or 0,250,500")
    grid.add_argument("--clip", help="where pred_x0 is clipped: hat (as the authors), always or never")
    grid.add_argument("--dtype", help="of the network alone: float32, tf32, bfloat16 or float16")
    grid.add_argument("--num-images", help="images a setting")
    grid.add_argument("--seed", help="of the noise")
    grid.add_argument("--batch-size", help="images a network call")
    grid.add_argument("--shard-size", help="images a file")
    parser.add_evaluation(grid)
    return parser.parse_args()


def print_plan(run: Run) -> None:
    """Say what the run consists of and what of it is missing."""
    shards = run.shards()
    missing = pending(run.storage, "images", shards)
    lacking = {setting: 0 for setting in run.settings}
    for shard in missing:
        lacking[shard.setting] += 1
    a_setting = len(shards) // len(run.settings)
    for setting, count in lacking.items():
        print(f"{setting.slug:<32} {setting.nfe:>5} calls an image, {a_setting - count} of {a_setting} shards found")
    print(
        f"{len(run.settings)} settings × {run.config.num_images:,} images in {run.config.out}, "
        f"fingerprint {run.fingerprint}\n"
        f"{len(shards) - len(missing)} shards found, {len(missing)} missing: "
        f"{sum(shard.cost for shard in missing):,} network calls × images to do"
    )


def main() -> int:
    """Run the sweep and return the exit status."""
    args = vars(parse_args())
    preset, file, dry_run = (args.pop(name) for name in ("preset", "config", "dry_run"))
    asked = {name: args.pop(name) for name in ("gpus_per_worker", "start_timeout", "num_workers")}
    options = storage_options(args.pop("storage_options"))
    config = make_config(preset, file and local_path("--config", file), args)
    request = Request(**asked, out=config.out)
    run = open_run(config, options)
    if dry_run:
        print_plan(run)
        return 0
    if config.dtype == "tf32" and not joins_a_cluster() and not torch.cuda.is_available():
        raise UserError("--dtype tf32 is a GPU's, and torch sees none here")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        complete(run, request)
    except RunFailedError:
        print("the sweep is not complete; the next run tries only what is missing", file=sys.stderr)
        raise
    except KeyboardInterrupt:
        print("\nstopped; run the same command again to go on where it stopped", file=sys.stderr)
        return INTERRUPTED
    return 0


def complete(run: Run, request: Request) -> None:
    """Draw and evaluate what is missing, and report; without anything missing, without Ray."""
    grid = len(run.settings), len(run.settings) * run.config.num_images
    if not pending(run.storage, "images", run.shards()) and len(run.metrics()) == len(run.settings):
        claim(run)
        print("nothing to draw: every shard is there", file=sys.stderr)
        with run.result.recorded(*grid):
            print(publish(run))
        return
    with claimed(run, request) as resources, run.result.recorded(*grid):
        draw(run, resources, run.result)
        evaluate(run, resources, run.result)
        print(publish(run))


if __name__ == "__main__":
    exit_with(main)
