"""Check every file of a sweep's output against its plan, its checksums and its digests.

    python jobs/verify.py --out runs/digits
    python jobs/verify.py --out s3://bucket/prefix --repair     # set bad files aside; the next sweep draws them again

Prints a line for every bad, missing or surplus file. It skips report/, which every run of the sweep writes again.
Exit status: 0 no problems, 1 problems or failed, 2 bad input.
"""

from pipeline.cli import FAILED, Parser, exit_with, storage_options

from pipeline.cluster.executor import cluster
from pipeline.cluster.resources import Request
from pipeline.sweep.layout import SET_ASIDE
from pipeline.text_table import text_table
from pipeline.work.inventory import take_inventory
from pipeline.work.verify import set_aside, verify


def main() -> int:
    """Verify, repair if requested, and return the exit status."""
    parser = Parser(__doc__)
    parser.add_output("folder or URL of a sweep's or a study's output")
    parser.add_argument("--repair", action="store_true", help=f"move bad and surplus files under {SET_ASIDE}/")
    args = parser.parse_args()
    inventory = take_inventory(args.out, storage_options(args.storage_options))
    with cluster(Request(out=args.out, first_file=inventory.output.first_file)) as joined:
        problems = verify(inventory, joined)
    if problems:
        print(text_table([[problem.kind, problem.text] for problem in problems], left=(0, 1), least=(8,), gap=" "))
    print(f"{len(inventory.listed):,} files, {len(inventory.settings):,} settings, {len(problems):,} problems")
    if args.repair:
        for path in set_aside(inventory, problems):
            print(f"set aside {path}")
        if problems:
            print("run the same command again with the same --out to draw what is missing")
    return FAILED if problems else 0


if __name__ == "__main__":
    exit_with(main)
