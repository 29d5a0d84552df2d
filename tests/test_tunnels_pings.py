"""Signs of life in tunnels: pings, and keepalive, which Gun has in none (gun.md 6.7)."""

from __future__ import annotations

from typing import Any

import twisted_gun as gun
from tests.tunnels import AnsweringHttp2, TunnelCase, Way, spread
from twisted_gun.testing import RecordingReceiver, ScriptedPeer
from twisted_gun.wire.frames import ErrorCode

KEEPALIVE = bytes(8)


def deaf() -> AnsweringHttp2:
    """An origin that answers requests, but no pings."""
    return AnsweringHttp2(acknowledge=False)


class PingTests(TunnelCase):
    """`ping`."""

    origin = "h2c"
    origins = ("h2", "h2c")
    ways = ("Http", "Http2", "Socks", "HttpInHttp2", "Http2InHttp", "SocksInHttp2", "Http2InHttp2")

    def test_inside(self) -> None:
        """It asks the origin, through the tunnel."""
        way, top, told = self.told()
        ping = top.ping()
        way.pump()
        self.assertEqual(self.successResultOf(ping), 0.0)
        self.assertEqual(len(way.peer.pings), 1)
        (notify,) = told.of(gun.Notify)
        self.assertEqual((notify.type, notify.info), ("ping_ack", 0.0))
        self.end(way)

    def test_option(self) -> None:
        """So does that of the connection, with the option `tunnel`; without, it asks whom the connection itself leads to now."""
        way, _ = self.up()
        for options in ({"tunnel": way.tunnels[-1]} if way.tunnels else {}, {}):
            ping = way.connection.ping(**options)
            way.pump()
            self.successResultOf(ping)
        self.assertEqual(len(way.peer.pings), 2 if self.whole else 1)
        self.end(way)

    def test_round_trip(self) -> None:
        """It tells how long the answer took."""
        way, top = self.up(peer=deaf)
        told = RecordingReceiver()
        ping = top.ping(reply_to=told)
        way.advance(1.5)
        way.peer.pong(way.peer.pings[0])
        way.pump()
        self.assertEqual(self.successResultOf(ping), 1.5)
        self.assertEqual(told.of(gun.Notify)[0].info, 1.5)
        self.end(way)

    def test_not_up(self) -> None:
        """While the tunnel is not up there is nobody to ask."""
        way = self.way()
        top = way.ask()
        error = self.assertRaises(gun.BadState, top.ping)
        self.assertIn("nobody to ping", str(error))
        way.pump()
        self.successResultOf(self.pinged(way, top))
        self.end(way)

    def pinged(self, way: Way, top: Any) -> Any:
        ping = top.ping()
        way.pump()
        return ping

    def test_unanswered(self) -> None:
        """It fails when the tunnel ends first, however that comes."""
        for how in ("close", "peer", "proxy", "tunnel"):
            way, top = self.up(peer=deaf)
            ping = self.pinged(way, top)
            self.assertNoResult(ping)
            if how == "close":
                way.connection.close()
            elif how == "peer":
                way.peer.abort()
            elif how == "proxy":
                way.factories[0].connections[0].abort()
            else:
                (top if way.tunnels else way.connection.close)() if not way.tunnels else top.cancel()
            way.pump()
            self.failureResultOf(ping, gun.StreamClosed)
            self.end(way)


class NoPingTests(TunnelCase):
    """HTTP/1.1 has no ping, in a tunnel either."""

    ways = ("Http", "Http2", "Socks")
    origins = ("https", "http")

    def test_ping(self) -> None:
        """BadState, and nothing is sent."""
        way, top = self.up(peer=ScriptedPeer)
        self.assertRaises(gun.BadState, top.ping)
        way.pump()
        self.assertEqual(way.peer.received, b"")
        if not self.whole:
            ping = way.connection.ping()
            way.pump()
            self.successResultOf(ping)
        self.end(way)


