"""
The output: lines on their way to a file, or to the standard output, and what happens where that takes them no longer.

Lines wait then, and whoever makes them is told that there are `full` many, so that servers can be held back. Nothing is lost by that. What
comes all the same, which can be no stream's content, is kept up to a limit, and then dropped and counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from twisted_gun.gunclient.files import Destination, gone

__all__ = ["Output", "OutputCounts"]

#: Bytes that wait: with so many it is full, with half as many no longer, and more than the last are not kept.
_FULL = 256 * 1024
_MOST = 64 * 2**20
#: Seconds between two attempts to write to what has failed.
_AGAIN = 1.0


@dataclass(slots=True)
class OutputCounts:
    """What has become of lines so far."""

    lines: int = 0
    bytes: int = 0
    dropped: int = 0
    errors: int = 0
    reopened: int = 0


class Output:
    """
    Takes whole lines for what `open_destination` opens.

    `changed` is called where it becomes `full`, or no longer; `closed` where its reader has gone, after which all is dropped.
    `dropped_line` makes the line that tells how many others were dropped.
    """

    def __init__(
        self,
        reactor: Any,
        open_destination: Callable[[Callable[[OSError], object]], Destination],
        *,
        changed: Callable[[], object],
        closed: Callable[[], object],
        dropped_line: Callable[[int], bytes],
        most: int = _MOST,
    ) -> None:
        self.counts = OutputCounts()
        #: Whether whoever makes lines should make no more for now.
        self.full = False
        #: Why it takes nothing just now; None where it does.
        self.failure: OSError | None = None
        self.waiting = 0  # bytes
        #: How many lines were taken to be written; `counts.lines` of them were.
        self.taken = 0
        self._reactor = reactor
        self._changed, self._closed, self._dropped_line = changed, closed, dropped_line
        self._most = most
        self._lines: deque[bytes] = deque()
        self._at = 0  # how much of the first of them was taken
        self._untold = 0  # lines that were dropped since that was told
        self._retry: Any = None
        self._waits = False  # for the destination
        self._closing: list[Deferred[None]] = []  # who waits for the end
        self._deadline: Any = None
        self._destination: Destination | None = open_destination(self._lost)

    def write(self, line: bytes) -> None:
        """Write `line`, now or when that is possible."""
        if self._destination is None or self.waiting + len(line) > self._most:
            self.counts.dropped += 1
            self._untold += 1
            return
        self._add(line)
        self._flush()

    def reopen(self) -> None:
        """Begin a new file, where the old one was moved away; a line is whole in one of them."""
        if self._destination is None:
            return
        try:
            # A line of which a part was written waits for a file that takes no more: the new one gets all of it.
            if not self._destination.reopen(self._at):
                return
        except OSError as error:
            self.counts.errors += 1
            _log.error("the output cannot be opened again ({reason}), and goes on as it was", reason=error.strerror or error)
            return
        self.counts.reopened += 1
        self.waiting += self._at
        self._at, self.failure = 0, None
        self._try_again()

    def close(self, timeout: float) -> Deferred[None]:
        """Write what waits, for at most `timeout` seconds, and write no more; no half of a line is left behind in a file."""
        if self._destination is None:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        self._closing.append(ended)
        if self._deadline is None:
            self._deadline = self._reactor.callLater(timeout, self._end)
        self._try_again()
        return ended

    @property
    def closing(self) -> bool:
        """Whether it writes only what still waits."""
        return bool(self._closing)

    def abandon(self) -> None:
        """Write no more, whatever waits."""
        self._end()

    # Writing.

    def _add(self, line: bytes) -> None:
        self._lines.append(line)
        self.waiting += len(line)
        self.taken += 1

    def _flush(self) -> None:
        while self._lines and self._destination is not None and not self._waits and self._retry is None:
            line = self._lines[0]
            try:
                taken = self._destination.write(memoryview(line)[self._at :], self._at)
            except OSError as error:
                self._failed(error)
                return
            if taken:
                self._took(taken, line)
            else:
                self._waits = self._destination.when_ready(self._ready)
        self._weigh()
        if self._closing and not self._lines:
            self._end()

    def _took(self, taken: int, line: bytes) -> None:
        self.failure = None
        self.waiting -= taken
        self._at += taken
        self.counts.bytes += taken
        if self._at < len(line):
            return
        self._lines.popleft()
        self._at = 0
        self.counts.lines += 1
        if self._untold and not self._lines:
            untold, self._untold = self._untold, 0
            self._add(self._dropped_line(untold))

    def _ready(self) -> None:
        self._waits = False
        self._flush()

    # What goes wrong.

    def _failed(self, error: OSError) -> None:
        self.counts.errors += 1
        if gone(error):
            self._lost(error)
            return
        if self.failure is None:
            _log.error("the output takes nothing ({reason}); it is tried again every second", reason=error.strerror)
        self.failure = error
        self._retry = self._reactor.callLater(_AGAIN, self._try_again)
        self._weigh()

    def _try_again(self) -> None:
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        self._retry = None
        self._flush()

    def _lost(self, error: OSError) -> None:
        """Nobody reads any more."""
        if self._destination is None:
            return
        self.failure = error
        _log.error("nobody reads the output any more: {reason}", reason=error.strerror)
        self._end()
        self._closed()

    def _weigh(self) -> None:
        before = self.full
        full = self.failure is not None or self.waiting >= (_FULL // 2 if before else _FULL)
        self.full = full and self._destination is not None
        if self.full is not before:
            self._changed()

    def _end(self) -> None:
        """Write no more; whole lines that wait are dropped, and of a half nothing is left."""
        destination, self._destination = self._destination, None
        if destination is None:
            return
        for timer in (self._retry, self._deadline):
            if timer is not None and timer.active():
                timer.cancel()
        self._retry = None
        if self._lines:
            self.counts.dropped += len(self._lines)
            _log.error("{count} lines of output were not written", count=len(self._lines))
        destination.close(self._at)
        self._lines.clear()
        self.waiting = self._at = 0
        self._weigh()
        for ended in self._closing:
            ended.callback(None)


_log = Logger()
