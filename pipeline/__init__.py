"""DDIM as a distributed generation and evaluation pipeline."""

import textwrap


class UserError(ValueError):
    """An error that the user can fix. Jobs print it as one line and exit with status 2."""

    @classmethod
    def because(cls, text: str, cause: BaseException) -> "UserError":
        """Return an error of `text`, then the type and message of `cause` on one line of at most 300 characters."""
        return cls(f"{text}: {textwrap.shorten(f'{type(cause).__name__}: {cause}', 300, placeholder=' …')}")


class RunFailedError(Exception):
    """A failure outside our code while a job runs. Jobs print it and exit with status 1 (jobs/nightly.py: 3)."""
