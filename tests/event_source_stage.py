"""What tests of `EventSource` share: servers in memory, by origin, that send event streams, and a clock."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.websocket.servers import MakePeer, Servers, raw
from twisted_gun.event_source import EventSource

__all__ = ["CHUNKED", "EVENTS", "EventSourceCase", "chunk", "stream"]

#: The head of an event stream that ends with its connection, and of one that need not.
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
CHUNKED = EVENTS[:-2] + b"transfer-encoding: chunked\r\n\r\n"


def stream(events: bytes = b"") -> MakePeer:
    """A server that answers by an event stream which begins with `events`, and does not end."""
    return raw(EVENTS + events)


def chunk(data: bytes) -> bytes:
    """`data` as a chunk; empty, it is the last."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class EventSourceCase(SynchronousTestCase):
    """A test of a source, by default of http://a.example/feed without any chance in its waits, that leaves nothing behind."""

    def setUp(self) -> None:
        self.servers = Servers()
        self.clock = self.servers.clock
        self.sources: list[EventSource] = []
        self.addCleanup(self.assert_nothing_left)

    def serve(self, *makers: MakePeer, host: str = "a.example", port: int = 80, **options: Any) -> Any:
        """Let connections be served so; their endpoint."""
        return self.servers.serve(host, port, *makers, **options)

    def source(self, url: str = "http://a.example/feed", **options: Any) -> EventSource:
        """A source, with all that follows from making it."""
        given = {"random": lambda: 0.0, "endpoint": self.servers.endpoint, **options}
        self.sources.append(EventSource(url, reactor=self.clock, **given))
        self.advance()
        return self.sources[-1]

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass, and all happen that follows."""
        self.servers.advance(seconds)

    @property
    def peer(self) -> Any:
        """The server of the latest connection."""
        return self.servers.peers[-1]

    def send(self, data: bytes) -> None:
        """Let the server of the latest connection send this."""
        self.peer.send(data)
        self.advance()

    def close(self) -> None:
        """Let it close the connection."""
        self.peer.close()
        self.advance()

    def next(self, source: EventSource) -> gun.SseEvent:
        """The next event, which is there."""
        return self.successResultOf(source.next_event())

    def read(self, source: EventSource) -> list[str | None]:
        """The data of all events that are there, of which the last is not awaited any more."""
        read: list[str | None] = []
        while True:
            waiting = source.next_event()
            if not waiting.called:
                waiting.cancel()
                self.failureResultOf(waiting)
                return read
            read.append(self.successResultOf(waiting).data)

    def failed(self, deferred: Deferred[Any], kind: type[BaseException]) -> Any:
        """What `deferred` has failed with."""
        return self.failureResultOf(deferred, kind).value

    def requests(self) -> list[dict[bytes, bytes]]:
        """The headers of each request, on whichever connection."""
        return [dict(request.headers) for peer in self.servers.peers for request in peer.requests]

    def identifiers(self) -> list[bytes | None]:
        """The Last-Event-ID of each request."""
        return [headers.get(b"last-event-id") for headers in self.requests()]

    def wait(self) -> float:
        """The seconds until what happens next."""
        (call,) = self.clock.getDelayedCalls()
        seconds: float = call.getTime() - self.clock.seconds()
        return seconds

    def assert_nothing_left(self) -> None:
        """Once they are closed, sources leave no delayed call and no open connection; and say so."""
        for source in self.sources:
            source.close()
        self.advance()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for endpoint in self.servers.endpoints.values():
            for link in endpoint.links:
                self.assertTrue(link.client.disconnected)
        for source in self.sources:
            self.successResultOf(source.when_closed())
