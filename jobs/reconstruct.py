"""Encode real images to x_T and decode them again with the same S: table 2 of the DDIM paper, with errors.

    python jobs/reconstruct.py                                       # 500 digits, S from 10 to 1000: three minutes
    python jobs/reconstruct.py --steps 10 20 50 --num-images 200 --out runs/small
    python jobs/reconstruct.py --model model-790000.ckpt --images cifar10-val --num-images 10000 --spacing quadratic

Prints the table: the mean squared error of a value on [0, 1], and how far the encoded x_T are from noise. The x_T
themselves are in OUT/reconstructions/. Run it again after an interruption: it does what is missing. Exit status: 0
done, 1 shards failed or no worker came, 2 bad input, 130 interrupted.
"""

from pipeline.cli import Parser, exit_with, storage_options

from pipeline.cluster.resources import Request
from pipeline.work.complete import conduct
from pipeline.work.reconstruct import Reconstruct, ReconstructConfig, open_reconstruction


def main() -> int:
    """Reconstruct and return the exit status."""
    parser = Parser(__doc__)
    parser.add_study(Request, ReconstructConfig)
    args = parser.parse_args()
    given = parser.given(args, ReconstructConfig), parser.given(args, Request), storage_options(args.storage_options)
    return conduct(ReconstructConfig, open_reconstruction, Reconstruct, *given)


if __name__ == "__main__":
    exit_with(main)
