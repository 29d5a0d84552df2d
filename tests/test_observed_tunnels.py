"""What an event handler is told of tunnels: CONNECT over HTTP/1.1 and HTTP/2, SOCKS5, TLS inside of them, and proxies by `proxy`."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import twisted_gun as gun
from tests.observing import ObservedCase, Recorder
from tests.tunnels import PORT, PROXIES, TunnelCase, Way
from twisted_gun.net import dial
from twisted_gun.testing import RecordingReceiver

DIALLED = ["init", "connect_start", "connect_end"]
TLS = ["tls_handshake_start", "tls_handshake_end"]
SENT = ["request_start", "request_headers", "request_end"]
ANSWERED = ["response_start", "response_headers", "response_end"]


class ObservedTunnelCase(TunnelCase, ObservedCase):
    """Ways through proxies."""

    asked: list[Any]

    def tunnelled(self, proxies: tuple[str, ...], origin: str, **options: Any) -> tuple[Way, Any]:
        """The way, all of whose tunnels are asked for, and what requests are made of."""
        self.proxies, self.origin = proxies, origin
        way = self.way(**options)
        return way, way.connect()

    def closed(self, way: Way) -> None:
        """Close it; what was told was in order."""
        self.end(way)
        self.assert_in_order(self.recorder)


class ConnectTests(ObservedTunnelCase):
    """CONNECT."""

    def test_http1(self) -> None:
        """Over HTTP/1.1, where the connection becomes the tunnel; then a GET through it."""
        told = RecordingReceiver()
        way, top = self.tunnelled(("http",), "http", reply_to=told)
        made = ["origin_changed", "protocol_changed"]
        self.assertEqual(self.recorder.names(), [*DIALLED, *SENT, *ANSWERED, *made])
        self.assertEqual(self.recorder.names(top), SENT + ANSWERED + made)
        start = self.recorder.one("request_start")
        self.assertEqual((start.function, start.method, start.path), ("connect", b"CONNECT", None))
        self.assertEqual((start.authority, start.reply_to), (b"origin.example:%d" % PORT, told))
        origin, protocol = self.recorder.one("origin_changed"), self.recorder.one("protocol_changed")
        self.assertEqual((origin.connection, origin.stream, origin.type), (way.connection, top, "connect"))
        self.assertEqual((origin.origin_scheme, origin.origin_host, origin.origin_port), ("http", "origin.example", PORT))
        self.assertEqual((protocol.connection, protocol.stream, protocol.protocol), (way.connection, top, "http"))
        self.recorder.take()
        stream = top.get("/inside")
        way.pump()
        self.assertEqual(self.recorder.names(stream), SENT + ANSWERED)
        self.assertEqual(self.recorder.one("request_start").authority, b"origin.example:%d" % PORT)
        self.recorder.take()
        self.end(way)
        self.assertEqual(self.recorder.one("disconnect").streams, (top,))
        self.assertEqual(self.recorder.take(), ["disconnect", "terminate"])

    def test_http2(self) -> None:
        """Over HTTP/2 it is one stream among others, and its end is that of the tunnel alone."""
        for core in ("own", "h2"):
            self.core = core
            self.recorder.told.clear()
            way, top = self.tunnelled(("h2c",), "h2c")
            made = ["origin_changed", "protocol_changed"]
            self.assertEqual(self.recorder.take(), [*DIALLED, *SENT, *ANSWERED, *made])
            stream, other = top.get("/inside"), way.connection.connect(way.destination(1))
            way.pump()
            self.assertEqual(self.recorder.names(stream), SENT + ANSWERED)
            self.assertEqual(self.recorder.names(other), SENT + ANSWERED + made)
            self.recorder.take()
            other.cancel()
            top.shutdown()
            way.advance(30.0)
            self.assertEqual(self.recorder.one("cancel").stream, other)
            self.assertEqual(self.recorder.take(), ["cancel"])
            self.end(way)
            self.assertEqual(self.recorder.one("disconnect").streams, ())
            self.assertEqual(self.recorder.take(), ["disconnect", "terminate"])

    def test_tls_inside(self) -> None:
        """TLS in a tunnel is the tunnel's: after the origin has changed, before the protocol does."""
        for proxy, origin, protocol in (("http", "https", "http"), ("h2c", "h2", "http2"), ("https", "h2", "http2")):
            self.recorder.told.clear()
            way, top = self.tunnelled((proxy,), origin)
            outer = TLS if proxy == "https" else []
            self.assertEqual(self.recorder.names(), [*DIALLED, *outer, *SENT, *ANSWERED, "origin_changed", *TLS, "protocol_changed"])
            start, end = self.recorder.of("tls_handshake_start")[-1], self.recorder.of("tls_handshake_end")[-1]
            self.assertEqual((start.stream, start.reply_to, start.timeout), (top, top._receiver, 10.0))
            self.assertIs(start.tls_opts, top._inner.leg.creator._options)
            self.assertEqual((end.stream, end.protocol, end.error), (top, protocol, None))
            if outer:
                self.assertEqual(self.recorder.of("tls_handshake_end")[0].stream, None)
            self.assertEqual(self.recorder.one("origin_changed").origin_scheme, "https")
            self.closed(way)

    def test_tls_fails(self) -> None:
        """TLS that fails there ends the tunnel, and over HTTP/1.1 the connection that it was."""
        for proxy in ("http", "h2c"):
            self.recorder.told.clear()
            way, top = self.tunnelled((proxy,), "https", certificates={"origin.example": "other.example"}, retry=0)
            error = self.recorder.one("tls_handshake_end").error
            self.assertIsInstance(error, gun.TlsFailed)
            self.assertNotIn("protocol_changed", self.recorder.names())
            if proxy == "http":
                self.assertEqual(self.recorder.one("disconnect").streams, (top,))
                self.assertEqual(self.recorder.names()[-4:], [*TLS, "disconnect", "terminate"])
            else:
                cancelled = self.recorder.one("cancel")
                self.assertEqual((cancelled.stream, cancelled.endpoint, cancelled.reason), (top, "local", error))
                self.assertEqual(self.recorder.names()[-3:], [*TLS, "cancel"])
            self.closed(way)

    def test_refused(self) -> None:
        """A proxy that refuses answers as any other server; what waits for the tunnel was never sent."""
        for proxy in ("http", "h2c"):
            self.recorder.told.clear()
            self.proxies, self.origin = (proxy,), "http"
            way = self.way()
            way.factories[0].refuse = 403
            way.open()
            way.pump()
            tunnel = way.connection.connect(way.destination(1))
            tunnel.get("/inside")
            way.pump()
            self.assertEqual(self.recorder.names()[3:9], SENT + ANSWERED)
            self.assertEqual(self.recorder.one("response_headers").status, 403)
            self.assertEqual(self.recorder.names(tunnel), SENT + ANSWERED)
            self.closed(way)

    def test_cancelled(self) -> None:
        """A tunnel that is cancelled: what is under way inside ends first."""
        for proxies in (("http",), ("h2c",), ("h2c", "socks5")):
            self.recorder.told.clear()
            way, top = self.tunnelled(proxies, "http", quiet=True, retry=0)
            stream = top.get("/")
            way.pump()
            self.recorder.take()
            top.cancel()
            self.assertEqual([(name, event.stream) for name, event in self.recorder.told], [("cancel", stream), ("cancel", top)])
            self.assertEqual({event.endpoint for event in self.recorder.of("cancel")}, {"local"})
            way.pump()
            self.end(way)
            self.assertEqual(self.recorder.one("disconnect").streams, ())

    def test_cancelled_in_its_turn(self) -> None:
        """One that its receiver cancels when it hears of the response: the proxy has made it, and nobody is led on."""

        def cancel(event: Any) -> None:
            if isinstance(event, gun.Response):
                event.stream.cancel()

        for proxy in ("http", "h2c"):
            self.recorder.told.clear()
            way, top = self.tunnelled((proxy,), "http", retry=0, reply_to=RecordingReceiver(cancel))
            self.assertEqual(self.recorder.names(top), [*SENT, "response_start", "response_headers", "cancel"])
            self.assertNotIn("origin_changed", self.recorder.names())
            self.closed(way)

    def test_cancelled_in_tls(self) -> None:
        """So does a handshake that is under way in it."""
        for proxy in ("http", "h2c"):
            self.recorder.told.clear()
            self.proxies, self.origin = (proxy,), "https"
            way = self.way(retry=0)
            way.mute()
            top = way.connect()
            self.assertEqual(self.recorder.names()[-1], "tls_handshake_start")
            top.cancel()
            self.assertEqual(self.recorder.names()[-2:], ["tls_handshake_end", "cancel"])
            self.assertIs(self.recorder.one("tls_handshake_end").error, self.recorder.one("cancel").reason)
            self.closed(way)

    def test_cancelled_from_within(self) -> None:
        """A handler that cancels a tunnel, in whichever callback on the way through two, ends what has begun, and nothing more begins."""
        proxies = ("h2", "https")
        way, _ = self.tunnelled(proxies, "https")
        usual = self.recorder.names()
        self.closed(way)
        for number in range(4, len(usual)):
            for at in (0, 1):
                self.recorder = Recorder()
                self.recorder.react = functools.partial(self.cancel_at, number, at)
                way = self.way(retry=0)
                self.asked = []
                with contextlib.suppress(gun.GunError):
                    top: Any = way.open()
                    way.pump()
                    for place in (1, 2):
                        top = top.connect(way.destination(place))
                        self.asked.append(top)
                    way.pump()
                self.closed(way)

    def cancel_at(self, number: int, at: int, name: str, event: Any) -> None:
        """Cancel one of the tunnels when so much was told."""
        if len(self.recorder.told) == number and len(self.asked) > at:
            self.asked[at].cancel()

    def test_cut_off(self) -> None:
        """The connection is lost: the tunnel, and what is under way inside, are listed; the tunnel alone: its streams are cancelled."""
        for proxy in ("http", "h2c"):
            self.recorder.told.clear()
            way, top = self.tunnelled((proxy,), "http", quiet=True, retry=0)
            stream = top.get("/")
            way.pump()
            self.recorder.take()
            way.endpoints[way.hosts[0]].links[-1].server.abortConnection()
            way.pump()
            self.assertEqual(set(self.recorder.one("disconnect").streams), {top, stream})
            self.assertEqual(self.recorder.take(), ["disconnect", "terminate"])

    def test_closed_by_proxy(self) -> None:
        """A proxy of HTTP/1.1 that closes in good order: the tunnel is over, and what was under way in it was cut off."""
        way, top = self.tunnelled(("http",), "http", quiet=True, retry=0)
        stream = top.get("/")
        way.pump()
        self.recorder.take()
        way.endpoints[way.hosts[0]].links[-1].server.loseConnection()
        way.pump()
        self.assertIn(stream, self.recorder.one("disconnect").streams)
        self.assertEqual(self.recorder.take(), ["disconnect", "terminate"])

    def test_reset(self) -> None:
        """A proxy of HTTP/2 resets the tunnel: that is a cancel by the remote side, of what is inside, and of itself."""
        way, top = self.tunnelled(("h2c",), "http", quiet=True)
        stream = top.get("/")
        way.pump()
        self.recorder.take()
        way.peer.abort()
        way.pump()
        self.assertEqual([event.stream for event in self.recorder.of("cancel")], [stream, top])
        self.assertEqual({event.endpoint for event in self.recorder.of("cancel")}, {"remote"})
        self.assertEqual(self.recorder.take(), ["cancel", "cancel"])
        self.end(way)
        self.assertEqual(self.recorder.one("disconnect").streams, ())

    def test_closed_by_origin(self) -> None:
        """The origin closes a tunnel in good order: nothing was cut off."""
        way, top = self.tunnelled(("h2c",), "raw", quiet=True)
        self.recorder.take()
        way.peer.close()
        way.pump()
        top.data(b"", fin=True) if not top.ended else None
        way.advance(5.0)
        self.assertTrue(top.ended)
        self.end(way)
        self.assertEqual(self.recorder.one("disconnect").streams, ())

    def test_chain(self) -> None:
        """A tunnel in a tunnel: each has its own, one after the other."""
        way, _ = self.tunnelled(("h2", "http"), "https")
        made = [*SENT, *ANSWERED, "origin_changed"]
        self.assertEqual(self.recorder.names(), [*DIALLED, *TLS, *made, "protocol_changed", *made, *TLS, "protocol_changed"])
        self.assertEqual([event.stream for event in self.recorder.of("origin_changed")], way.tunnels)
        self.assertEqual([event.protocol for event in self.recorder.of("protocol_changed")], ["http", "http"])
        self.closed(way)

    def test_websocket_inside(self) -> None:
        """What is inside of a tunnel is told as anything else."""
        way, top = self.tunnelled(("h2c",), "http", quiet=True)
        self.recorder.take()
        top.ws_upgrade("/")
        way.pump()
        self.assertEqual(self.recorder.take(), ["ws_upgrade", *SENT])
        self.closed_again(way)

    def closed_again(self, way: Way) -> None:
        """Close it, of whose beginning the record is gone."""
        self.end(way)
        self.assertEqual(self.recorder.take()[-2:], ["disconnect", "terminate"])


