"""What the jobs share: a parser with one-line errors, and exit statuses that can be trusted."""

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from pipeline import RunFailedError, UserError

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


class Parser(argparse.ArgumentParser):
    """argparse with the job's own page as help, and one line where the input is bad."""

    def __init__(self, description: str | None) -> None:
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        """Print the message as one line and exit with status 2."""
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n")


def exit_with(job: Callable[[], int]) -> NoReturn:
    """Run a job and exit with its status.

    Bad input is one line and 2; a run that failed is its reason and 1; an interrupt is 130. A traceback is our bug.
    """
    try:
        status = job()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = BAD_INPUT
    except RunFailedError as error:
        print(f"error: {error}", file=sys.stderr)
        status = FAILED
    except KeyboardInterrupt:
        status = INTERRUPTED
    sys.exit(status)
