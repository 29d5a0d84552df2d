"""What counts a body that an agent delivers: Twisted's and ours deliver it in the same way."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone

from benchmarks.scenarios import Download

__all__ = ["Counting"]


class Counting(Protocol):
    """Counts a body, then tells `done`."""

    def __init__(self, done: Deferred[Download]) -> None:
        self._done = done
        self._download = Download()

    def dataReceived(self, data: bytes) -> None:
        self._download.add(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reason.check(ResponseDone):
            self._done.callback(self._download)
        else:
            self._done.errback(reason)
