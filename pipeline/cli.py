"""What the jobs share: a parser with one-line errors, and exit statuses that can be trusted."""

import argparse
import itertools
import json
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from pipeline import RunFailedError, UserError

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


class Parser(argparse.ArgumentParser):
    """argparse with the job's own page as help, and one line where the input is bad."""

    def __init__(self, description: str | None) -> None:
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def add_output(self, help_text: str) -> None:
        """Add --out and --storage-options."""
        self.add_argument("--out", required=True, help=help_text)
        self.add_storage_options()

    def add_storage_options(self) -> None:
        """Add --storage-options."""
        self.add_argument("--storage-options", metavar="JSON", help="fsspec's, where AWS variables do not suffice")

    def add_num_workers(self) -> None:
        """Add --num-workers."""
        self.add_argument("--num-workers", type=int, help="workers at most (one a GPU, or one a CPU core)")

    def add_evaluation(self, group: argparse._ArgumentGroup) -> None:
        """Add --extractor, --extractor-weights and --reference."""
        group.add_argument("--extractor", metavar="NAME", help="digits-classifier, inception-v3-compat, vgg16, …")
        group.add_argument("--extractor-weights", metavar="FILE", help="file or URL; default torch-fidelity's download")
        group.add_argument("--reference", metavar="SPEC", help="digits, cifar10-train, a folder, Parquet or .npz")

    def parse_args(self) -> argparse.Namespace:  # type: ignore[override]
        """Return the command line. A value that is empty, as of a variable that is not set, is an error."""
        for before, argument in itertools.pairwise(sys.argv):
            if argument == "" or re.fullmatch("--[a-z-]+=", argument):
                self.error(f"argument {argument.rstrip('=') or before}: its value is empty")
        return super().parse_args()

    def error(self, message: str) -> NoReturn:
        """Print the message as one line and exit with status 2."""
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n")


def storage_options(text: str | None) -> dict[str, Any] | None:
    """Return the value of --storage-options. The text is not repeated in errors: it may hold a secret.

    Raises:
        UserError: it is not a JSON object.

    """
    if text is None:
        return None
    try:
        options = json.loads(text)
    except ValueError as error:
        raise UserError(f"--storage-options is not JSON: {error}") from None
    if not isinstance(options, dict):
        raise UserError("--storage-options must be a JSON object")
    return options


def exit_with(job: Callable[[], int], failed: int = FAILED) -> NoReturn:
    """Run a job and exit with its status.

    Bad input is one line and 2; a run that failed, or a system that refuses, is its reason and `failed`; an interrupt
    is 130. A traceback is our bug, and `failed` too.
    """
    try:
        status = job()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = BAD_INPUT
    except (RunFailedError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        status = failed
    except KeyboardInterrupt:
        status = INTERRUPTED
    except Exception:
        traceback.print_exc()
        status = failed
    sys.exit(status)
