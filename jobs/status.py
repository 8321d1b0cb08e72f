"""Print how far a sweep is, running or not. Needs only this project and access to the sweep's output.

    python jobs/status.py --out runs/digits
    python jobs/status.py --out s3://bucket/prefix

Prints a line per setting: images drawn and planned; shards in flight and failed, which the sweep writes about once a
minute; images per second and time left, from the times of the files. Exit status: 0 finished, 1 failed, stopped, killed
or otherwise incomplete, 2 bad input, 3 running.
"""

from pipeline.cli import FAILED, Parser, exit_with, storage_options

import time

from pipeline.reporting.status import read_status, to_text
from pipeline.sweep.result import FINISHED, RUNNING
from pipeline.sweep.run import saved_run

STILL_RUNNING = 3


def main() -> int:
    """Print the status and return the exit status."""
    parser = Parser(__doc__)
    parser.add_output("folder or URL of a sweep's outputs")
    args = parser.parse_args()
    run = saved_run(args.out, storage_options(args.storage_options))
    status = read_status(run.storage, run.shards(), time.time())
    print(to_text(status))
    return {FINISHED: 0, RUNNING: STILL_RUNNING}.get(status.state, FAILED)


if __name__ == "__main__":
    exit_with(main)
