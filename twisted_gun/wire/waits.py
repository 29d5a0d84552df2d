"""How long the peer may be silent about each stream of a connection."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from twisted_gun.options import Http2Options
from twisted_gun.wire.states import State, StreamState

__all__ = ["Waits", "waits"]


class Waits:
    """
    When which stream has waited for too long: `response` seconds for its response, or `idle` seconds for more content of it.

    All of one kind wait equally long, so the first of them is the next that is due.
    """

    __slots__ = ("_due", "_limits")

    def __init__(self, response: float | None, idle: float | None) -> None:
        self._limits = {"response": response, "idle": idle}
        self._due: dict[str, dict[StreamState, float]] = {"response": {}, "idle": {}}

    def begin(self, stream: StreamState, now: float) -> None:
        """Wait for what is to come next of `stream`, if anything is awaited of the peer."""
        self.end(stream)
        stage = "idle" if stream.responded else "response"
        limit = self._limits[stage]
        asked = stream.responded or not stream.sending or stream.protocol is not None
        waiting = asked and stream.state is not State.CLOSED and not stream.withheld and not stream.tunnel
        if limit is not None and waiting:
            self._due[stage][stream] = now + limit

    def end(self, stream: StreamState) -> None:
        """Nothing more is awaited of `stream`."""
        for due in self._due.values():
            due.pop(stream, None)

    def next(self) -> Iterator[float]:
        """When the next stream of each kind is due."""
        return (next(iter(due.values())) for due in self._due.values() if due)

    def expired(self, now: float) -> list[tuple[StreamState, str, float]]:
        """The streams that are due at `now`, what each has waited for, and how many seconds."""
        return [
            (stream, stage, limit)
            for stage, limit in self._limits.items()
            if limit is not None
            for stream, _ in takewhile(lambda item: item[1] <= now, self._due[stage].items())
        ]


def waits(options: Http2Options) -> Waits | None:
    """What `options` bound of a stream's silence; None where that is nothing."""
    if options.response_timeout is None and options.idle_timeout is None:
        return None
    return Waits(options.response_timeout, options.idle_timeout)
