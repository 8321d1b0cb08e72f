"""What keeps Ray from a cluster or from its folders, in words: addresses and permissions. Does not use Ray."""

import re
import socket
from pathlib import Path

from pipeline import UserError

FORMS = "give HOST:PORT as `ray start --head` prints it, such as 10.0.0.5:6379, or auto for a cluster of this machine"


def check_address(address: str) -> None:
    """Check that something answers at an address that has a port; Ray itself would retry for 15 minutes.

    Raises:
        UserError: the address has another form, or nothing answers.

    """
    if address in ("auto", "local"):
        return
    parts = re.fullmatch(r"\[?([^\s/]+?)\]?:(\d+)", address)
    if parts is None:
        raise UserError(f"RAY_ADDRESS {address} is no address of a cluster here: {FORMS}")
    try:
        socket.create_connection((parts[1], int(parts[2])), timeout=10).close()
    except (OSError, OverflowError) as error:  # no such name, nobody there, no such port
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"RAY_ADDRESS {address} cannot be reached ({reason}): {FORMS}") from error


def cannot_start(error: OSError) -> UserError:
    """Return what to do where Ray has no permission, or no room, for its own files."""
    home = Path.home()  # has Ray's token, in ~/.ray
    in_home = error.filename is not None and Path(error.filename).is_relative_to(home)
    variable = "HOME to a folder" if in_home else "RAY_TMPDIR to a short path"
    return UserError.because(f"Ray cannot start, set {variable} of your own", error)
