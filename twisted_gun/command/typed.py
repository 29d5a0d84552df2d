"""
The standard input, line by line, be it a terminal, a pipe or a file.

It is read in a thread. Twisted's `twisted.internet.stdio` would make the descriptor non-blocking, which then it is for whoever else has it,
with a terminal the shell, and our own output; and files are nothing that epoll can wait for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from twisted_gun.exits import Unreadable

__all__ = ["TypedLines"]

_READ_SIZE = 64 * 1024


@implementer(IPushProducer)
class TypedLines:
    """
    Calls `line` with each line of the file `descriptor`, without its end, then `end` with None, or with why no more can be read.

    It is a producer: while it is paused no more than one piece of 64 KiB is read.
    """

    def __init__(self, reactor: Any, descriptor: int, line: Callable[[bytes], object], end: Callable[[Unreadable | None], object]) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._line = line
        self._end = end
        self._begun = b""  # a line whose end has not come
        self._paused = self._stopped = False
        self._wanted = Event()

    def start(self) -> None:
        """Begin to read."""
        # A daemon, for nothing can wake it where it waits for somebody to type.
        Thread(target=self._read, name="standard input", daemon=True).start()
        self.resumeProducing()

    def pauseProducing(self) -> None:
        """Read no more for now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Read again."""
        self._paused = False
        self._wanted.set()

    def stopProducing(self) -> None:
        """Tell nothing more."""
        self._stopped = True
        self._wanted.set()

    # In the thread.

    def _read(self) -> None:
        more = True
        while more:
            self._wanted.wait()
            self._wanted.clear()
            if self._stopped:
                return
            try:
                data, failure = os.read(self._descriptor, _READ_SIZE), None
            except OSError as error:  # a terminal that was hung up, say
                data, failure = b"", Unreadable(f"cannot read the standard input: {error.strerror or error}")
            more = bool(data)
            self._reactor.callFromThread(self._arrived, data, failure)

    # In the reactor's.

    def _arrived(self, data: bytes, failure: Unreadable | None) -> None:
        *lines, self._begun = (self._begun + data).split(b"\n")
        if not data and self._begun:
            lines.append(self._begun)
        for line in lines:
            if not self._stopped:
                self._line(line)
        if self._stopped:
            return
        if not data:
            self._end(failure)
        elif not self._paused:
            self._wanted.set()
