"""
One connection to an origin: whether it is up, has room, and is used.

What is asked of it, and what takes its place, is for whoever keeps it among others (`Keeper`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from typing import Protocol as Interface

from twisted_gun.connection import Connection
from twisted_gun.errors import GunError
from twisted_gun.events import Up
from twisted_gun.origins.asked import Asked
from twisted_gun.pool.checkouts import Verb
from twisted_gun.receivers import Receiver
from twisted_gun.stream import Stream

__all__ = ["Keeper", "Line"]


class Keeper(Interface):
    """Who keeps it; what tells of it may be called in the midst of anything, and is not acted upon at once."""

    def dial(self, line: Line) -> Connection:
        """A new connection, whose owner is `line`; raises as `twisted_gun.open` does."""

    def room(self) -> None:
        """There may be room where there was none."""

    def line_up(self, line: Line, protocol: str) -> None:
        """`line` is up."""

    def line_idle(self, line: Line) -> None:
        """The last of the streams of `line` has ended."""

    def line_over(self, line: Line, reason: GunError | None) -> None:
        """`line` has ended by `reason`."""

    def was_idle(self, line: Line) -> bool:
        """Whether `line` had been left without requests, until now."""

    def asked(self, line: Line, kept: bool) -> None:
        """`line` was asked for something; `kept` says whether it was there from before."""


class Line(Receiver):
    """One connection."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._connection: Connection | None = None
        #: Whether it is up, or was.
        self.up = False
        #: Whether it was asked for anything.
        self.asked = False
        #: Whether nothing is asked of it any more, by our own choice.
        self.left = False
        #: How many streams it was asked for that have not ended.
        self.streams = 0

    def open(self) -> None:
        """Open the connection; raises as `twisted_gun.open` does."""
        conn = self._keeper.dial(self)
        self._connection = conn
        conn._on_room = self._keeper.room
        conn.when_terminated().addCallback(self._terminated)

    @property
    def _core(self) -> Any:
        """The core, as long as there is one that may be asked."""
        hop = None if self._connection is None else self._connection._route.end.hop
        return hop.core if hop is not None and hop.running and self.up and not self.left else None

    def has_room(self) -> bool:
        """
        Whether a request would be sent at once.

        The first one over HTTP/2 need not wait for the server's SETTINGS: hardly any allows none.
        """
        core = self._core
        return core is not None and (core.free or (core.name == "http2" and core.accepting and not (core.full or self.streams)))

    @property
    def coming(self) -> bool:
        """Whether it is on its way up, or up, and what the server allows is not known yet."""
        core = self._core
        if core is None:
            return not self.up
        return bool(core.name == "http2" and core.accepting and not core.free and not core.full)

    @property
    def counts(self) -> bool:
        """
        Whether another one would be one more: not where this one is being closed, or its server goes away.

        Nor where it is kept busy by an answer that nobody takes: whoever has that may need another answer first, as when redirects are
        followed, so that what waits must not wait for it.
        """
        core = self._core
        if core is None:
            return not self.up
        if core.name != "http":
            return bool(core.accepting or core.full)
        assert self._connection is not None
        return not any(stream._stalled for stream in self._connection._route.end._live)

    def ask(self, verb: Verb, arguments: Sequence[Any], options: Mapping[str, Any]) -> Stream:
        """Make a request; raises as the verb does."""
        asked: Asked = options["reply_to"]
        asked.kept = self._core.served or self._keeper.was_idle(self)
        stream = verb(self._connection, *arguments, **options)
        self.asked = True
        self.streams += 1
        self._keeper.asked(self, asked.kept)
        if stream.ended:  # by a producer that failed at once
            self._stream_ended()
        else:
            stream._on_end = self._stream_ended
        return stream

    def leave(self) -> None:
        """Ask nothing of it any more; what is under way finishes."""
        self.left = True
        if self._connection is not None:
            self._connection.shutdown()

    # From its connection, and its streams.

    def gun_up(self, event: Up) -> None:
        self._connection = event.connection  # which an endpoint that connects at once has not given to `open` yet
        self.up = True
        self._keeper.line_up(self, event.protocol)

    def _stream_ended(self) -> None:
        self.streams -= 1
        if self.streams == 0:
            self._keeper.line_idle(self)
        self._keeper.room()

    def _terminated(self, reason: GunError | None) -> None:
        conn, self._connection = self._connection, None  # which know each other: neither should need the garbage collector
        if conn is not None:
            conn._on_room = None
        if not self.left:
            self._keeper.line_over(self, reason)
