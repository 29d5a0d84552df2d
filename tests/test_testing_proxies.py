"""`twisted_gun.testing.proxies`: each kind of proxy against bytes written by hand, and HTTP/2 against the client of h2."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.test_testing import HalfRecorder, Recorder
from twisted_gun.testing import MemoryEndpoint, MemoryLink
from twisted_gun.testing.proxies import ProxyFactory

CONNECT = b"CONNECT origin.example:443 HTTP/1.1\r\nhost: origin.example:443\r\n"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
BASIC = b"Basic " + base64.b64encode(b"ann:se:cret")
GREETING, ADDRESS = b"\5\1\0", b"\5\1\0\3\x0eorigin.example\x01\xbb"
SUCCEEDED = b"\5\0\0\1" + bytes(6)
MUCH = bytes(range(256)) * 8000  # two million bytes
MARK = 65536  # what a kernel in memory takes, what one read gives, and more than which pauses a producer


class ProxyCase(SynchronousTestCase):
    """A proxy in memory, and origins that keep what they are told; `places` is what was dialled."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.places: list[tuple[str, int]] = []
        self.origins: list[HalfRecorder] = []
        self.origin: Any = HalfRecorder
        self.onward = MemoryEndpoint(Factory.forProtocol(self.new_origin), clock=self.clock)

    def new_origin(self) -> HalfRecorder:
        """The origin's end of the next connection."""
        self.origins.append(self.origin())
        return self.origins[-1]

    def dial(self, host: str, port: int) -> IStreamClientEndpoint:
        """Where tunnels lead to."""
        self.places.append((host, port))
        return self.onward

    def proxy(self, kind: str, **options: Any) -> MemoryEndpoint:
        """A proxy, and the way to it."""
        self.factory = ProxyFactory(kind, self.dial, **options)
        return MemoryEndpoint(self.factory, clock=self.clock)

    def connect(self, endpoint: Any, protocol: Any = HalfRecorder) -> Any:
        """A client's connection."""
        factory = Factory.forProtocol(protocol)
        factory.noisy = False
        attempt: Deferred[Any] = endpoint.connect(factory)
        self.settle()
        client = self.successResultOf(attempt)
        if endpoint.__class__ is MemoryEndpoint:
            self.link: MemoryLink = endpoint.links[-1]
        return client

    def settle(self) -> None:
        """Let all happen that will, and nothing remain to be called."""
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def send(self, protocol: Any, data: bytes) -> None:
        """Let one side write, and all happen that follows from it."""
        protocol.transport.write(data)
        self.settle()

    def half_close(self, protocol: Any) -> None:
        """Let one side send FIN."""
        protocol.transport.loseWriteConnection()
        self.settle()

    def abort(self, protocol: Any) -> None:
        """Let one side send RST."""
        protocol.transport.abortConnection()
        self.settle()

    def assert_over(self) -> None:
        """Nothing is left: no connection, no producer, no tunnel."""
        for link in [self.link, *self.onward.links]:
            for end in (link.client, link.server):
                self.assertTrue(end.disconnected)
                self.assertIsNone(end.producer)
        self.assertEqual([tunnel for tunnel in self.factory.tunnels if tunnel.open], [])


