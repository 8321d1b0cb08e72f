"""DDIM as a distributed generation and evaluation pipeline."""


class UserError(ValueError):
    """Something that the user can mend: jobs print it as one line and exit with status 2."""


class RunFailedError(Exception):
    """Something that went wrong outside our code while a job ran: it is printed and the exit status is 1."""
