"""DDIM as a distributed generation and evaluation pipeline."""

import textwrap
from collections.abc import Mapping
from typing import Any


class UserError(ValueError):
    """An error that the user can fix. Jobs print it as one line and exit with status 2."""

    @classmethod
    def because(cls, text: str, cause: BaseException) -> "UserError":
        """Return an error of `text`, then the type and message of `cause` on one line of at most 300 characters."""
        return cls(f"{text}: {textwrap.shorten(f'{type(cause).__name__}: {cause}', 300, placeholder=' …')}")

    @classmethod
    def of_option(cls, problem: Mapping[str, Any], where: str = "") -> "UserError":
        """Return pydantic's description of one problem as a line about the option that has the field's name."""
        option = "--" + str(problem["loc"][0]).replace("_", "-")
        return cls(f"{option}{where}: {cls.plain(problem['msg'])} (got {problem['input']!r})")

    @staticmethod
    def plain(message: str) -> str:
        """Return a message of pydantic as the rest of a sentence."""
        message = message.removeprefix("Value error, ")
        return message[0].lower() + message[1:]


class RunFailedError(Exception):
    """A failure outside our code while a job runs. Jobs print it and exit with status 1 (jobs/nightly.py: 3)."""