class FactoryTests(ProxyCase):
    """`ProxyFactory` itself."""

    def test_kinds(self) -> None:
        """A kind that is none is refused, and a write of nothing."""
        self.assertRaises(ValueError, ProxyFactory, "gopher", self.dial)
        self.assertRaises(ValueError, ProxyFactory, "http", self.dial, chunk=0)

    def test_flattened(self) -> None:
        """Each connection has its own tunnels, the factory has all."""
        way = self.proxy("http")
        for _ in range(2):
            self.send(self.connect(way), CONNECT + b"\r\n")
        first, second = (connection.tunnels for connection in self.factory.connections)
        self.assertEqual([len(first), len(second)], [1, 1])
        self.assertEqual(self.factory.tunnels, first + second)

    def test_without_tls(self) -> None:
        """What is for TLS to decide is HTTP/1.1 where there is none."""
        client = self.connect(self.proxy("http2+http"))
        self.send(client, CONNECT + b"\r\n")
        self.assertEqual((client.data, self.factory.connections[0].protocol), (ESTABLISHED, "http"))

    def test_other_endpoints(self) -> None:
        """A connection that comes too late, from an endpoint that knows no cancelling, is reset; one that is lost at once is a failure."""
        results: list[Deferred[Any]] = [Deferred(), Deferred()]
        protocols: list[Any] = []

        def connect(factory: Any) -> Deferred[Any]:
            protocols.append(factory.buildProtocol(None))
            return results[len(protocols) - 1]

        endpoint: Any = SimpleNamespace(connect=connect)
        client = self.connect(self.proxy("http"))
        self.factory.dial = lambda host, port: endpoint
        self.send(client, CONNECT + b"\r\n")
        self.abort(client)
        link = MemoryLink(protocols[0], Recorder(), clock=self.clock)
        results[0].callback(protocols[0])
        self.settle()
        self.assertTrue(link.server.disconnected)
        client = self.connect(MemoryEndpoint(self.factory, clock=self.clock))
        self.send(client, CONNECT + b"\r\n")
        origin = Recorder()
        MemoryLink(protocols[1], origin, clock=self.clock)
        self.abort(origin)
        results[1].callback(protocols[1])
        self.settle()
        self.assertEqual(client.data, refusal(502, b"Bad Gateway"))

    def test_chunk(self) -> None:
        """No write to the client is larger than `chunk`."""
        client = self.connect(self.proxy("http", chunk=3))
        self.send(client, CONNECT + b"\r\n")
        written: list[bytes] = []
        self.factory.connections[0].transport.write = written.append
        self.send(self.origins[0], b"1234567")
        self.assertEqual(written, [b"123", b"456", b"7"])


