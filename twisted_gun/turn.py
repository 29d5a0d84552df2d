"""
The end of a turn of a connection, for all its streams: only then, when all is told and all state is settled, is anybody woken.

It knows neither hops nor what was told.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from twisted.internet.defer import Deferred

from twisted_gun.errors import GunError

if TYPE_CHECKING:
    from twisted_gun.stream import Stream

__all__ = ["Turn"]


class Turn:
    """Whom to wake, and who has mail that nobody has read."""

    def __init__(self) -> None:
        #: Deferreds to fire at the end of the turn, each with its result.
        self.woken: deque[tuple[Deferred[Any], Any]] = deque()
        #: Streams that ended in this turn, with events that those who are woken may still read.
        self.kept: list[Stream] = []
        #: Streams that ended before, with events that nobody has read.
        self.unread: WeakSet[Stream] = WeakSet()
        self._waking = False

    def over(self) -> bool:
        """Fire the Deferreds whose result has come; whether there were any."""
        woken = self.woken
        if self._waking or not (woken or self.kept):
            return False
        self._waking = True
        fired = bool(woken)
        while woken:
            deferred, result = woken.popleft()
            if deferred.called:  # a ping's, cancelled by what was woken before it
                continue
            if isinstance(result, GunError):
                deferred.errback(result)
            else:
                deferred.callback(result)
        if self.kept:
            self.unread.update(stream for stream in self.kept if stream._events)
            self.kept.clear()
        self._waking = False
        return fired
