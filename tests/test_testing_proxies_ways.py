"""`twisted_gun.testing.proxies`: forwarded requests, proxies under TLS and behind proxies, and real sockets."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.certificates import ServerCreator, authority
from tests.test_testing import HalfRecorder, Recorder
from tests.test_testing_proxies import (
    ADDRESS,
    BASIC,
    CHALLENGE,
    CONNECT,
    ESTABLISHED,
    GREETING,
    MARK,
    MUCH,
    SUCCEEDED,
    ProxyCase,
    last,
    refusal,
)
from tests.test_testing_proxies_http2 import WINDOW, Http2Case, Http2Client
from twisted_gun.net.tls import TlsEndpoint, connection_creator
from twisted_gun.options import TlsOptions
from twisted_gun.testing import MemoryEndpoint
from twisted_gun.testing.proxies import ProxyFactory

GET = b"GET http://origin.example/path?query HTTP/1.1\r\nhost: origin.example\r\n\r\n"
POST = b"POST http://origin.example:81/ HTTP/1.1\r\nhost: x\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
PROXIED = b"via: 1.1 proxy\r\nconnection: close\r\n"
BAD_GATEWAY = refusal(502, b"Bad Gateway")


def in_chunks(*pieces: bytes) -> bytes:
    """Content as chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


