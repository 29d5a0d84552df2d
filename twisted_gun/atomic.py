"""Files that are there whole, or as they were before."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress

__all__ = ["write_atomically"]


def write_atomically(path: str, data: bytes) -> None:
    """
    Write `data` to the file at `path`, all of it or nothing, for the owner's eyes only; raises OSError.

    A link at `path` is replaced, not followed.
    """
    folder = os.path.dirname(path) or os.curdir
    # Mode 0600 from the start, and a name that nobody knows beforehand.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)[:40]}-", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """So that the new name outlives a crash of the machine; not every file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
