"""Train the embedded digits U-Net and the digits classifier, and write them with a note on how they were made.

    python jobs/train_digits.py                    # into pipeline/assets: what is shipped
    python jobs/train_digits.py --out /tmp/assets --steps 500

Needs an extra, pip install -e ".[train]". Prints a loss line every 500 steps, the classifier's held-out accuracy, and
where the files went.
"""

from pipeline.cli import Parser, exit_with

from pathlib import Path

from pipeline.diffusion.training import WARM_UP_STEPS, write_unet
from pipeline.evaluation.training import digits, write_classifier


def main() -> int:
    """Train both networks and write `digits-ddpm/` and `digits-classifier/`."""
    parser = Parser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("pipeline/assets"), help="folder to write into")
    parser.add_argument("--steps", type=int, default=12_000, help="optimiser steps of the U-Net (12000)")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights, batches and split (0)")
    args = parser.parse_args()
    if args.steps <= WARM_UP_STEPS:
        parser.error(f"--steps must be above {WARM_UP_STEPS}, the warm-up")
    command = f"python jobs/train_digits.py --steps {args.steps} --seed {args.seed}"
    x_0, labels = digits()
    write_classifier(args.out / "digits-classifier", x_0, labels, args.seed, command)
    seconds = write_unet(args.out / "digits-ddpm", x_0, args.steps, args.seed, command)
    print(f"U-Net: {args.steps} steps in {seconds:.0f} s; both are in {args.out}")
    return 0


if __name__ == "__main__":
    exit_with(main)
