"""DDIM as a distributed generation and evaluation pipeline."""


class UserError(ValueError):
    """Something that the user can mend: jobs print it as one line and exit with status 2."""
