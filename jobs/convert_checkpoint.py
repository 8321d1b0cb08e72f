"""Convert a checkpoint in the DDIM authors' format into a diffusers folder, which --model takes.

    python jobs/convert_checkpoint.py model-790000.ckpt converted/

Takes the flat state dicts that the authors published, the lists that their trainer writes, and dictionaries of state
dicts that others write ("ema", "model" and their kin); EMA weights are used where there are some. Prints what was found
and taken. No code in the file is run: a pickle of more than tensors and numbers is refused.
Exit status: 0 done, 2 bad input, 130 interrupted.
"""

from pipeline.cli import Parser, exit_with

from math import prod
from pathlib import Path

from safetensors import safe_open

from pipeline.diffusion.checkpoint import read_checkpoint
from pipeline.diffusion.convert import convert


def main() -> int:
    """Convert and return the exit status."""
    parser = Parser(__doc__)
    parser.add_argument("file", type=Path, help=".ckpt, .pth or .pt file")
    parser.add_argument("folder", type=Path, help="new folder")
    args = parser.parse_args()
    convert(args.file, args.folder)
    # What is printed is read from the new files.
    checkpoint = read_checkpoint(args.folder)
    with safe_open(checkpoint.weights, "pt") as tensors:
        sizes = [prod(tensors.get_slice(name).get_shape()) for name in tensors.keys()]  # noqa: SIM118
    ema = {True: "yes", False: "no", None: "unknown"}[checkpoint.info.ema]
    shape = "×".join(map(str, checkpoint.info.image_shape))
    print(f"{args.file}: {len(sizes):,} tensors, {sum(sizes):,} parameters, images of {shape}, EMA weights: {ema}")
    for note in checkpoint.info.notes:
        print(note)
    print(f"written to {args.folder}")
    return 0


if __name__ == "__main__":
    exit_with(main)
