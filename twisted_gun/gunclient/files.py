"""
Where lines are written to, and what each can do: a file, which can begin anew, or the standard output.

A line is given in one piece, and again from where it was left where only a part of it was taken. Neither knows what a line is about, nor
what waits; that is in `output.py`.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from twisted.internet.interfaces import IWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["Destination", "LineFile", "StandardOutput", "gone"]


class Destination(Protocol):
    """Takes bytes: `write` as many as it can, 0 where it has to wait, and `when_ready` calls once that is over."""

    def write(self, data: memoryview, at: int) -> int:
        """How much of `data` was taken, which stands in its line `at` so many bytes; raises OSError."""

    def when_ready(self, call: Callable[[], object]) -> bool:
        """Call `call` when more can be taken; false where nobody knows when that is."""

    def reopen(self, begun: int) -> bool:
        """
        Begin anew, as where a file was moved away, and say whether that was done; raises OSError, and then goes on as before.

        The line of which so many bytes were `begun` is written again as a whole.
        """

    def close(self, begun: int) -> None:
        """Write no more; so many bytes of a line were `begun` whose rest does not come."""


def gone(error: OSError) -> bool:
    """Whether whoever reads the output has gone for good."""
    return error.errno in (errno.EPIPE, errno.ECONNRESET, errno.EBADF)


class LineFile:
    """
    The file at `path`, which is only ever added to.

    When it would have more than `most` bytes it is begun anew; it is called ``path.1`` from then on, what was called so ``path.2``, and so
    on up to `keep`. No line is in two files.
    """

    def __init__(self, path: str, most: int | None, keep: int) -> None:
        self._path = path
        self._most = most
        self._keep = keep
        self._descriptor, self._size = _opened(path)
        self._overdue = 0  # what it had when it should have begun anew, and could not

    def write(self, data: memoryview, at: int) -> int:
        size = self._size - self._overdue
        if not at and self._most is not None and size and size + len(data) > self._most:
            self._rotate()
        taken = os.write(self._descriptor, data)
        self._size += taken
        return taken

    def when_ready(self, call: Callable[[], object]) -> bool:
        return False  # a disk that is full says nothing when it is no longer

    def reopen(self, begun: int) -> bool:
        descriptor, size = _opened(self._path)  # first of all, for where that fails the old one goes on
        self._cut(begun)
        os.close(self._descriptor)
        self._descriptor, self._size, self._overdue = descriptor, size, 0
        return True

    def close(self, begun: int) -> None:
        self._cut(begun)
        os.close(self._descriptor)

    def _cut(self, begun: int) -> None:
        """Take away the beginning of a line, unless somebody else has written behind it."""
        with suppress(OSError):
            if begun and os.fstat(self._descriptor).st_size == self._size:
                os.ftruncate(self._descriptor, self._size - begun)

    def _rotate(self) -> None:
        try:
            for number in range(self._keep - 1, 0, -1):
                with suppress(FileNotFoundError):
                    os.replace(f"{self._path}.{number}", f"{self._path}.{number + 1}")
            os.replace(self._path, f"{self._path}.1")
            self.reopen(0)
        except OSError:
            _log.failure("{path} cannot begin anew, and goes on", path=self._path)
            self._overdue = self._size  # not to try it again for every line


def _opened(path: str) -> tuple[int, int]:
    """The file, to be added to behind whole lines, and its size."""
    # To be read too, for its last byte: one who was killed may have left a half of a line.
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        size = os.fstat(descriptor).st_size if stat.S_ISREG(os.fstat(descriptor).st_mode) else 0
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            size += os.write(descriptor, b"\n")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, size


#: POSIX: a pipe that can be written to takes so much without waiting; and so many such pieces go out at a time.
_PIECE = 4096
_MOST_PIECES = 64


@implementer(IWriteDescriptor)
class StandardOutput:
    """
    The `descriptor` of the standard output, which is not made non-blocking, for others have it too.

    `lost` is called where its reader has gone.
    """

    def __init__(self, descriptor: int, reactor: Any, lost: Callable[[OSError], object]) -> None:
        self._descriptor = os.dup(descriptor)
        os.set_inheritable(self._descriptor, False)
        self._reactor = reactor
        self._lost = lost
        self._call: Callable[[], object] | None = None
        mode = os.fstat(self._descriptor).st_mode
        self._waits = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(self._descriptor)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLOUT)

    def write(self, data: memoryview, at: int) -> int:
        if not self._waits:
            return os.write(self._descriptor, data)
        taken = 0
        for _ in range(_MOST_PIECES):
            piece = data[taken : taken + _PIECE]
            if not piece or not self._poll.poll(0):
                break
            try:
                taken += os.write(self._descriptor, piece)
            except BlockingIOError:  # somebody else has made it non-blocking
                break
        return taken

    def when_ready(self, call: Callable[[], object]) -> bool:
        if self._waits:
            self._call = call
            self._reactor.addWriter(self)
        return self._waits

    def reopen(self, begun: int) -> bool:
        return False  # there is nothing else to open

    def close(self, begun: int) -> None:
        if self._call is not None:
            self._call = None
            self._reactor.removeWriter(self)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    # IWriteDescriptor.

    def fileno(self) -> int:
        """Its number."""
        return self._descriptor

    def doWrite(self) -> None:
        """It takes more."""
        call, self._call = self._call, None
        self._reactor.removeWriter(self)
        if call is not None:
            call()

    def connectionLost(self, reason: Failure) -> None:
        """Its reader has gone."""
        self._call = None
        self._lost(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))

    def logPrefix(self) -> str:
        """For the log."""
        return "gunclient"


_log = Logger()