class Http1ForwardingTests(ProxyCase):
    """Requests in absolute-form, over HTTP/1.1."""

    def start(self, **options: Any) -> Any:
        """A client's connection."""
        return self.connect(self.proxy("http", **options), Recorder)

    def answer(self, client: Any, asked: bytes, answered: bytes) -> bytes:
        """What the client gets for this request, where the origin answers so and closes."""
        client.pieces.clear()
        self.send(client, asked)
        self.origins[-1].transport.write(answered)
        self.origins[-1].transport.loseConnection()
        self.settle()
        data: bytes = client.data
        return data

    def test_forwarded(self) -> None:
        """A request reaches its origin in origin-form; the connection serves another one behind it."""
        client = self.start()
        self.assertEqual(self.answer(client, GET, OK), OK)
        self.assertEqual(self.origins[0].data, b"GET /path?query HTTP/1.1\r\nhost: origin.example\r\n" + PROXIED + b"\r\n")
        for target, line, host in (
            (b"GET http://[::1]:81?a", b"GET /?a", b"[::1]:81"),
            (b"GET HTTP://a", b"GET /", b"a"),
            (b"OPTIONS http://a", b"OPTIONS *", b"a"),
        ):
            self.assertEqual(self.answer(client, target + b" HTTP/1.1\r\nhost: x\r\n\r\n", OK), OK)
            self.assertEqual(self.origins[-1].data, b"%b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (line, host, PROXIED))
        self.assertEqual(self.places, [("origin.example", 80), ("::1", 81), ("a", 80), ("a", 80)])
        first = self.factory.requests[0]
        self.assertEqual((first.method, first.target, first.status), (b"GET", b"http://origin.example/path?query", 200))
        self.assertEqual((first.headers, self.factory.tunnels), (((b"host", b"origin.example"),), []))

    def test_fields(self) -> None:
        """What is for the proxy does not reach the origin, nor what is for the next hop the client."""
        client = self.start(credentials=("ann", "se:cret"))
        fields = b"connection: x, te\r\nx: 1\r\ny: 2\r\nte: trailers\r\nproxy-authorization: %b\r\n\r\n" % BASIC
        answered = b"HTTP/1.1 200 OK\r\nconnection: a\r\na: 1\r\nb: 2\r\nkeep-alive: 5\r\ncontent-length: 0\r\n\r\n"
        self.assertEqual(self.answer(client, GET[:-2] + fields, answered), b"HTTP/1.1 200 OK\r\nb: 2\r\ncontent-length: 0\r\n\r\n")
        self.assertIn(b"host: origin.example\r\ny: 2\r\n" + PROXIED, self.origins[0].data)
        self.assertEqual(self.factory.requests[0].user, "ann")

    def test_content(self) -> None:
        """The content of a request is passed on as it comes, with a length or in chunks."""
        for chunk_size in (1, MARK):
            client = self.start()
            self.link.chunk_size = chunk_size
            self.assertEqual(self.answer(client, POST + b"content-length: 5\r\n\r\nhello", OK), OK)
            self.assertEqual(
                self.origins[-1].data, b"POST / HTTP/1.1\r\nhost: origin.example:81\r\ncontent-length: 5\r\n%b\r\nhello" % PROXIED
            )
            self.assertEqual(self.answer(client, POST + b"transfer-encoding: chunked\r\n\r\n" + in_chunks(b"hello", b"you"), OK), OK)
            head, _, content = self.origins[-1].data.partition(b"\r\n\r\n")
            self.assertTrue(head.endswith(b"transfer-encoding: chunked"))
            self.assertEqual(content, in_chunks(*([b"helloyou"] if chunk_size > 1 else [b"%c" % byte for byte in b"helloyou"])))

    def test_responses(self) -> None:
        """A response is passed on, however its end is told."""
        client = self.start()
        head = b"HTTP/1.1 200 OK\r\n"
        early = b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"
        chunked = head + b"transfer-encoding: chunked\r\n\r\n" + in_chunks(b"hello")
        for asked, answered, expected in (
            (GET, chunked, chunked),
            (GET, chunked.replace(b"0\r\n\r\n", b"0\r\ntrailer: 1\r\n\r\n"), chunked),
            (GET, early + OK, early + OK),
            (GET, head + b"\r\nhello", chunked),
            (GET.replace(b"GET", b"HEAD"), head + b"content-length: 9\r\n\r\n", head + b"content-length: 9\r\n\r\n"),
            (GET, b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"),
            (GET[:-2] + b"connection: close\r\n\r\n", OK, last(OK)),
        ):
            self.assertEqual(self.answer(client, asked, answered), expected)
        self.assertEqual(client.told, ["ConnectionDone"])
        self.assert_over()

    def test_http_1_0(self) -> None:
        """A client of HTTP/1.0 gets neither chunks nor interim responses."""
        for answered, expected in (
            (b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK, last(OK)),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + in_chunks(b"hello"), last(b"HTTP/1.1 200 OK\r\n\r\nhello")),
        ):
            client = self.start()
            asked = GET.replace(b"HTTP/1.1", b"HTTP/1.0")
            self.assertEqual((self.answer(client, asked, answered), client.told), (expected, ["ConnectionDone"]))

    def test_one_after_another(self) -> None:
        """Requests that come before their turn wait for it, and are bounded."""
        client = self.start()
        self.send(client, GET * 30 + b"x" * 4_000_000)
        for number in range(30):
            self.assertEqual((len(self.origins), self.link.server.reading), (number + 1, False))
            self.assertLessEqual(self.link.server.end.delivered, 2 * MARK)
            self.send(self.origins[number], OK)
        self.assertEqual(client.data, OK * 30 + last(refusal(431, b"Request Header Fields Too Large")))

    def test_failing(self) -> None:
        """Where there is no response it is 502; where it is cut off so is the connection."""
        client = self.start()
        self.onward.refuse(times=1)
        self.send(client, GET)
        self.assertEqual(client.data, BAD_GATEWAY)
        for answered in (b"", b"HTTP/1.1 200", b"what?\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"):
            self.assertEqual(self.answer(client, GET, answered), BAD_GATEWAY, answered)
        self.onward.refuse(times=1)
        client.pieces.clear()
        self.send(client, GET.replace(b"GET", b"HEAD"))
        self.assertTrue(client.data.endswith(b"content-length: 0\r\n\r\n"))
        self.assertEqual(len([request for request in self.factory.requests if request.failure is not None]), 6)
        self.assertEqual((self.answer(client, GET, OK[:-1]), client.told), (OK[:-1], ["ConnectionDone"]))
        self.assert_over()
        client = self.start()
        self.send(client, GET.replace(b"HTTP/1.1", b"HTTP/1.0"))
        self.send(self.origins[-1], b"HTTP/1.1 200 OK\r\n\r\nhe")
        self.abort(self.origins[-1])
        self.assertEqual((client.data, client.told), (last(b"HTTP/1.1 200 OK\r\n\r\nhe"), ["ConnectionLost"]))
        self.assert_over()

    def test_refused(self) -> None:
        """As a tunnel is; whose content was not read is let go behind the answer."""
        client = self.start(credentials=("ann", "se:cret"))
        self.send(client, GET)
        self.send(client, POST + b"content-length: 5\r\n\r\nhello" + GET)
        self.assertEqual((client.data, client.told, self.places), (CHALLENGE + last(CHALLENGE), ["ConnectionDone"], []))

    def test_answered_early(self) -> None:
        """A response that is complete before the request is ends the connection."""
        client = self.start()
        self.assertEqual(self.answer(client, POST + b"content-length: 5\r\n\r\nhe", OK), OK)
        self.assertEqual(client.told, ["ConnectionDone"])

    def test_not_chunks(self) -> None:
        """Content that cannot be read resets both sides."""
        client = self.start()
        self.send(client, POST + b"transfer-encoding: chunked\r\n\r\n5\r\nhello")
        self.send(client, b"!")
        self.assertEqual((client.told, self.origins[0].told), (["ConnectionLost"], ["ConnectionLost"]))

    def test_the_client_ends(self) -> None:
        """A client that sends FIN behind a request is answered; one that goes in the midst of it resets the origin."""
        client = self.connect(self.proxy("http"))
        client.transport.write(GET)
        self.half_close(client)
        self.send(self.origins[0], OK)
        self.assertEqual((client.data, client.told), (OK, ["write", "read"]))
        for leave in ("loseWriteConnection", "abortConnection"):
            client = self.connect(self.proxy("http"))
            self.send(client, POST + b"content-length: 5\r\n\r\nhe")
            getattr(client.transport, leave)()
            self.settle()
            self.assertEqual(self.origins[-1].told, ["ConnectionLost"])

    def test_back_pressure(self) -> None:
        """Each side waits for the other."""
        client = self.start()
        self.send(client, POST.replace(b"HTTP/1.1", b"HTTP/1.0") + b"content-length: %d\r\n\r\n" % len(MUCH))
        self.origins[0].transport.pauseProducing()
        self.send(client, MUCH)
        self.assertLessEqual(self.onward.links[0].client.buffered, 2 * MARK)
        self.origins[0].transport.resumeProducing()
        self.settle()
        self.assertTrue(self.origins[0].data.endswith(MUCH))
        client.transport.pauseProducing()
        self.send(self.origins[0], b"HTTP/1.1 200 OK\r\n\r\n" + MUCH)
        self.assertLessEqual(self.link.server.buffered, 2 * MARK)
        client.transport.resumeProducing()
        self.origins[0].transport.loseConnection()
        self.settle()
        self.assertTrue(client.data == last(b"HTTP/1.1 200 OK\r\n\r\n") + MUCH)


class Http2ForwardingTests(Http2Case):
    """Requests with :scheme http, over HTTP/2."""

    def answer(self, answered: bytes) -> None:
        """Let the origin answer so, and close."""
        self.settle()
        self.origins[-1].transport.write(answered)
        self.origins[-1].transport.loseConnection()
        self.settle()

    def test_forwarded(self) -> None:
        """A request becomes one of HTTP/1.1, and the response one of HTTP/2."""
        client = self.start()
        stream = client.get("http://origin.example/path?query", cookie="a")
        self.answer(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\ntransfer-encoding: chunked\r\n\r\n" + in_chunks(b"hello"))
        self.assertEqual(self.origins[0].data, b"GET /path?query HTTP/1.1\r\nhost: origin.example\r\ncookie: a\r\n" + PROXIED + b"\r\n")
        self.assertEqual((client.told[stream], client.data[stream]), ([103, 200, "end"], b"hello"))
        self.assertEqual(client.fields[stream], {":status": "200", "a": "b"})
        (request,) = self.factory.requests
        self.assertEqual((request.method, request.target, request.status), (b"GET", b"http://origin.example/path?query", 200))
        self.assertEqual((request.headers, self.places), (((b"cookie", b"a"),), [("origin.example", 80)]))
        self.end(client)

    def test_content(self) -> None:
        """Content comes with its length, or in chunks."""
        client = self.start()
        for fields, content in (({}, in_chunks(b"hello")), ({"content-length": "5"}, b"hello")):
            stream = client.get(method="POST", end=False, **fields)
            client.send(stream, b"hello", end=True)
            self.answer(OK)
            self.assertEqual(self.origins[-1].data.partition(b"\r\n\r\n")[2], content)
            self.assertEqual((client.told[stream], client.data[stream]), ([200, "end"], b"ok"))
        self.end(client)

    def test_other_answers(self) -> None:
        """No content, no response, half a response, one that comes early; and what is refused."""
        client = self.start()
        for method, end, answered, told in (
            ("HEAD", True, OK[:-2], [200, "end"]),
            ("GET", True, b"", [502, "end"]),
            ("GET", True, OK[:-1], [200, "INTERNAL_ERROR"]),
            ("POST", False, OK, [200, "end", "NO_ERROR"]),
        ):
            stream = client.get(method=method, end=end)
            self.answer(answered)
            self.assertEqual(client.told[stream], told)
        stream = client.get("https://origin.example/")
        self.factory.credentials = ("ann", "se:cret")
        other = client.get()
        self.settle()
        self.assertEqual((client.told[stream], client.told[other]), ([400, "end"], [407, "end"]))
        self.end(client)

    def test_back_pressure(self) -> None:
        """Each side waits for the other."""
        client = self.start()
        stream = client.get(method="POST", end=False)
        self.settle()
        self.origins[0].transport.pauseProducing()
        client.acknowledging = False
        client.send(stream, MUCH)
        self.settle()
        self.assertLessEqual(self.onward.links[0].client.buffered, 2 * MARK)
        self.origins[0].transport.resumeProducing()
        self.settle()
        self.assertEqual(self.origins[0].data.count(MUCH[:256]) > 7000, True)
        self.send(self.origins[0], b"HTTP/1.1 200 OK\r\n\r\n" + MUCH)
        self.assertEqual((len(client.data[stream]), self.onward.links[0].client.reading), (WINDOW, False))
        client.acknowledge()
        self.origins[0].transport.loseConnection()
        self.settle()
        self.assertTrue(client.data[stream] == MUCH)


class TlsTests(ProxyCase):
    """Proxies with TLS below them."""

    def tls(self, factory: ProxyFactory, alpn: tuple[bytes, ...]) -> IStreamClientEndpoint:
        """The way to a proxy under TLS, for a client that offers these protocols."""
        creator = ServerCreator(authority().issue("proxy.example"), choose=lambda offered: offered[0])
        self.near = MemoryEndpoint(TLSMemoryBIOFactory(creator, False, factory, clock=self.clock), clock=self.clock)
        trusted = trustRootFromCertificates([Certificate.loadPEM(authority().pem)])
        return TlsEndpoint(connection_creator("proxy.example", TlsOptions(trust_root=trusted), alpn), self.near, self.clock)

    def start(self, *alpn: bytes, protocol: Any = Recorder, kind: str = "http2+http") -> Any:
        """A client whose handshake is done."""
        self.proxy(kind)
        client = self.connect(self.tls(self.factory, alpn), protocol)
        self.link = self.near.links[-1]
        return client

    def test_alpn(self) -> None:
        """The protocol is the one that was negotiated, HTTP/1.1 where none was."""
        for alpn in ((b"http/1.1",), ()):
            client = self.start(*alpn)
            self.send(client, CONNECT + b"\r\n")
            self.assertEqual((client.data, self.factory.connections[0].protocol), (ESTABLISHED, "http"))

    def test_alpn_http2(self) -> None:
        """HTTP/2 where that was negotiated, or where the proxy speaks nothing else."""
        for kind in ("http2+http", "http2"):
            client = self.start(b"h2", b"http/1.1", protocol=Http2Client, kind=kind)
            stream = client.connect()
            self.settle()
            self.send(self.origins[-1], MUCH)
            self.assertEqual((client.data[stream] == MUCH, self.factory.connections[0].protocol), (True, "http2"))
            self.origins[-1].transport.loseConnection()
            client.transport.loseConnection()
            self.settle()
            self.assert_over()

    def test_the_origin_ends(self) -> None:
        """An origin's FIN is close_notify behind all that came before."""
        client = self.start()
        self.send(client, CONNECT + b"\r\n")
        self.origins[0].transport.write(MUCH)
        self.origins[0].transport.loseConnection()
        self.settle()
        self.assertTrue(client.data == ESTABLISHED + MUCH)
        self.assertEqual(client.told, ["ConnectionDone"])
        self.assert_over()

    def test_the_client_ends(self) -> None:
        """close_notify ends both connections, in good order: TLS has no halves."""
        self.origin = Recorder
        client = self.start(kind="socks5")
        self.send(client, GREETING + ADDRESS)
        client.transport.write(MUCH)
        client.transport.loseConnection()
        self.settle()
        self.assertEqual((self.origins[0].data == MUCH, self.origins[0].told), (True, ["ConnectionDone"]))
        self.assert_over()

    def test_aborts(self) -> None:
        """A reset of either side is one of the other."""
        for which in (0, 1):
            client = self.start()
            self.send(client, CONNECT + b"\r\n")
            self.abort((client, self.origins[-1])[which])
            self.assertEqual((client, self.origins[-1])[1 - which].told, ["ConnectionLost"])
            self.assert_over()

    def test_back_pressure(self) -> None:
        """Both ways, and then the end."""
        client = self.start()
        self.send(client, CONNECT + b"\r\n")
        client.transport.pauseProducing()
        self.origins[0].transport.pauseProducing()
        client.transport.write(MUCH)
        self.send(self.origins[0], MUCH)
        self.assertLessEqual(self.factory.tunnels[0].received, 4 * MARK)
        self.assertLessEqual(self.factory.tunnels[0].sent, 4 * MARK)
        client.transport.resumeProducing()
        self.origins[0].transport.resumeProducing()
        self.settle()
        self.assertEqual((client.data == ESTABLISHED + MUCH, self.origins[0].data == MUCH), (True, True))

    def test_an_origin_with_tls(self) -> None:
        """A tunnel that ends at an endpoint with TLS is closed by close_notify, not cut off below it."""
        far = TLSMemoryBIOFactory(
            ServerCreator(authority().issue("proxy.example")), False, Factory.forProtocol(self.new_origin), clock=self.clock
        )
        inner, self.origin = MemoryEndpoint(far, clock=self.clock), Recorder
        client = self.connect(self.proxy("http"))
        trusted = trustRootFromCertificates([Certificate.loadPEM(authority().pem)])
        creator = connection_creator("proxy.example", TlsOptions(trust_root=trusted), ())
        self.factory.dial = lambda host, port: TlsEndpoint(creator, inner, self.clock)
        self.send(client, CONNECT + b"\r\nhello")
        client.transport.write(MUCH)
        self.half_close(client)
        self.assertEqual((self.origins[0].data == b"hello" + MUCH, self.origins[0].told), (True, ["ConnectionDone"]))
        self.assertEqual((client.data, client.told), (ESTABLISHED, ["write", "read"]))


class ChainTests(ProxyCase):
    """Proxies behind proxies."""

    def test_two_deep(self) -> None:
        """Each hop is asked for the next one, whatever it speaks, and ends with it."""
        second = ProxyFactory("http", self.dial)
        third = ProxyFactory("socks5", self.dial)
        ways = {"second.example": MemoryEndpoint(second, clock=self.clock), "third.example": MemoryEndpoint(third, clock=self.clock)}
        way = self.proxy("http")
        self.factory.dial = second.dial = lambda host, port: ways[host]
        client = self.connect(way, Recorder)
        for sent, answer in (
            (b"CONNECT second.example:3128 HTTP/1.1\r\nhost: x\r\n\r\n", ESTABLISHED),
            (b"CONNECT third.example:1080 HTTP/1.1\r\nhost: x\r\n\r\n", ESTABLISHED),
            (GREETING + ADDRESS, b"\5\0" + SUCCEEDED),
        ):
            self.send(client, sent)
            self.assertEqual(client.data, answer)
            client.pieces.clear()
        self.send(client, b"hello")
        self.send(self.origins[0], MUCH)
        self.assertEqual((self.origins[0].data, client.data == MUCH), (b"hello", True))
        self.origins[0].transport.loseConnection()
        self.settle()
        self.assertEqual((client.told, self.places), (["ConnectionDone"], [("origin.example", 443)]))
        self.assertEqual([tunnel.open for proxy in (self.factory, second, third) for tunnel in proxy.tunnels], [False] * 3)
        self.assert_over()


class Answering(HalfRecorder):
    """Answers all that it got by `MUCH` when that has ended, and then ends itself; `gone` has a result when it has."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: Deferred[None] = Deferred()

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self.transport.write(MUCH)
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.gone.callback(None)


class Asking(Answering):
    """Sends `asked` and `MUCH`, then FIN, and waits for the end."""

    def __init__(self, asked: bytes) -> None:
        super().__init__()
        self.asked = asked

    def connectionMade(self) -> None:
        self.transport.write(self.asked + MUCH)
        self.transport.loseWriteConnection()

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()


class Http2Asking(Http2Client):
    """The same, over HTTP/2."""

    ended = False

    def connectionMade(self) -> None:
        super().connectionMade()
        self.gone: Deferred[None] = Deferred()
        self.stream = self.connect()
        self.send(self.stream, MUCH)

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if not self.waiting[self.stream] and not self.ended:
            self.ended = True
            self.send(self.stream, b"", end=True)
        if "end" in self.told[self.stream]:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.gone.callback(None)


class SocketTests(TestCase):
    """Over TCP on the loopback."""

    async def through(self, kind: str, client: Any) -> Answering:
        """Let `client` through such a proxy; returns the origin's end."""
        from twisted.internet import reactor

        def dial(host: str, port: int) -> IStreamClientEndpoint:
            return TCP4ClientEndpoint(reactor, "127.0.0.1", ports[1].getHost().port)

        origin, proxy = Answering(), ProxyFactory(kind, dial)
        far = Factory.forProtocol(lambda: origin)
        far.noisy = False
        listening = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        ports = [await listening.listen(proxy), await listening.listen(far)]
        near = Factory.forProtocol(lambda: client)
        near.noisy = False
        await TCP4ClientEndpoint(reactor, "127.0.0.1", ports[0].getHost().port).connect(near)
        await client.gone
        await origin.gone
        for port in ports:
            await port.stopListening()
        (tunnel,) = proxy.tunnels
        self.assertEqual((tunnel.sent, tunnel.received, tunnel.open), (len(MUCH), len(MUCH), False))
        return origin

    async def test_whole_connections(self) -> None:
        """Two million bytes there, FIN, two million bytes back, and the end."""
        for kind, asked, answered in (
            ("http", CONNECT + b"\r\n", ESTABLISHED),
            ("socks5", GREETING + ADDRESS, b"\5\0" + SUCCEEDED),
        ):
            client = Asking(asked)
            origin = await self.through(kind, client)
            self.assertEqual((origin.data == MUCH, client.data == answered + MUCH), (True, True))

    async def test_http2(self) -> None:
        """The same through a stream."""
        client = Http2Asking()
        origin = await self.through("http2", client)
        self.assertEqual((origin.data == MUCH, client.data[client.stream] == MUCH), (True, True))
