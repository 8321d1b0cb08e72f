"""DDIM as a distributed generation and evaluation pipeline."""

import textwrap


class UserError(ValueError):
    """Something that the user can mend: jobs print it as one line and exit with status 2."""

    @classmethod
    def because(cls, text: str, cause: BaseException) -> "UserError":
        """Return `text` with the kind and the words of a library's error, which may have many lines, or none."""
        return cls(f"{text}: {textwrap.shorten(f'{type(cause).__name__}: {cause}', 300, placeholder=' …')}")


class RunFailedError(Exception):
    """Something that went wrong outside our code while a job ran: it is printed and the exit status is 1."""
