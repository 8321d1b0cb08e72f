"""A store that opens for who has its options alone: a folder of this disk behind a protocol of its own."""

import fsspec
from fsspec.implementations.local import LocalFileSystem

OPTIONS = {"key": "of the store"}


class Locked(LocalFileSystem):
    """Refuses to be opened without the options."""

    protocol = "locked"

    def __init__(self, key=None, **others):
        super().__init__(**others)
        if {"key": key} != OPTIONS:
            raise PermissionError("PermissionError: it is locked")

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("locked://"))


fsspec.register_implementation("locked", Locked, clobber=True)