class WholeTests:
    """What is true of a proxy whose connection is the tunnel as a whole; heirs say how it is asked for."""

    kind: str
    asking: bytes
    accepted: bytes
    failing: bytes
    origin: Any

    def start(self: Any, **options: Any) -> Any:
        """A tunnel."""
        client = self.connect(self.proxy(self.kind, **options))
        self.send(client, self.asking)
        self.assertEqual(client.data, self.accepted)
        client.pieces.clear()
        return client

    def test_tunnel(self: Any) -> None:
        """Bytes go both ways, and the tunnel is on record."""
        client = self.start()
        self.send(client, b"hello")
        self.send(self.origins[0], b"world!")
        self.assertEqual((self.origins[0].data, client.data), (b"hello", b"world!"))
        (tunnel,) = self.factory.tunnels
        self.assertEqual((tunnel.host, tunnel.port, tunnel.user, tunnel.open), ("origin.example", 443, None, True))
        self.assertEqual((tunnel.sent, tunnel.received, self.places), (5, 6, [("origin.example", 443)]))
        self.abort(client)
        self.assert_over()

    def test_glued(self: Any) -> None:
        """What is glued to the request goes through the tunnel, and so does what comes before that is there."""
        client = self.connect(self.proxy(self.kind))
        client.transport.write(self.asking + b"one")
        self.link.pump()
        self.link.pump()
        self.assertEqual((self.onward.attempts, self.origins), (1, []))
        self.send(client, b"two")
        self.assertEqual((self.origins[0].data, self.factory.tunnels[0].sent), (b"onetwo", 6))

    def test_byte_by_byte(self: Any) -> None:
        """However the bytes are cut, the same comes out."""
        way = self.proxy(self.kind)
        client = self.connect(way)
        self.link.chunk_size = 1
        self.send(client, self.asking + b"hello")
        self.send(self.origins[0], b"world")
        self.assertEqual((client.data, self.origins[0].data), (self.accepted + b"world", b"hello"))

    def test_cut_anywhere(self: Any) -> None:
        """In two pieces, at every byte."""
        whole = self.asking + b"hello"
        for at in range(1, len(whole)):
            client = self.connect(self.proxy(self.kind))
            self.link.cut_at(at, to="server")
            self.send(client, whole)
            self.assertEqual((client.data, self.origins[-1].data), (self.accepted, b"hello"), at)

    def test_the_client_ends_first(self: Any) -> None:
        """A client's FIN is passed on; the answer still comes, and then the end."""
        client = self.start()
        client.transport.write(b"last")
        self.half_close(client)
        self.assertEqual((self.origins[0].data, self.origins[0].told, client.told), (b"last", ["read"], ["write"]))
        self.assertTrue(self.factory.tunnels[0].open)
        self.send(self.origins[0], b"answer")
        self.origins[0].transport.loseConnection()
        self.settle()
        self.assertEqual((client.data, client.told), (b"answer", ["write", "read"]))
        client.transport.loseConnection()
        self.settle()
        self.assert_over()

    def test_the_origin_ends_first(self: Any) -> None:
        """An origin's FIN comes after all its bytes, and ends the client's connection."""
        client = self.start()
        self.origins[0].transport.write(MUCH)
        self.half_close(self.origins[0])
        self.assertEqual((client.data == MUCH, client.told), (True, ["read"]))
        self.assertEqual(self.origins[0].told, ["write", "read"])
        client.transport.loseConnection()
        self.origins[0].transport.loseConnection()
        self.settle()
        self.assert_over()

    def test_plain_ends(self: Any) -> None:
        """Where nobody closes by halves each end is the end of both connections, in good order."""
        self.origin = Recorder
        for ends_first in (0, 1):
            client = self.connect(self.proxy(self.kind), Recorder)
            self.send(client, self.asking)
            (client, self.origins[-1])[ends_first].transport.loseConnection()
            self.settle()
            self.assertEqual((client.told, self.origins[-1].told), (["ConnectionDone"], ["ConnectionDone"]))
            self.assert_over()

    def test_the_client_aborts(self: Any) -> None:
        """A client's RST is passed on."""
        client = self.start()
        self.abort(client)
        self.assertEqual(self.origins[0].told, ["ConnectionLost"])
        self.assertTrue(self.factory.connections[0].lost.check(ConnectionLost))
        self.assert_over()

    def test_the_origin_aborts(self: Any) -> None:
        """So is an origin's."""
        client = self.start()
        self.abort(self.origins[0])
        self.assertEqual(client.told, ["ConnectionLost"])
        self.assertTrue(self.factory.tunnels[0].failure.check(ConnectionLost))
        self.assert_over()

    def test_the_proxy_aborts(self: Any) -> None:
        """A proxy that dies resets both sides."""
        client = self.start()
        self.factory.connections[0].abort()
        self.settle()
        self.factory.connections[0].abort()
        self.assertEqual((client.told, self.origins[0].told), (["ConnectionLost"], ["ConnectionLost"]))
        self.assert_over()

    def test_a_slow_client(self: Any) -> None:
        """As long as a client reads nothing, the proxy keeps some of what is for it, and the origin the rest."""
        client = self.start()
        client.transport.pauseProducing()
        self.send(self.origins[0], MUCH)
        self.assertFalse(self.onward.links[0].client.reading)
        self.assertLessEqual(self.link.server.buffered, 2 * MARK)
        self.assertLessEqual(self.factory.tunnels[0].received, 3 * MARK)
        client.transport.resumeProducing()
        self.settle()
        self.assertEqual((client.data == MUCH, self.factory.tunnels[0].received), (True, len(MUCH)))

    def test_a_slow_origin(self: Any) -> None:
        """And the other way."""
        client = self.start()
        self.origins[0].transport.pauseProducing()
        self.send(client, MUCH)
        self.assertFalse(self.link.server.reading)
        self.assertLessEqual(self.onward.links[0].client.buffered, 2 * MARK)
        self.assertLessEqual(self.factory.tunnels[0].sent, 3 * MARK)
        self.origins[0].transport.resumeProducing()
        self.settle()
        self.assertEqual((self.origins[0].data == MUCH, self.factory.tunnels[0].sent), (True, len(MUCH)))

    def test_slow_connecting(self: Any) -> None:
        """What comes before the tunnel is there is bounded too."""
        self.onward.hang()
        client = self.connect(self.proxy(self.kind))
        self.send(client, self.asking + MUCH)
        self.assertFalse(self.link.server.reading)
        self.assertLess(self.link.server.end.delivered, 3 * MARK)
        self.assertEqual(self.factory.tunnels[0].status, None)
        self.factory.connections[0].abort()
        self.settle()
        self.assert_over()

    def test_gone_while_connecting(self: Any) -> None:
        """A client that leaves before its tunnel is there, in good order or not, has the attempt cancelled."""
        self.onward.hang()
        for leave in ("abortConnection", "loseConnection", "loseWriteConnection"):
            client = self.connect(self.proxy(self.kind), Recorder)
            self.send(client, self.asking + b"early")
            getattr(client.transport, leave)()
            self.settle()
            self.assertEqual((self.origins, self.onward.links), ([], []))
            self.assertTrue(self.factory.tunnels[0].failure is None)
            self.assert_over()

    def test_unreachable(self: Any) -> None:
        """Where the onward connection fails, or there is none, the client is told so."""
        self.onward.refuse(times=1)
        client = self.connect(self.proxy(self.kind))
        self.send(client, self.asking)
        self.assertEqual(client.data, self.failing)
        self.assertFalse(self.factory.tunnels[0].open)
        self.factory.dial = lambda host, port: 1 / 0
        client = self.connect(MemoryEndpoint(self.factory, clock=self.clock))
        self.send(client, self.asking)
        self.assertEqual(client.data, self.failing)
        self.assertTrue(self.factory.tunnels[1].failure.check(ZeroDivisionError))


