"""Draw lines and a grid of images between x_T: figure 6 of the DDIM paper, with a number for its smoothness.

    python jobs/interpolate.py                                         # 50 lines of digits and a grid, half a minute
    python jobs/interpolate.py --seeds 3 14 15 92 --count 21 --animate --out runs/few
    python jobs/interpolate.py --encodings runs/reconstruction --seeds 0 1 2 3 --out runs/between-real-images

Prints how smooth the lines are, beside two controls: straight lines between the x_T, and blending of pixels. Pictures
are in OUT/report/, every image in OUT/interpolations/. Run it again after an interruption: it does what is missing.
Exit status: 0 done, 1 failed or no worker came, 2 bad input, 130 interrupted.
"""

from pipeline.cli import Parser, exit_with, storage_options

from functools import partial

from pipeline.cluster.resources import Request
from pipeline.work.between import InterpolateConfig, open_interpolation
from pipeline.work.complete import conduct
from pipeline.work.interpolate import Interpolate


def main() -> int:
    """Interpolate and return the exit status."""
    parser = Parser(__doc__)
    parser.add_argument("--animate", action="store_true", help="write report/lines.gif too")
    parser.add_study(Request, InterpolateConfig)
    args = parser.parse_args()
    given = parser.given(args, InterpolateConfig), parser.given(args, Request), storage_options(args.storage_options)
    return conduct(InterpolateConfig, open_interpolation, partial(Interpolate, animated=args.animate), *given)


if __name__ == "__main__":
    exit_with(main)
