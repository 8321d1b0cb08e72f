"""Compare outputs of sweeps, or single settings of them, with a baseline: differences with error bars, and speed.

    python jobs/compare.py runs/old runs/new
    python jobs/compare.py 'runs/x#ddim-S50-eta0-linear' 'runs/x#unipc-S10-logsnr' --markdown summary.md

The first is the baseline. An output stands for all of its settings that the others have too, OUTPUT#SETTING for one of
them, by the name of its folder. Where both sides have the same seed and number of images, differences are over pairs of
the same noise. Reads the stored features alone. Exit status: 0 compared, 1 a file is damaged or missing, 2 bad input.
"""

from pipeline.cli import Parser, exit_with, storage_options

import json
from pathlib import Path

from pipeline import UserError
from pipeline.regression.contrast import contrast
from pipeline.regression.contrast_pages import to_json, to_markdown, to_text
from pipeline.regression.sides import open_side


def main() -> int:
    """Print the comparison and return the exit status."""
    parser = Parser(__doc__)
    parser.add_argument("outputs", nargs="+", metavar="OUTPUT[#SETTING]", help="the baseline, and what to compare with")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write it as Markdown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers at full precision")
    parser.add_storage_options()
    args = parser.parse_args()
    if len(args.outputs) < 2:
        raise UserError("give two outputs or more: the baseline, and what to compare with it")
    for option, file in (("--markdown", args.markdown), ("--json", args.json)):
        if file is not None and (file.is_dir() or not file.parent.is_dir()):
            raise UserError(f"{option} {file} must be a file in a folder that there is")
    options = storage_options(args.storage_options)
    besides = contrast([open_side(text, options) for text in args.outputs])
    print(to_text(besides))
    if args.markdown is not None:
        args.markdown.write_text(to_markdown(besides), encoding="utf-8")
    if args.json is not None:
        args.json.write_text(json.dumps(to_json(besides), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    exit_with(main)