def refusal(status: int, phrase: bytes, *fields: bytes) -> bytes:
    """What a proxy answers that refuses."""
    text = b"The proxy says: %d %b\n" % (status, phrase)
    lines = [*fields, b"content-type: text/plain", b"content-length: %d" % len(text)]
    return b"HTTP/1.1 %d %b\r\n%b\r\n\r\n%b" % (status, phrase, b"\r\n".join(lines), text)


def last(answer: bytes) -> bytes:
    """An answer behind which the connection is closed."""
    return answer.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")


CHALLENGE = refusal(407, b"Proxy Authentication Required", b'proxy-authenticate: Basic realm="proxy"')


class HttpTests(WholeTests, ProxyCase):
    """CONNECT over HTTP/1.1."""

    kind, asking, accepted, failing = "http", CONNECT + b"\r\n", ESTABLISHED, refusal(502, b"Bad Gateway")

    def test_record(self) -> None:
        """The fields of the request are kept."""
        client = self.connect(self.proxy("http"))
        self.send(client, b"CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nHost: x\r\nUser-Agent: me\r\n\r\n")
        (tunnel,) = self.factory.tunnels
        self.assertEqual((tunnel.host, tunnel.port, tunnel.status), ("2001:db8::1", 8443, 200))
        self.assertEqual(tunnel.headers, ((b"host", b"x"), (b"user-agent", b"me")))

    def test_credentials(self) -> None:
        """Who has no credentials, or others, is asked for them, and may try again."""
        client = self.connect(self.proxy("http", credentials=("ann", "se:cret")))
        wrong = base64.b64encode(b"ann:secret")
        for fields in (b"", *(b"proxy-authorization: %b\r\n" % value for value in (b"Basic " + wrong, b"Basic !", b"Bearer x"))):
            self.send(client, CONNECT + fields + b"\r\n")
            self.assertEqual(client.data, CHALLENGE)
            client.pieces.clear()
        self.assertEqual(self.places, [])
        self.send(client, CONNECT + b"proxy-authorization: " + BASIC + b"\r\n\r\n")
        self.assertEqual(client.data, ESTABLISHED)
        self.assertEqual([tunnel.status for tunnel in self.factory.tunnels], [407, 407, 407, 407, 200])
        self.assertEqual([tunnel.user for tunnel in self.factory.tunnels], [None, "ann", None, None, "ann"])

    def test_refuse(self) -> None:
        """`refuse` refuses, until it is changed."""
        client = self.connect(self.proxy("http", refuse=403))
        self.send(client, self.asking)
        self.assertEqual((client.data, self.places), (refusal(403, b"Forbidden"), []))
        self.factory.refuse = None
        self.send(client, self.asking)
        self.assertTrue(client.data.endswith(ESTABLISHED))

    def test_refused_with_more_behind(self) -> None:
        """What was meant for a tunnel that there is not is never taken for a request."""
        smuggled = b"GET http://origin.example/ HTTP/1.1\r\nhost: x\r\n\r\n"
        client = self.connect(self.proxy("http", refuse=403), Recorder)
        self.send(client, self.asking + smuggled)
        self.assertEqual((client.data, client.told), (last(refusal(403, b"Forbidden")), ["ConnectionDone"]))
        self.onward.refuse()
        client = self.connect(self.proxy("http"), Recorder)
        self.send(client, self.asking + smuggled)
        self.assertEqual((client.data, client.told), (last(self.failing), ["ConnectionDone"]))
        self.assertEqual(self.factory.requests, [])

    def test_not_a_request(self) -> None:
        """What is no request, or none for a proxy, is refused."""
        host, bad = b"host: x\r\n\r\n", (400, b"Bad Request")
        for sent, status in (
            (b"CONNECT origin.example HTTP/1.1\r\n" + host, bad),
            (b"CONNECT origin.example:0 HTTP/1.1\r\n" + host, bad),
            (b"CONNECT origin.example:65536 HTTP/1.1\r\n" + host, bad),
            (b"CONNECT http://origin.example:1/ HTTP/1.1\r\n" + host, bad),
            (b"CONNECT ann@origin.example:1 HTTP/1.1\r\n" + host, bad),
            (b"GET / HTTP/1.1\r\n" + host, bad),
            (b"GET https://origin.example/ HTTP/1.1\r\n" + host, bad),
        ):
            client = self.connect(self.proxy("http"))
            self.send(client, sent)
            self.assertEqual((client.data, client.told), (refusal(*status), []), sent)
        for sent, status in (
            (CONNECT + b"content-length: 1\r\n\r\n", bad),
            (CONNECT + b"transfer-encoding: chunked\r\n\r\n", bad),
            (CONNECT + b"host: y\r\n\r\n", bad),
            (CONNECT + b"no field\r\n\r\n", bad),
            (b"CONNECT a:1 HTTP/1.1\r\n\r\n", bad),
            (b"CONNECT a:1 HTTP/2.0\r\n" + host, bad),
            (b"POST http://a/ HTTP/1.1\r\ntransfer-encoding: gzip\r\n" + host, bad),
            (b"x" * 65537, (431, b"Request Header Fields Too Large")),
        ):
            client = self.connect(self.proxy("http"), Recorder)
            self.send(client, sent)
            self.assertEqual((client.data, client.told), (last(refusal(*status)), ["ConnectionDone"]), sent[:80])
        self.assertEqual(self.places, [])

    def test_idle_end(self) -> None:
        """A client that ends between requests is let go."""
        client = self.connect(self.proxy("http"), Recorder)
        client.transport.loseConnection()
        self.settle()
        self.assertEqual(client.told, ["ConnectionDone"])
        self.assert_over()