class Http2KeepaliveTests(TunnelCase):
    """http2_opts.keepalive inside."""

    origin = "h2c"
    origins = ("h2", "h2c")
    ways = ("Http", "Http2", "Socks", "Http2InHttp", "HttpInHttp2")
    opts = {"keepalive": 5.0, "keepalive_tolerance": 1}  # noqa: RUF012

    def test_pings(self) -> None:
        """The origin is pinged as often as the option says."""
        way, _ = self.up(http2_opts=self.opts)
        for _ in range(3):
            way.advance(5)
        self.assertEqual(way.peer.pings, [KEEPALIVE] * 3)
        self.end(way)

    def test_no_answer(self) -> None:
        """An origin that does not answer is given up: the streams inside end, and over HTTP/2 nothing else does."""
        way, top, told = self.told(quiet=True, http2_opts=self.opts)
        way.peer.acknowledge = False  # neither settings, which is done, nor pings
        stream = top.get("/")
        for _ in range(4):
            way.advance(5)
        last = self.assert_each_ended_once(told, [stream, *way.tunnels[-1:]])
        self.assertIsInstance(last[stream].reason, gun.StreamClosed)
        if way.tunnels:
            self.assertIsInstance(last[way.tunnels[-1]].reason, gun.TimedOut)
            self.assertEqual(last[way.tunnels[-1]].reason.stage, "keepalive")
        downs = self.assert_lists(told)
        if self.whole:
            reason: Any = downs[0].reason
            self.assertEqual((reason.stage, stream in downs[0].killed_streams), ("keepalive", True))
        elif self.proxies[-1] == "h2c" and len(self.proxies) == 1:
            self.assertEqual(downs, [])
        self.assertEqual(way.peers[0].gone_away and way.peers[0].gone_away[1], ErrorCode.NO_ERROR)
        self.end(way)


class Http1KeepaliveTests(TunnelCase):
    """http_opts.keepalive inside: empty lines, which a server ignores."""

    ways = ("Http", "Http2", "Socks", "HttpInHttp", "HttpInHttp2")
    origins = ("https", "http")

    def test_lines(self) -> None:
        """The origin is sent an empty line as often as the option says, and understands what is asked for then."""
        way, _ = self.up(http_opts={"keepalive": 5.0})
        for _ in range(3):
            way.advance(5)
        self.assertEqual(way.peer.received, b"\r\n" * 3)
        self.end(way)

    def test_none_for_what_is_carried(self) -> None:
        """None from the proxy's HTTP/1.1 in between: they would be bytes of the tunnel."""
        way, top = self.up(peer=ScriptedPeer, http_opts={"keepalive": 5.0})
        for _ in range(2):
            way.advance(5)
        stream = top.headers("POST", "/", {"content-length": "5"})
        for _ in range(2):
            way.advance(5)
        stream.data(b"hello", fin=True)
        way.pump()
        head = b"POST / HTTP/1.1\r\ncontent-length: 5\r\nhost: origin.example:8080\r\n\r\n"
        self.assertEqual(way.peer.received, b"\r\n\r\n" + head + b"hello")
        self.end(way)


class ConnectKeepaliveTests(TunnelCase):
    """No keepalive while CONNECT is pending (S1-46)."""

    ways = ("Http", "HttpInHttp2")
    origins = ("http",)

    def test_while_pending(self) -> None:
        """The proxy is sent nothing but the request."""
        way = self.way(http_opts={"keepalive": 2.0})
        way.endpoints[way.hosts[-1]].hang()
        way.ask()
        way.pump()
        for _ in range(4):
            way.advance(2)
        (record,) = way.factories[-1].tunnels
        (connection,) = way.factories[-1].connections
        self.assertEqual((record.sent, record.status), (0, None))
        self.assertEqual(connection._speaker.onward.early, [])  # type: ignore[union-attr]
        self.end(way)

    def test_before(self) -> None:
        """Before it, as to any server; it understands the CONNECT behind."""
        way = self.way(http_opts={"keepalive": 2.0})
        top = way.open()
        if self.proxies == ("http",):
            way.advance(7)
        tunnel = way.ask(0, top)
        way.pump()
        self.assertEqual(self.successResultOf(tunnel.await_up()), "http")
        self.end(way)

    def test_raw(self) -> None:
        """None once it is there, whatever it carries."""
        way = Way(self.proxies, "raw", peer=ScriptedPeer, http_opts={"keepalive": 2.0})
        way.connect()
        for _ in range(5):
            way.advance(2)
        self.assertEqual(way.peer.received, b"")
        self.end(way)


globals().update(spread(__name__))
