"""
Where the commands write to: the standard output, or a file that is replaced when all is there.

Nothing is kept: each piece is written before the next is taken, so that whoever reads it holds the server back.
"""

from __future__ import annotations

import os
import stat
from io import FileIO
from typing import Any, BinaryIO, Protocol

from twisted_gun.exits import Unwritable

__all__ = ["Lines", "Sink", "Through", "sink_for"]


class Sink(Protocol):
    """Takes the answer; `discard` after `keep` does nothing."""

    def write(self, data: bytes) -> None: ...

    def keep(self) -> None: ...

    def discard(self) -> None: ...


def sink_for(path: str | None, stdout: BinaryIO) -> Sink:
    """Where the answer goes: to the file `path`, or to `stdout` where that is None or "-"; raises `Unwritable`."""
    if path is None or path == "-":
        return Through(stdout, "the standard output")
    try:
        # What is no file, such as a device or a named pipe, cannot be replaced by one.
        if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
            return _Opened(FileIO(path, "w"), path)
        return _Replaced(path)
    except OSError as error:
        raise Unwritable(path, error) from error


class Through:
    """Writes to a stream at once; `name` is for messages."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        self._name = name

    def write(self, data: bytes) -> None:
        """Write `data`; raises `Unwritable`, and `BrokenPipeError` where nobody reads any more."""
        view = memoryview(data)
        try:
            while view:  # a file without a buffer may take less
                view = view[self._stream.write(view) :]
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Unwritable(self._name, error) from error

    def keep(self) -> None:
        """It is written already."""

    def discard(self) -> None:
        """What is written stays."""


class _Opened(Through):
    """Writes to what was opened for it alone, and closes that."""

    def keep(self) -> None:
        try:
            self._stream.close()
        except OSError as error:
            raise Unwritable(self._name, error) from error

    def discard(self) -> None:
        self._stream.close()


class _Replaced(_Opened):
    """
    Writes beside the file, which is replaced when all is there: under its name there is never a part of an answer.

    The part is called as the file, with this process's number and ``.part`` behind it.
    """

    def __init__(self, path: str) -> None:
        # Through a symbolic link the file is replaced, not the link.
        self._path = os.path.realpath(path)
        self._part = f"{self._path}.{os.getpid()}.part"
        super().__init__(FileIO(self._part, "x"), path)

    def keep(self) -> None:
        super().keep()
        try:
            os.replace(self._part, self._path)
        except OSError as error:
            raise Unwritable(self._name, error) from error

    def discard(self) -> None:
        super().discard()
        if os.path.exists(self._part):
            os.unlink(self._part)


class Lines(Through):
    """
    Writes text, line by line.

    On a terminal control characters are shown as escapes, for they may come from a server, and `mark` stands before each line.
    """

    def __init__(self, stdout: BinaryIO, mark: str = "") -> None:
        super().__init__(stdout, "the standard output")
        self._live = stdout.isatty()
        self._mark = mark

    def line(self, text: str) -> None:
        """Write `text` and end the line."""
        if self._live:
            text = self._mark + "".join(letter if letter.isprintable() or letter in "\t\n" else _escaped(letter) for letter in text)
        self.write(text.encode("utf-8", "backslashreplace") + b"\n")


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
