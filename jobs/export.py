"""Write the images of one setting as PNG files, or as one .npz file for guided-diffusion's evaluator.

    python jobs/export.py --out runs/digits --setting ddim-S50-eta0-linear --png exported/
    python jobs/export.py --out runs/digits --setting ddim-S50-eta0-linear --npz samples.npz

PNG files are named by seed and are always RGB. The .npz has `arr_0`, uint8, (N, H, W, 3), in the order of seeds.
Exit status: 0 done, 1 an image file is missing or damaged, 2 bad input, 130 interrupted.
"""

from pipeline.cli import Parser, exit_with, storage_options

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline import UserError
from pipeline.sweep.images import read_images
from pipeline.sweep.run import saved_run
from pipeline.sweep.shards import plan


def main() -> int:
    """Export and return the exit status."""
    parser = Parser(__doc__)
    parser.add_output("folder or URL of a sweep's outputs")
    parser.add_argument("--setting", required=True, help="slug of the setting, as in images/setting=<slug>")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--png", type=Path, metavar="DIR", help="new folder for PNG files")
    target.add_argument("--npz", type=Path, metavar="FILE", help="new .npz file")
    args = parser.parse_args()
    run = saved_run(args.out, storage_options(args.storage_options))
    by_slug = {setting.slug: setting for setting in run.settings}
    if args.setting not in by_slug:
        raise UserError(f"--setting {args.setting!r} is not in {args.out}: use one of {', '.join(by_slug)}")
    destination: Path = args.png or args.npz
    if destination.exists():
        raise UserError(f"{destination} exists: give a new name")
    setting = by_slug[args.setting]
    shards = plan(setting, run.config.num_images, run.config.shard_size)
    fingerprint = setting.fingerprint(run.identity)
    pixels = np.concatenate([read_images(run.storage, shard, fingerprint)[0] for shard in shards])
    rgb = np.broadcast_to(pixels, (*pixels.shape[:3], 3))
    try:
        if args.npz:
            with args.npz.open("wb") as file:
                np.savez(file, arr_0=rgb)
        else:
            args.png.mkdir(parents=True)
            for seed, image in enumerate(rgb):
                Image.fromarray(image).save(args.png / f"{seed:09d}.png")
    except OSError as error:
        raise UserError(f"{destination} cannot be written: {error}") from error
    print(f"{len(rgb):,} images in {destination}")
    return 0


if __name__ == "__main__":
    exit_with(main)
