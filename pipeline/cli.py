"""What the jobs share: a command-line parser with one-line errors, and exit statuses."""

import argparse
import itertools
import json
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from pydantic import BaseModel

from pipeline import RunFailedError, UserError

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


class Parser(argparse.ArgumentParser):
    """An argument parser whose help is the job's module docstring and whose errors are one line."""

    def __init__(self, description: str | None) -> None:
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def add_output(self, help_text: str) -> None:
        """Add --out and --storage-options."""
        self.add_argument("--out", required=True, help=help_text)
        self.add_storage_options()

    def add_storage_options(self) -> None:
        """Add --storage-options."""
        self.add_argument("--storage-options", metavar="JSON", help="fsspec's, where AWS variables do not suffice")

    def add_options(self, config: type[BaseModel], *names: str, group: str | None = None) -> None:
        """Add an option for each field of a config that has a description, or only for those in `names`.

        Values stay text as the user typed it, and options that are not given leave no attribute: see `given`.
        """
        target = self.add_argument_group(group) if group else self
        for name, field in config.model_fields.items():
            if field.description and (not names or name in names):
                many = "tuple[" in str(field.annotation)
                options: dict[str, Any] = {"nargs": "+"} if many else {}
                option = "--" + name.replace("_", "-")
                target.add_argument(option, default=argparse.SUPPRESS, help=field.description, **options)

    @staticmethod
    def given(args: argparse.Namespace, config: type[BaseModel]) -> dict[str, Any]:
        """Return name → text of the config fields that the user gave."""
        return {
            name: value
            for name, value in vars(args).items()
            if name in config.model_fields and config.model_fields[name].description
        }

    def parse_args(self) -> argparse.Namespace:  # type: ignore[override]
        """Return the parsed command line. An empty value, as from an unset variable, is an error."""
        for before, argument in itertools.pairwise(sys.argv):
            if argument == "" or re.fullmatch("--[a-z-]+=", argument):
                self.error(f"argument {argument.rstrip('=') or before}: its value is empty")
        return super().parse_args()

    def error(self, message: str) -> NoReturn:
        """Print the message as one line and exit with status 2."""
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n")


def storage_options(text: str | None) -> dict[str, Any] | None:
    """Return the value of --storage-options. Errors do not repeat the text, since it may hold a secret.

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

    Bad input prints one line and exits with 2. A failed run or a system error prints its reason and exits with
    `failed`. An interrupt exits with 130. Any other error is our bug: it prints a traceback and exits with `failed`.
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