class SocksTests(ObservedTunnelCase):
    """SOCKS5."""

    def test_connection(self) -> None:
        """At the connection itself: it speaks "socks", until the proxy leads on; there is no request for that, and no stream."""
        for proxy, origin, protocol in (("socks5", "http", "http"), ("socks5s", "h2", "http2")):
            self.recorder.told.clear()
            way, top = self.tunnelled((proxy,), origin)
            way.pump()
            first, inner = (TLS if proxy == "socks5s" else []), (TLS if origin == "h2" else [])
            self.assertEqual(self.recorder.names(), [*DIALLED, *first, "origin_changed", *inner, "protocol_changed"])
            self.assertEqual(self.recorder.one("init").origin_scheme, None)
            if not first:
                self.assertEqual(self.recorder.one("connect_end").protocol, "socks")
            origin_changed, changed = self.recorder.one("origin_changed"), self.recorder.one("protocol_changed")
            self.assertEqual((origin_changed.stream, origin_changed.type), (None, "socks5"))
            self.assertEqual((origin_changed.origin_host, origin_changed.origin_port), ("origin.example", PORT))
            self.assertEqual((changed.stream, changed.protocol), (None, protocol))
            self.recorder.take()
            top.get("/")
            way.pump()
            self.assertEqual(self.recorder.take(), SENT + ANSWERED)
            self.end(way)
            self.assertEqual(self.recorder.take(), ["disconnect", "terminate"])

    def test_inside(self) -> None:
        """In a CONNECT tunnel, of which all of it is."""
        way, top = self.tunnelled(("http", "socks5"), "http")
        way.pump()
        led = ["origin_changed", "protocol_changed"]
        self.assertEqual(self.recorder.names(), [*DIALLED, *SENT, *ANSWERED, *led, *led])
        self.assertEqual([event.stream for event in self.recorder.of("origin_changed")], [top, top])
        self.assertEqual([event.type for event in self.recorder.of("origin_changed")], ["connect", "socks5"])
        self.assertEqual([event.protocol for event in self.recorder.of("protocol_changed")], ["socks", "http"])
        self.closed(way)

    def test_cut_off(self) -> None:
        """A request through it that is cut off."""
        way, top = self.tunnelled(("socks5",), "http", quiet=True, retry=0)
        stream = top.get("/")
        way.pump()
        way.peer.abort()
        way.pump()
        self.assertEqual(self.recorder.one("disconnect").streams, (stream,))
        self.assert_in_order(self.recorder)


