"""`twisted_gun.testing.MemoryServers`: what opens its own connections is served in memory."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.error import DNSLookupError
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from twisted_gun.testing import Http2Peer, MemoryServers, ScriptedPeer, WebsocketPeer

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


def saying(body: bytes) -> Any:
    """Makes servers that answer one request by these two bytes."""
    return partial(ScriptedPeer, [("expect", b"\r\n\r\n"), ("send", OK + body)])


class MemoryServersTests(SynchronousTestCase):
    """`MemoryServers`."""

    def setUp(self) -> None:
        self.servers = MemoryServers()

    def body(self, conn: gun.Connection) -> bytes:
        """What is got on it."""
        body = conn.get("/").await_body()
        self.servers.pump()
        return self.successResultOf(body)

    def test_by_name(self) -> None:
        """Each origin has its own server, whichever way it is opened; ports are those of the scheme."""
        self.servers.serve("a.example", 80, saying(b"a1"))
        self.servers.serve("a.example", 8080, saying(b"a2"))
        self.servers.serve("b.example", 80, saying(b"b1"))
        self.assertEqual(self.body(self.servers.open("a.example", 80)), b"a1")
        self.assertEqual(self.body(self.servers.open_url("http://a.example:8080/x")), b"a2")
        self.assertEqual(self.body(self.servers.open_url("http://b.example/")), b"b1")
        self.assertEqual([peer.requests[0].target for peer in self.servers.peers], [b"/"] * 3)
        self.assertIs(self.servers.peer, self.servers.peers[-1])

    def test_one_after_the_other(self) -> None:
        """Peers serve one connection each, and the last all that come."""
        self.servers.serve("a.example", 80, saying(b"a1"), saying(b"a2"))
        self.assertEqual([self.body(self.servers.open("a.example", 80)) for _ in range(3)], [b"a1", b"a2", b"a2"])

    def test_served_anew(self) -> None:
        """What serves a host may change, and the endpoint is the same."""
        endpoint = self.servers.serve("a.example", 80, saying(b"a1"))
        self.assertIs(endpoint, self.servers.endpoint("a.example", 80))
        self.assertIs(endpoint, self.servers.serve("a.example", 80, saying(b"a2")))
        self.assertEqual(self.body(self.servers.open("a.example", 80)), b"a2")

    def test_nobody(self) -> None:
        """A host that nobody serves has no address, until somebody does; a server may refuse, as any endpoint."""
        for reason in (DNSLookupError, Refused):
            conn = self.servers.open("a.example", 80, retry=0)
            self.servers.pump()
            (failure,) = (self.successResultOf(conn.when_terminated()),)
            assert isinstance(failure, gun.ConnectFailed)
            self.assertIsInstance(failure.reason, reason)
            self.servers.serve("a.example", 80, ScriptedPeer).refuse()
        self.servers.serve("a.example", 80, saying(b"a1"))
        self.assertEqual(self.body(self.servers.open("a.example", 80)), b"a1")
        self.assertRaises(ValueError, self.servers.serve, "a.example", 80)

    def test_options(self) -> None:
        """Options are those of the package, and may take the place of what is given here."""
        self.servers.serve("a.example", 443, partial(Http2Peer, [("expect", b"GET /"), ("respond", 200, {}, b"h2")]))
        self.assertEqual(self.body(self.servers.open("a.example", 443, protocols=["http2"], transport="tcp")), b"h2")
        self.servers.serve("b.example", 80, saying(b"b1"))
        conn = self.servers.open("a.example", 80, endpoint=self.servers.endpoint("b.example", 80))
        self.assertEqual(self.body(conn), b"b1")

    def test_websocket(self) -> None:
        """A URL of ws leads to the same server as that of http."""
        self.servers.serve("a.example", 80, partial(WebsocketPeer, echo=True))
        stream = self.servers.open_url("ws://a.example/room").ws_upgrade("/room")
        self.servers.pump()
        self.successResultOf(stream.await_upgrade())
        stream.ws_send("hello")
        self.servers.pump()
        event: Any = self.successResultOf(stream.await_event())
        self.assertEqual(event.frame, gun.Text("hello"))

    def test_pools_and_sources(self) -> None:
        """A pool dials an endpoint, an event source any of them, also where a redirect leads."""
        self.servers.serve("a.example", 80, saying(b"a1"))
        pool = gun.Pool("a.example", 80, 2, reactor=self.servers.clock, endpoint=self.servers.endpoint("a.example", 80))
        self.servers.pump()
        body = self.successResultOf(pool.get("/")).await_body()
        self.servers.pump()
        self.assertEqual((self.successResultOf(body), len(self.servers.peers)), (b"a1", 2))
        moved = b"HTTP/1.1 302 Found\r\nlocation: http://b.example/feed\r\ncontent-length: 0\r\n\r\n"
        events = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: one\n\n"
        self.servers.serve("a.example", 80, partial(ScriptedPeer, [("expect", b"GET"), ("send", moved)]))
        self.servers.serve("b.example", 80, partial(ScriptedPeer, [("expect", b"GET /feed"), ("send", events)]))
        source = gun.EventSource("http://a.example/feed", reactor=self.servers.clock, endpoint=self.servers.endpoint)
        self.servers.pump()
        self.assertEqual(self.successResultOf(source.next_event()).data, "one")
        source.close()
        pool.close()
        self.servers.pump()
        self.assertEqual(self.servers.clock.getDelayedCalls(), [])