class Socks5Tests(WholeTests, ProxyCase):
    """SOCKS5."""

    kind, asking, accepted, failing = "socks5", GREETING + ADDRESS, b"\5\0" + SUCCEEDED, b"\5\0\5\5\0\1" + bytes(6)

    def talk(self, *sent: bytes, **options: Any) -> Recorder:
        """Send these one after another."""
        client: Recorder = self.connect(self.proxy("socks5", **options), Recorder)
        for data in sent:
            self.send(client, data)
        return client

    def test_addresses(self) -> None:
        """Names are taken as they are, addresses of both families as text."""
        for address, host in ((b"\1\x7f\0\0\1", "127.0.0.1"), (b"\4" + bytes(15) + b"\1", "::1"), (b"\3\1a", "a")):
            client = self.talk(GREETING, b"\5\1\0" + address + b"\0\x50")
            self.assertEqual((client.pieces, self.places[-1]), ([b"\5\0", SUCCEEDED], (host, 80)))

    def test_credentials(self) -> None:
        """A proxy that demands credentials takes those, and no others."""
        options = {"credentials": ("ann", "se:cret")}
        client = self.talk(b"\5\2\0\2", b"\1\3ann\x07se:cret", ADDRESS, **options)
        self.assertEqual((client.pieces, self.factory.tunnels[0].user), ([b"\5\2", b"\1\0", SUCCEEDED], "ann"))
        for sent, answer in (
            ([GREETING], [b"\5\xff"]),
            ([b"\5\1\2", b"\1\3ann\x06secret"], [b"\5\2", b"\1\1"]),
            ([b"\5\1\2", b"\1\3bob\x07se:cret"], [b"\5\2", b"\1\1"]),
            ([b"\5\1\2", b"\2\3ann\x07se:cret"], [b"\5\2"]),
        ):
            client = self.talk(*sent, **options)
            self.assertEqual((client.pieces, client.told), (answer, ["ConnectionDone"]), sent)
        self.assertEqual(len(self.places), 1)

    def test_credentials_byte_by_byte(self) -> None:
        """The messages of RFC 1929 may be cut anywhere."""
        client = self.connect(self.proxy("socks5", credentials=("ann", "se:cret")))
        self.link.chunk_size = 1
        self.send(client, b"\5\2\0\2\1\3ann\x07se:cret" + ADDRESS + b"hello")
        self.assertEqual((client.data, self.origins[0].data), (b"\5\2\1\0" + SUCCEEDED, b"hello"))

    def test_method_not_offered(self) -> None:
        """Without credentials a client has to offer to do without."""
        client = self.talk(b"\5\1\2")
        self.assertEqual((client.pieces, client.told), ([b"\5\xff"], ["ConnectionDone"]))

    def test_refused(self) -> None:
        """By `refuse`, and what is not CONNECT to an address."""
        for sent, options, reply in (
            (ADDRESS, {"refuse": 2}, 2),
            (ADDRESS.replace(b"\5\1", b"\5\2"), {}, 7),
            (b"\5\1\0\2" + bytes(10), {}, 8),
            (b"\5\1\1\3\1a\0\1", {}, 1),
            (b"\5\1\0\3\0\0\1", {}, 1),
        ):
            client = self.talk(GREETING, sent, **options)
            self.assertEqual((client.pieces[1:], client.told), ([b"\5%b\0\1" % bytes([reply]) + bytes(6)], ["ConnectionDone"]))
        self.assertEqual(self.places, [])

    def test_not_socks5(self) -> None:
        """Whoever speaks something else is let go without a word."""
        for sent in (b"\4\1\0\x50\1\2\3\4\0", b"GET / HTTP/1.1\r\n\r\n"):
            client = self.talk(sent)
            self.assertEqual((client.pieces, client.told), ([], ["ConnectionDone"]))
        client = self.talk(GREETING, b"\4")
        self.assertEqual((client.pieces, client.told), ([b"\5\0"], ["ConnectionDone"]))