class ProxyTests(ObservedTunnelCase):
    """The option `proxy`: the proxies are part of the way, and `connect_end` is when all of it is there."""

    def through(self, proxies: tuple[str, ...], origin: str = "http", **options: Any) -> tuple[Way, gun.Connection]:
        """A connection through proxies; all hosts are found in memory."""
        self.proxies, self.origin = proxies, origin
        way = self.way()

        def endpoint(reactor: Any, host: str, *arguments: Any) -> Any:
            return way.endpoints[host]

        self.patch(dial, "TCP4ClientEndpoint", endpoint)
        urls = []
        for host, name in zip(way.hosts, proxies, strict=False):
            transport, protocol = PROXIES[name]
            scheme = "socks5" if protocol == "socks5" else "https" if transport == "tls" else "http"
            urls.append(f"{scheme}://{host}:{PORT}")
        end = way.destination(len(proxies))
        kept = {name: end[name] for name in ("transport", "tls_opts", "protocols")}
        conn = gun.open("origin.example", PORT, reactor=way.clock, proxy=urls, owner=way.owner, **{"retry": 0, **kept, **options})
        way.connection = conn
        way.pump()
        return way, conn

    def test_each_kind(self) -> None:
        """One proxy: its name is looked up; TLS with it comes before the end of connecting, TLS with the origin behind."""
        lookup = ["domain_lookup_start", "domain_lookup_end"]
        for proxy in ("http", "https", "h2", "socks5"):
            for origin in ("http", "h2"):
                self.recorder.told.clear()
                way, conn = self.through((proxy,), origin)
                first, last = (TLS if proxy in ("https", "h2") else []), (TLS if origin == "h2" else [])
                self.assertEqual(self.recorder.names(), ["init", *lookup, "connect_start", *first, "connect_end", *last], (proxy, origin))
                self.assertEqual(self.recorder.one("domain_lookup_start").host, way.hosts[0])
                self.assertEqual(self.recorder.one("init").origin_host, "origin.example")
                self.assertEqual(self.recorder.one("connect_end").protocol, None if last else "http")
                for event in self.recorder.of("tls_handshake_start"):
                    self.assertIsNone(event.stream)
                if first:
                    self.assertEqual(self.recorder.of("tls_handshake_end")[0].protocol, "http2" if proxy == "h2" else "http")
                self.recorder.take()
                conn.get("/")
                way.pump()
                self.assertEqual(self.recorder.take(), SENT + ANSWERED)
                self.end(way)
                self.assertEqual(self.recorder.take(), ["disconnect", "terminate"])

    def test_chain(self) -> None:
        """Several: TLS with each of those that want it, in their order."""
        way, _ = self.through(("https", "socks5", "h2"), "https")
        names = ["init", "domain_lookup_start", "domain_lookup_end", "connect_start", *TLS, *TLS, "connect_end", *TLS]
        self.assertEqual(self.recorder.names(), names)
        self.closed(way)

    def test_refused(self) -> None:
        """A proxy that leads nowhere fails the attempt."""
        way = None
        for proxy in ("http", "socks5"):
            self.recorder.told.clear()
            self.proxies, self.origin = (proxy,), "http"
            way, conn = self.through((proxy,), "http", retry=1)
            self.end(way)
            self.recorder.told.clear()
            way.factories[0].refuse = 1 if proxy == "socks5" else 403
            conn = self.again(way, proxy)
            names = ["init", *["domain_lookup_start", "domain_lookup_end", "connect_start", "connect_end"] * 2, "terminate"]
            self.assertEqual(self.recorder.names(), names)
            for event in self.recorder.of("connect_end"):
                self.assertIsInstance(event.error, gun.ProxyFailed)
            self.assertEqual(conn.info().state_name, "terminated")

    def again(self, way: Way, proxy: str) -> gun.Connection:
        """Another connection by the same way."""
        scheme = "socks5" if proxy == "socks5" else "http"
        conn = gun.open("origin.example", PORT, reactor=way.clock, proxy=f"{scheme}://{way.hosts[0]}:{PORT}", retry=1)
        way.pump()
        return conn

    def test_absolute(self) -> None:
        """Requests that a proxy sends on are told as they are sent: to the proxy, in absolute-form."""
        way, conn = self.through(("http",), "http", proxy_mode="absolute")
        self.recorder.take()
        conn.get("/path")
        self.assertEqual(self.recorder.one("request_start").path, b"http://origin.example:%d/path" % PORT)
        self.end(way)

    def test_absolute_over_tls(self) -> None:
        """TLS with that proxy is the connection's own."""
        way, _ = self.through(("https",), "http", proxy_mode="absolute")
        names = ["init", "domain_lookup_start", "domain_lookup_end", "connect_start", "connect_end", *TLS]
        self.assertEqual(self.recorder.names(), names)
        self.closed(way)

    def test_tls_with_proxy_fails(self) -> None:
        """TLS with a proxy that is not who it should be."""
        self.proxies, self.origin = ("https",), "http"
        way = self.way(certificates={"p0.https.example": "other.example"})
        self.patch(dial, "TCP4ClientEndpoint", lambda reactor, host, *arguments: way.endpoints[host])
        gun.open("origin.example", PORT, reactor=way.clock, proxy=f"https://{way.hosts[0]}:{PORT}", retry=0, tls_opts=way.tls)
        way.pump()
        self.assertIsInstance(self.recorder.one("tls_handshake_end").error, gun.TlsFailed)
        self.assertEqual(self.recorder.names()[-5:], ["connect_start", *TLS, "connect_end", "terminate"])

    def test_closed_meanwhile(self) -> None:
        """`close` while TLS with a proxy is under way: that, and the attempt, end by it, and before the end of all."""
        self.proxies, self.origin = ("https",), "http"
        way = self.way()
        way.mute(0)
        self.patch(dial, "TCP4ClientEndpoint", lambda reactor, host, *arguments: way.endpoints[host])
        conn = gun.open("origin.example", PORT, reactor=way.clock, proxy=f"https://{way.hosts[0]}:{PORT}", tls_opts=way.tls)
        way.pump()
        conn.close()
        way.pump()
        self.assert_in_order(self.recorder)
        self.assertEqual(self.recorder.names()[-5:], ["connect_start", *TLS, "connect_end", "terminate"])
        self.assertEqual(way.clock.getDelayedCalls(), [])
