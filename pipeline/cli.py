"""What the jobs share: a command-line parser with one-line errors, what stops a job, and exit statuses."""

import argparse
import io
import itertools
import json
import math
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pipeline import RunFailedError, UserError

if TYPE_CHECKING:
    from pydantic import BaseModel  # a slow import, before which a job listens for interrupts

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
SECONDS_TO_END = 10.0
"""For so long after an interrupt others do nothing: the end that the first one began would be cut short."""


class Interrupts:
    """What an interrupt, SIGTERM or SIGHUP (a closed terminal) does to a job: it ends in order, with status 130."""

    def __init__(self) -> None:
        self.running = False
        self.taken: list[signal.Signals] = []
        self.last = -math.inf
        """The monotonic time of the last one that was raised."""

    def listen(self) -> None:
        """Take the signals, but those that are ignored: by nohup, or by a shell for what runs in the background."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._receive)
                self.taken.append(number)

    def end(self) -> None:
        """Ignore the signals from now on: the interpreter, as it ends, would give them back to the system."""
        for number in self.taken:
            signal.signal(number, signal.SIG_IGN)

    @property
    def received(self) -> bool:
        """Whether the job was told to stop."""
        return self.last > -math.inf

    def _receive(self, number: int, frame: object) -> None:
        if not self.running:  # imports, of which some would make another error of it
            os._exit(INTERRUPTED)
        if time.monotonic() - self.last > SECONDS_TO_END:
            self.last = time.monotonic()
            raise KeyboardInterrupt


interrupts = Interrupts()
if Path(sys.argv[0]).resolve().parent.name == "jobs":  # this process is a job, whose slow imports are still to come
    interrupts.listen()


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

    def add_options(self, config: "type[BaseModel]", *names: str, group: str | None = None) -> None:
        """Add an option for each field of a config that has a description, or only for those in `names`.

        Values stay text as the user typed it, and options that are not given leave no attribute: see `given`.
        """
        target = self.add_argument_group(group) if group else self
        for name, field in config.model_fields.items():
            if field.description and (not names or name in names):
                kind = str(field.annotation)
                options: dict[str, Any] = {"nargs": "+"} if kind.startswith(("tuple[", "dict[")) else {}
                if kind.startswith("dict["):
                    options["action"] = "extend"  # given again, it adds to what was given
                option = "--" + name.replace("_", "-")
                target.add_argument(option, default=argparse.SUPPRESS, help=field.description, **options)

    def add_study(self, request: "type[BaseModel]", config: "type[BaseModel]") -> None:
        """Add the options of a study's job: those of its config, and of what it requests of a cluster."""
        self.add_storage_options()
        self.add_options(request, "num_workers", "gpus_per_worker", "start_timeout")
        self.add_options(config, group="the study")

    @staticmethod
    def given(args: argparse.Namespace, config: "type[BaseModel]") -> dict[str, Any]:
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
    r"""Run a job and exit with its status.

    Bad input prints one line and exits with 2. A failed run or a system error prints its reason and exits with
    `failed`. An interrupt exits with 130, whatever it became on its way. Any other error is our bug: it prints a
    traceback and exits with `failed`. What the terminal's encoding does not have is printed as an escape, as \u03b7.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    interrupts.running = True
    try:
        try:
            status = job()
        except (Exception, KeyboardInterrupt) as error:
            status = _say(error, failed)
        interrupts.end()
    except KeyboardInterrupt:
        status = INTERRUPTED
        interrupts.end()
    sys.exit(INTERRUPTED if interrupts.received else status)


def _say(error: BaseException, failed: int) -> int:
    """Print why a job ended and return its status."""
    if isinstance(error, KeyboardInterrupt) or interrupts.received:
        return INTERRUPTED
    if isinstance(error, UserError):
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    if isinstance(error, RunFailedError | OSError):
        print(f"error: {error}", file=sys.stderr)
    else:
        traceback.print_exception(error)
    return failed
