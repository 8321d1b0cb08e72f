"""Measure this pipeline beside diffusers' and torch-fidelity, and beside what the processor can do.

    pip install -e '.[test]'
    python jobs/benchmark.py [--quick] [--json FILE]

The first table is throughput in network calls × images a second: bare network calls, this pipeline with PNG, Parquet
and commits, and diffusers' DDIMPipeline without any file, one process of one thread each, in interleaved rounds of one
run. Compare ratios, whose median and range over rounds are printed: the absolute values depend on the machine. On CPUs
a second is one of the process's CPU time, all its threads together, which others on the machine change little. Then
come the noise of a step, where a step's time goes, several workers against one, a slow store, all metrics against the
`fidelity` command, a whole sweep, and what the paper's table 1 would take here. docs/performance.md says how to read
it. --quick takes a few minutes on two cores, everything about 40.
"""

from pipeline.cli import Parser, exit_with

import json
from pathlib import Path

from pipeline.benchmark.benchmark import benchmark


def main() -> int:
    """Measure, print and keep."""
    parser = Parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rounds, and no compiling on a CPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="new file for all numbers, of each round too")
    args = parser.parse_args()
    if args.json is not None and args.json.exists():
        parser.error(f"--json {args.json} exists: give a new name")
    measured = benchmark(args.quick, Path(__file__).parent)
    if args.json is not None:
        args.json.write_text(json.dumps(measured, indent=1, ensure_ascii=False), encoding="utf-8")
    return 0


if __name__ == "__main__":
    exit_with(main)
