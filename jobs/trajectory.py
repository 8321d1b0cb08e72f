"""Show the walks of a few seeds: x_t and pred_x0 at chosen steps, a strip for each sampler.

    python jobs/trajectory.py                                          # three samplers on the digits, seconds
    python jobs/trajectory.py --sampler ddim heun --steps 10 50 --seeds 7 8 --columns 6 --out runs/walks

The last x_t of a walk is the image of its seed in a sweep with the same batch size. Figures are in OUT/report/, every
picture in OUT/trajectories/. Run it again after an interruption: it does what is missing. Exit status: 0 done, 1 failed
or no worker came, 2 bad input, 130 interrupted.
"""

from pipeline.cli import Parser, exit_with, storage_options

from pipeline.cluster.resources import Request
from pipeline.work.complete import conduct
from pipeline.work.trace import Trace, TraceConfig, open_trace


def main() -> int:
    """Draw the walks and return the exit status."""
    parser = Parser(__doc__)
    parser.add_study(Request, TraceConfig)
    args = parser.parse_args()
    given = parser.given(args, TraceConfig), parser.given(args, Request), storage_options(args.storage_options)
    return conduct(TraceConfig, open_trace, Trace, *given)


if __name__ == "__main__":
    exit_with(main)
