"""Compute a reference once: an .npz with mu and sigma for any tool, or Parquet with features for all metrics here.

    python jobs/reference.py --reference cifar10-train --extractor inception-v3-compat --to cifar10_train.npz
    python jobs/reference.py --reference photos/ --extractor inception-v3-compat --to photos.parquet

The .npz follows pytorch-fid's convention (also clean-fid's and EDM's): mu (D,) and sigma (D, D) with N - 1; it also has
the provenance as text. Either file can be given as --reference. Uses a GPU if this machine has one.
Exit status: 0 done, 2 bad input, 130 interrupted.
"""

from pipeline.cli import Parser, exit_with

import io
import json
import sys
from pathlib import Path

import numpy as np
import torch

from pipeline import UserError
from pipeline.evaluation import extractors, reference
from pipeline.evaluation.reference_images import make_references
from pipeline.storage.store import Storage, StorageError
from pipeline.sweep.config import SweepConfig


def main() -> int:
    """Compute, write and return the exit status."""
    parser = Parser(__doc__)
    parser.add_options(SweepConfig, "reference", group="the reference")
    parser.add_argument("--extractor", default=extractors.INCEPTION, help=f"of its features ({extractors.INCEPTION})")
    parser.add_argument("--extractor-weights", metavar="FILE", help="file or URL; default torch-fidelity's download")
    parser.set_defaults(reference=None)
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="new .npz or .parquet")
    parser.add_argument("--batch-size", type=int, default=100, help="images an extractor's call (100)")
    args = parser.parse_args()
    if args.reference is None:
        raise UserError("--reference is missing: say what to compute the statistics of")
    if not 1 <= args.batch_size <= 10**9:
        raise UserError(f"--batch-size must be 1 or more, not {args.batch_size}")
    if args.to.exists() or args.to.suffix not in (".npz", ".parquet"):
        raise UserError(f"--to {args.to} must be a new file and end in .npz or .parquet")
    if not args.to.parent.is_dir():
        raise UserError(f"--to {args.to}: there is no folder {args.to.parent}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    described = extractors.extractor_info(args.extractor, args.extractor_weights)
    info = reference.reference_info(args.reference, described)
    if info.note:
        print(info.note, file=sys.stderr)
    extractor = extractors.make_extractor(described, device)
    (made,) = make_references(info, [(extractor, described)], device, args.batch_size)
    if args.to.suffix == ".parquet" and made.features is None:
        raise UserError(f"--reference {args.reference} has statistics alone: write them as .npz")
    folder = Storage(str(args.to.parent))
    try:
        if args.to.suffix == ".parquet":
            reference.write_reference(folder, args.to.name, made)
        else:
            content = io.BytesIO()
            np.savez(content, mu=made.mu, sigma=made.sigma, provenance=json.dumps(made.provenance))
            folder.write(args.to.name, content.getvalue())
    except (OSError, StorageError) as error:
        raise UserError(f"--to {args.to} cannot be written: {error}") from error
    print(f"{json.dumps(made.provenance)}\n{args.to}")
    return 0


if __name__ == "__main__":
    exit_with(main)
