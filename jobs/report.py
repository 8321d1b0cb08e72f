"""Write the page of a sweep, report/index.html, from its output: finished or half done, one output or several.

    python jobs/report.py --out runs/samplers
    python jobs/report.py --out s3://bucket/prefix --price-per-hour 2.5
    python jobs/report.py --out runs/samplers runs/digits            # side by side, in the first one's report/
    python jobs/report.py --out runs/digits runs/reconstruction      # with a study: reconstruction, interpolation, …

Every sweep writes this page when it ends. Draws and measures nothing; settings that are not measured are named as such.
Prints where the page is. Exit status: 0 done, 1 failed, 2 bad input, 130 interrupted.
"""

from pipeline.cli import Parser, exit_with, storage_options

import math

from pipeline import UserError
from pipeline.reporting.report import write_page
from pipeline.reporting.studies import read_study
from pipeline.sweep.run import saved_run


def main() -> int:
    """Write the page and return the exit status."""
    parser = Parser(__doc__)
    parser.add_argument("--out", required=True, nargs="+", metavar="URL", help="outputs of sweeps, and of studies")
    parser.add_argument("--price-per-hour", metavar="P", help="of a GPU; of a CPU core where no GPU was used")
    parser.add_storage_options()
    args = parser.parse_args()
    price = None if args.price_per_hour is None else _price(args.price_per_hour)
    options = storage_options(args.storage_options)
    studies = {out: read_study(out, options) for out in dict.fromkeys(args.out)}
    runs = [saved_run(out, options) for out, study in studies.items() if study is None]
    if not runs:
        raise UserError("--out: give a sweep's output too, whose report/ gets the page")
    print(write_page(runs, price, studies=[study for study in studies.values() if study is not None]))
    return 0


def _price(text: str) -> float:
    """Return a price. Raises UserError if it is not one."""
    try:
        price = float(text)
    except ValueError:
        price = math.nan
    if not (math.isfinite(price) and price >= 0):
        raise UserError(f"--price-per-hour: give a number from 0 (got {text!r})")
    return price


if __name__ == "__main__":
    exit_with(main)
