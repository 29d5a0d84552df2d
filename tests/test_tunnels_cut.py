"""Bytes come cut anywhere: whole conversations through tunnels, delivered byte by byte, each way."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.stage import CHUNKED
from tests.tunnels import TunnelCase, spread
from twisted_gun.testing import MemoryGun, ScriptedPeer

#: What an HTTP/1 origin answers to two requests.
CONVERSATION = CHUNKED + b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes"


class ByteByByteTests(TunnelCase):
    """Every connection on the way gives one byte at a time, and no proxy sends more in one piece, frame or record."""

    ways = ("Http", "Https", "Http2", "Socks", "HttpInHttp2", "Http2InHttp", "Http2InHttp2", "SocksInHttp2", "HttpInSocks")
    origins = ("h2c", "raw", "http")

    def test_conversation(self) -> None:
        """All that is asked is answered, as if it had come whole."""
        way = self.way(chunk=1, credentials=("ann", "sesame"))
        top = way.connect()
        if self.spoken == "raw":
            raw = top if isinstance(top, gun.Tunnel) else top.raw
            raw.data(b"there and back again")
            way.pump()
            got = b""
            while raw._events:
                event: Any = self.successResultOf(raw.await_event())
                got += getattr(event, "data", b"")
            self.assertEqual(got, b"there and back again")
        else:
            bodies = [top.get("/one").await_body(), top.post("/two", (), b"content").await_body()]
            way.pump()
            self.assertEqual([self.successResultOf(body) for body in bodies], [b"/one", b"/two"])
            self.assertEqual(way.peer.requests[1].body, b"content")
        self.assertEqual({tunnel.user for factory in way.factories for tunnel in factory.tunnels}, {"ann"})
        self.end(way)

    def test_refusal(self) -> None:
        """So is a refusal."""
        way = self.way(chunk=1)
        socks = self.proxies[-1].startswith("socks")
        way.factories[-1].refuse = 5 if socks else 403
        top = way.ask()
        if not way.tunnels:  # SOCKS for the connection itself, which would be tried again
            way.connection.close()
            return
        up = top.await_up()
        way.pump()
        error = self.failureResultOf(up, gun.ProxyFailed).value
        self.assertEqual((error.status, error.error), (None, "connection_refused") if socks else (403, None))
        self.end(way)


class TwoPiecesTests(TunnelCase):
    """A conversation with proxy and origin over HTTP/1.1, cut in two at each byte."""

    ways = ()

    def play(self, pieces: list[bytes]) -> None:
        """CONNECT, two requests that follow at once, and all that comes in answer, in these pieces."""
        world = MemoryGun(peer=ScriptedPeer)
        tunnel = world.connection.connect({"host": "origin.example", "port": 80})
        one, two = tunnel.get("/1"), tunnel.get("/2")
        world.pump()
        world.peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        world.pump()
        bodies = one.await_body(), two.await_body()
        for piece in pieces:
            world.peer.send(piece)
            world.pump()
        self.assertEqual([self.successResultOf(body) for body in bodies], [b"wikipedia", b"yes"], pieces)
        self.assertEqual(one.trailers, ((b"x-sum", b"1"),))
        world.connection.close()
        world.pump()
        self.assert_nothing_left(world)

    def test_every_cut(self) -> None:
        """What is told is the same wherever it is cut."""
        for cut in range(len(CONVERSATION) + 1):
            self.play([CONVERSATION[:cut], CONVERSATION[cut:]])


globals().update(spread(__name__))
