"""TLS in tunnels, of origins and of proxies in between: whom it refuses, wherever it is, and how long it may take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory

import twisted_gun as gun
from tests.certificates import ServerCreator, authority
from tests.tunnels import Answering, AnsweringHttp2, TunnelCase, Way, spread
from twisted_gun.testing import MemoryEndpoint, RecordingReceiver, ScriptedPeer


class TlsCase(TunnelCase):
    """Ways to an origin that speaks TLS."""

    origin = "https"
    origins: ClassVar[Sequence[str]] = ("h2", "https")
    ways: ClassVar[Sequence[str]] = (
        "Http",
        "Http2",
        "Socks",
        "Https",
        "HttpInHttp2",
        "Http2InHttp",
        "Http2InHttp2",
        "SocksInHttp",
        "SocksInHttp2",
        "HttpInSocks",
    )

    def serve(self, way: Way, creator: ServerCreator, place: int = -1) -> list[Any]:
        """Let the host at `place` be one that shows what `creator` does; what is received there in clear."""
        peers: list[Any] = []

        def make() -> Any:
            peers.append(ScriptedPeer())
            return peers[-1]

        factory = TLSMemoryBIOFactory(creator, False, Factory.forProtocol(make), clock=way.clock)
        way.endpoints[way.hosts[place]] = MemoryEndpoint(factory, clock=way.clock)
        return peers

    def fails(self, way: Way, told: RecordingReceiver, kind: type[gun.GunError]) -> Any:
        """Ask for all, which comes to nothing by an error of this kind; give it."""
        top = way.ask()
        stream = top.get("/secret", {"authorization": "secret"})
        return self.failed(way, told, stream, kind)

    def failed(self, way: Way, told: RecordingReceiver, stream: Any, kind: type[gun.GunError]) -> Any:
        """Likewise, once `stream` was asked for."""
        way.pump()
        if self.whole:  # the connection goes down with it, and is made again; but not its tunnels
            downs = self.assert_lists(told)
            reason: Any = downs[0].reason
        else:
            self.assertEqual(told.of(gun.Down), [])
            reason = self.assert_each_ended_once(told, [way.tunnels[-1]])[way.tunnels[-1]].reason
        self.assertIsInstance(reason, kind)
        if way.tunnels:
            last = self.assert_each_ended_once(told, [stream, way.tunnels[-1]])
            self.assertIs(last[way.tunnels[-1]].reason, reason)
            self.assertIsInstance(last[stream].reason, (kind, gun.StreamError))
            self.assertIs(self.failureResultOf(way.tunnels[-1].await_up()).value, reason)
        return reason


class CertificateTests(TlsCase):
    """The same certificates are refused as on a direct connection, by the same words, and no byte of a request is sent."""

    def check(self, creator: ServerCreator, *words: str, **tls: Any) -> None:
        told = RecordingReceiver()
        way = self.way(owner=told, reply_to=told, retry=1, retry_timeout=60.0)
        way.extra_tls = tls
        peers = self.serve(way, creator)
        reason = self.fails(way, told, gun.TlsFailed)
        for word in words:
            self.assertIn(word, str(reason))
        self.assertEqual(b"".join(peer.received for peer in peers), b"")
        self.end(way)

    def test_unknown_authority(self) -> None:
        """An authority that is not trusted."""
        self.check(ServerCreator(authority("a stranger").issue("origin.example")), "the certificate of origin.example")

    def test_other_name(self) -> None:
        """A name that is not the host's, even if it is the proxy's."""
        self.check(ServerCreator(authority().issue(self.way().hosts[0])), "the certificate of origin.example")

    def test_expired(self) -> None:
        """One that is too old."""
        self.check(ServerCreator(authority().issue("origin.example", days=(-10, -1))), "expired")

    def test_pins(self) -> None:
        """One whose key is none of those that are pinned."""
        self.check(ServerCreator(authority().issue("origin.example")), "pin", pins=["00" * 32])

    def test_no_tls(self) -> None:
        """A server that speaks no TLS at all."""
        told = RecordingReceiver()
        way = self.way(owner=told, reply_to=told, retry=1, retry_timeout=60.0)
        way.endpoints[way.hosts[-1]] = MemoryEndpoint(
            Factory.forProtocol(lambda: ScriptedPeer(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"))),
            clock=way.clock,
        )
        self.fails(way, told, gun.TlsFailed)
        self.end(way)

    def test_closes(self) -> None:
        """One that ends in the midst of the handshake."""
        for lose in ("close", "abort"):
            told = RecordingReceiver()
            way = self.way(owner=told, reply_to=told, retry=1, retry_timeout=60.0)

            def script(peer: ScriptedPeer, lose: str = lose) -> None:
                getattr(peer, lose)()

            way.endpoints[way.hosts[-1]] = MemoryEndpoint(Factory.forProtocol(lambda script=script: ScriptedPeer(script)), clock=way.clock)  # type: ignore[misc]
            self.fails(way, told, gun.StreamReset if lose == "abort" and not self.whole else gun.ConnectionFailed)
            self.end(way)


class ProxyCertificateTests(TlsCase):
    """TLS with a proxy in the middle is TLS in a tunnel too."""

    ways = ()

    def test_refused(self) -> None:
        """One that is not who it says it is gets no CONNECT, nor its credentials."""
        for first, second in (
            ("http", "https"),
            ("https", "https"),
            ("h2c", "https"),
            ("h2", "h2"),
            ("socks5", "https"),
            ("http", "socks5s"),
        ):
            told = RecordingReceiver()
            way = Way((first, second), "http", owner=told, reply_to=told, retry=1, retry_timeout=60.0, credentials=("ann", "sesame"))
            peers = self.serve(way, ServerCreator(authority("a stranger").issue(way.hosts[1])), 1)
            stream = way.ask().get("/")
            way.pump()
            self.assertEqual(b"".join(peer.received for peer in peers), b"")
            if first == "socks5":  # who has asked for nothing yet goes on waiting for a connection
                self.assertIsInstance(self.assert_lists(told)[0].reason, gun.TlsFailed)
            else:
                self.assertIsInstance(self.assert_each_ended_once(told, [way.tunnels[0], stream])[way.tunnels[0]].reason, gun.TlsFailed)
            self.end(way)


class AlpnTests(TlsCase):
    """What is spoken is what ALPN says, among what was offered."""

    ways = ("Http", "Http2", "Socks", "HttpInHttp2", "Http2InHttp", "SocksInHttp2")
    origins = ("https",)

    def open(self, way: Way, protocols: list[str] | None) -> tuple[Any, Any]:
        """Ask for the tunnel whose end may speak these, and for a request."""
        place = len(self.proxies)
        way.ends[place] = {"protocols": protocols}
        top = way.ask()
        return top, top.get("/")

    def serve_as(self, way: Way, chosen: bytes | None, peer: Any) -> ServerCreator:
        choose: dict[str, Any] = {} if chosen is None else {"choose": lambda offered: chosen}
        creator = ServerCreator(authority().issue("origin.example"), **choose)
        factory = TLSMemoryBIOFactory(creator, False, Factory.forProtocol(peer), clock=way.clock)
        way.endpoints[way.hosts[-1]] = MemoryEndpoint(factory, clock=way.clock)
        return creator

    def test_chosen(self) -> None:
        """HTTP/2 and HTTP/1.1 are offered, in this order, unless protocols say otherwise; the server chooses."""
        for protocols, chosen, peer, spoken in (
            (None, b"h2", AnsweringHttp2, "http2"),
            (None, b"http/1.1", Answering, "http"),
            (["http", "http2"], b"h2", AnsweringHttp2, "http2"),
            (["http2", "http"], None, Answering, "http"),
            (["http2"], None, AnsweringHttp2, "http2"),
        ):
            way = self.way()
            creator = self.serve_as(way, chosen, peer)
            top, stream = self.open(way, protocols)
            body = stream.await_body()
            way.pump()
            self.assertEqual(self.successResultOf(body), b"/")
            if way.tunnels:
                self.assertEqual(self.successResultOf(top.await_up()), spoken)
                self.assertEqual(top.info().tunnel.protocol, spoken)
            if chosen is not None:
                offers = {"http": b"http/1.1", "http2": b"h2"}
                self.assertEqual(creator.offered, [[offers[name] for name in protocols or ["http2", "http"]]])
            self.end(way)

    def test_not_offered(self) -> None:
        """A server that chooses what was not offered is given up."""
        for chosen, protocols in ((b"bogus", None), (b"h2", ["http"])):
            told = RecordingReceiver()
            way = self.way(owner=told, reply_to=told, retry=1, retry_timeout=60.0)
            self.serve_as(way, chosen, ScriptedPeer)
            _, stream = self.open(way, protocols)
            self.failed(way, told, stream, gun.GunError)
            self.end(way)

    def test_names(self) -> None:
        """The server is asked for by its own name, not by that of a proxy."""
        way = self.way()
        creator = self.serve_as(way, b"http/1.1", Answering)
        way.ask().get("/")
        way.pump()
        self.assertEqual(creator.server_names, [b"origin.example"])
        self.end(way)


class HandshakeTests(TlsCase):
    """How long TLS may take."""

    def check(self, seconds: float, **options: Any) -> None:
        told = RecordingReceiver()
        way = self.way(owner=told, reply_to=told, retry=1, retry_timeout=60.0)
        way.ends[len(self.proxies)] = options
        way.mute()
        top = way.ask()
        stream = top.get("/")
        way.pump()
        way.advance(seconds - 0.1)
        self.assertFalse(stream.ended)
        way.advance(0.1)
        reason = self.failed(way, told, stream, gun.TimedOut)
        self.assertEqual((reason.stage, reason.seconds), ("tls", seconds))
        self.end(way)

    def test_default(self) -> None:
        """Ten seconds."""
        self.check(10.0)

    def test_option(self) -> None:
        """Or as long as the destination's tls_handshake_timeout says."""
        self.check(3.0, tls_handshake_timeout=3.0)

    def test_none(self) -> None:
        """None is for ever."""
        way = self.way()
        way.ends[len(self.proxies)] = {"tls_handshake_timeout": None}
        way.mute()
        stream = way.ask().get("/")
        way.advance(10_000)
        self.assertFalse(stream.ended)
        self.end(way)


class InfoTests(TlsCase):
    """What there is to know of TLS."""

    origins = ("h2", "https")
    ways = ("Http", "Https", "Socks", "HttpInSocks")

    def test_of_the_last(self) -> None:
        """Where the connection became the tunnel, info().tls is that of the origin."""
        way, _ = self.up()
        tls = way.connection.info().tls
        assert tls is not None
        self.assertEqual(tls.alpn, b"h2" if self.origin == "h2" else b"http/1.1")
        self.end(way)


globals().update(spread(__name__))
