"""Find the best sampler and grid of times for a budget of network calls, and prove it on fresh seeds.

    python jobs/tune.py --calls 5                              # the embedded digits model, four minutes on two cores
    python jobs/tune.py --calls 3 4 5 --sampler unipc ddim:eta=0 --out runs/few
    python jobs/tune.py --calls 8 --model google/ddpm-cifar10-32 --extractor inception-v3-compat \
        --reference cifar10-train --num-images 50000 --out s3://bucket/tuned     # on GPUs

Prints which sampler on which times wins beyond noise against the best samplers on their default grids, what it cost,
and how to use it; or that nothing does, and how many images would settle it. Report and figures are in OUT/report/.
Run it again after an interruption: it does what is missing. Exit status: 0 done, 1 tasks failed or no worker came, 2
bad input, 130 interrupted.
"""

from pipeline.cli import Parser, exit_with, storage_options

from pipeline.cluster.resources import Request
from pipeline.tuning.config import TuneConfig, open_tuning
from pipeline.work.complete import conduct
from pipeline.work.tune import Tune


def main() -> int:
    """Tune and return the exit status."""
    parser = Parser(__doc__)
    parser.add_study(Request, TuneConfig)
    args = parser.parse_args()
    given = parser.given(args, TuneConfig), parser.given(args, Request), storage_options(args.storage_options)
    return conduct(TuneConfig, open_tuning, Tune, *given)


if __name__ == "__main__":
    exit_with(main)
