"""Pings of a connection that are under way: who waits for each, and who is told."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred

from twisted_gun.errors import GunError, StreamClosed

__all__ = ["Ping", "Pings"]


@dataclass(frozen=True, slots=True, eq=False)
class Ping:
    """A ping that is under way, and who is told of its answer."""

    deferred: Deferred[float]
    receiver: Any


class Pings:
    """Those that are not answered yet; a Deferred whose result has come goes to `woken`, to be fired at the end of the turn."""

    def __init__(self, woken: deque[tuple[Deferred[Any], Any]]) -> None:
        self._woken = woken
        self._waiting: dict[Ping, None] = {}

    def make(self, receiver: Any) -> Ping:
        """A ping whose answer `receiver` is told of, if it is not None; `sent` says that it is under way."""
        ping = Ping(Deferred(lambda _: self._waiting.pop(ping, None)), receiver)
        return ping

    def sent(self, ping: Ping) -> None:
        """`ping` is under way."""
        self._waiting[ping] = None

    def answered(self, ping: Ping, seconds: float) -> None:
        """The answer to `ping` took so many `seconds`."""
        if self._waiting.pop(ping, self) is None:
            self._woken.append((ping.deferred, seconds))

    def fail(self, reason: GunError | None) -> None:
        """The connection has ended, and no answer comes any more."""
        waiting, self._waiting = self._waiting, {}
        text = f"the connection ended before the ping was answered: {reason or 'it was closed'}"
        self._woken.extend((ping.deferred, StreamClosed(text)) for ping in waiting)
