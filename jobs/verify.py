"""Check every file of a sweep's output against its plan, its checksums and its digests.

    python jobs/verify.py --out runs/digits
    python jobs/verify.py --out s3://bucket/prefix --repair     # set bad files aside; the next sweep draws them again

Prints a line for every bad, missing or surplus file; report/, which any run of the sweep writes anew, is not looked at.
Exit status: 0 all is well, 1 something is not, 2 bad input.
"""

from pipeline.cli import FAILED, Parser, exit_with, storage_options
from pipeline.cluster.executor import ActorPool, cluster
from pipeline.cluster.resources import Request
from pipeline.sweep.run import Run, saved_run
from pipeline.sweep.shards import Shard
from pipeline.work.perform import stage
from pipeline.work.verify import SET_ASIDE, Checked, Inventory, Problem, Verifier, set_aside


def check_files(run: Run, inventory: Inventory, request: Request) -> tuple[dict[Shard, str | None], list[Problem]]:
    """Read every file that is there, in parallel; return the pixels' digests and the problems."""
    checked: dict[Shard, Checked] = {}
    args = {
        "out": run.config.out,
        "storage_options": run.storage_options,
        "fingerprint": run.fingerprint,
        "evaluations": inventory.evaluations,
    }
    if shards := inventory.readable():
        with cluster(request) as resources:
            pool = ActorPool(Verifier, args, resources)
            stage("verifying", pool, "check_shard", shards, lambda shard: shard.rows, on_done=checked.__setitem__)
            pool.close()
    problems = [problem for result in checked.values() for problem in result.problems]
    return {shard: result.digest for shard, result in checked.items()}, [
        problem for problem in problems if inventory.found.get(problem.path)
    ]


def main() -> int:
    """Verify, repair where asked to, and return the exit status."""
    parser = Parser(__doc__)
    parser.add_output("folder or URL of a sweep's outputs")
    parser.add_argument("--repair", action="store_true", help=f"move bad and surplus files under {SET_ASIDE}/")
    args = parser.parse_args()
    request = Request(out=args.out)
    run = saved_run(args.out, storage_options(args.storage_options))
    inventory = Inventory(run)
    digests, bad = check_files(run, inventory, request)
    bad += inventory.closing_problems(digests)
    problems = bad + inventory.unread_problems()
    for problem in problems:
        print(f"{problem.kind:<8} {problem.text}")
    print(f"{len(inventory.found):,} files, {len(inventory.shards):,} shards planned, {len(problems):,} problems")
    if args.repair:
        for path in set_aside(inventory, problems):
            print(f"set aside {path}")
        if problems:
            print("run the sweep again with the same --out to draw what is missing")
    return FAILED if problems else 0


if __name__ == "__main__":
    exit_with(main)
