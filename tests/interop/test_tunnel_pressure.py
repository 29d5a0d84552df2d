"""
Back-pressure through TLS in TLS, over HTTP/2's CONNECT: who does not read stops who sends, at the other end of the way.

The origin is one of our own, on a socket, so that it can be asked how much it has written and told not to read. A stream has come to rest
once it has moved no byte while others have gone to and fro on the same way many times.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python import log
from twisted.trial.unittest import TestCase
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

import twisted_gun as gun
from tests.certificates import Issued, ServerCreator, authority
from tests.interop.proxies import Nghttpx, Tinyproxy, missing_proxy
from tests.interop.servers import close, temporary_directory
from tests.interop.test_tunnel_transfers import own_proxy
from twisted_gun.testing import Http2Peer

PIECE = bytes(range(256)) * 256
#: How much is to be sent: more than all windows and buffers on the way hold.
TOTAL = 1024 * len(PIECE)
DIGEST = hashlib.sha256(PIECE * 1024).hexdigest()

#: The windows of HTTP/2 that the client opens, in bytes, and by how much more it renews them.
WINDOW = 1_000_000
MARGIN = gun.Http2Options().stream_window_margin_size

#: What those on the way may have taken and not passed on, in bytes: what they read at once, and what they write before they pause. That is
#: 128 KiB each of the origin, of nghttpx and of the client's socket, 192 KiB of tinyproxy, 64 KiB each of the stream and of either TLS.
BUFFERS = 1_000_000

#: How often others go to and fro meanwhile.
ROUNDS = 20


class Origin(Protocol):
    """
    An origin of HTTP/1.1: "/much" is TOTAL bytes, written until its transport says to pause; what is sent to "/slow" it does not read.

    Whatever else is asked for is answered by its path.
    """

    transport: Any
    server: Server

    def __init__(self) -> None:
        self._received = b""
        self._left = 0  # bytes of content to come
        self._digest = hashlib.sha256()

    def dataReceived(self, data: bytes) -> None:
        if self._left:
            self._take(data)
            return
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if end:
            self._received = b""
            self._asked(head, rest)

    def _asked(self, head: bytes, rest: bytes) -> None:
        path = head.split(b" ", 2)[1]
        if path == b"/much":
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % TOTAL)
            Source(self.transport, self.server).start()
        elif path == b"/slow":
            self._left = TOTAL
            self.transport.pauseProducing()
            self.server.slow = self
            self._take(rest)
        else:
            self._answer(path)

    def _take(self, data: bytes) -> None:
        self.server.read += len(data)
        self._digest.update(data)
        self._left -= len(data)
        if not self._left:
            self._answer(self._digest.hexdigest().encode())

    def _answer(self, content: bytes) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content))


class Http2Origin(Http2Peer):
    """The same of HTTP/2: of "/much" it sends what the windows let out."""

    server: Server

    seen = 0

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        for request in self.requests[self.seen :]:
            self.seen += 1
            if request.path == b"/much":
                self.server.much = self, request
            self.respond(request, body=PIECE * 1024 if request.path == b"/much" else request.path)


class Server(Factory):
    """Builds the connections of an origin; `written` is how much of "/much" it has written, `read` how much of what is sent to "/slow"."""

    noisy = False

    def __init__(self, http2: bool) -> None:
        self.http2 = http2
        self.connections: list[Any] = []
        self.counted = self.read = 0
        self.much: tuple[Http2Origin, Any] | None = None
        self.slow: Any = None

    @property
    def written(self) -> int:
        """How much of "/much" was written."""
        return self.counted if self.much is None else TOTAL - self.much[0].unsent(self.much[1])

    def buildProtocol(self, addr: object) -> Any:
        built = Http2Origin() if self.http2 else Origin()
        built.server = self
        self.connections.append(built)
        return built

    def drop(self) -> None:
        """Drop all connections: the proxies would close them, but later."""
        for connection in self.connections:
            if connection.transport.connected:  # Twisted's TLS raises where it is aborted after it was lost
                connection.transport.abortConnection()


@implementer(IPushProducer)
class Source:
    """Writes TOTAL bytes to `transport`, until it is paused, and on when it is resumed."""

    def __init__(self, transport: Any, server: Server) -> None:
        self._transport, self._server = transport, server
        self._paused = False

    def start(self) -> None:
        """Begin."""
        self._transport.registerProducer(self, True)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        while not self._paused and self._server.counted < TOTAL:
            self._server.counted += len(PIECE)
            self._transport.write(PIECE)
        if self._server.counted == TOTAL:
            self._transport.unregisterProducer()

    def stopProducing(self) -> None:
        self._paused = True


@implementer(IBodyProducer)
class Content:
    """TOTAL bytes as the content of a request; `written` counts them."""

    length = TOTAL

    def __init__(self) -> None:
        self.written = 0
        self.paused = False
        self._done: Deferred[None] = Deferred()

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self._consumer = consumer
        self.resumeProducing()
        return self._done

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        while not self.paused and self.written < TOTAL:
            self.written += len(PIECE)
            self._consumer.write(PIECE)
        if self.written == TOTAL and not self._done.called:
            self._done.callback(None)

    def stopProducing(self) -> None:
        self.paused = True


class Counting(gun.Receiver):
    """Counts the events with data, and what is in them; `ended` fires at the end."""

    def __init__(self) -> None:
        self.events = self.size = 0
        self.digest = hashlib.sha256()
        self.ended: Deferred[None] = Deferred()

    def gun_data(self, event: gun.Data) -> None:
        self.events += 1
        self.size += len(event.data)
        self.digest.update(event.data)
        if event.fin:
            self.ended.callback(None)

    def gun_error(self, event: gun.Error) -> None:
        self.ended.errback(event.reason)


class PressureCase(TestCase):
    """A way to an origin through a proxy of HTTP/2; `ports` are those where the way has sockets."""

    timeout = 120
    skip = None if sys.platform == "linux" else "THIS IS NOT LINUX: back-pressure through tunnels was not measured"

    async def setUp(self) -> None:  # type: ignore[override]
        self.root = temporary_directory(self)
        self.root.chmod(0o755)
        self.issued = authority().issue("127.0.0.1")
        (self.root / "server.pem").write_bytes(self.issued.pem)
        (self.root / "authority.pem").write_bytes(authority().pem)
        self.ports = await self.start_proxy(self.issued)

    async def start_proxy(self, issued: Issued) -> list[int]:
        """Start it, with this certificate; its port, and those of others behind it."""
        raise NotImplementedError

    def serve(self, http2: bool = False) -> Server:
        """An origin, which listens over TLS; its port becomes the last of `ports`."""
        from twisted.internet import reactor

        listener: Any = reactor
        server = Server(http2)
        over_tls = TLSMemoryBIOFactory(ServerCreator(self.issued, choose=lambda offered: offered[0]), False, server)
        listening = listener.listenTCP(0, over_tls, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        self.addCleanup(server.drop)
        self.ports.append(listening.getHost().port)
        return server

    @property
    def opts(self) -> dict[str, Any]:
        """Options of a connection."""
        windows = {"initial_stream_window_size": WINDOW}
        return {"tls_opts": {"trust_root": str(self.root / "authority.pem")}, "http2_opts": windows, "retry": 0}

    async def tunnels(self, protocol: str = "http") -> tuple[Any, Any]:
        """Two tunnels through one connection to the proxy, both to the origin, when they are up."""
        conn = gun.open("127.0.0.1", self.ports[0], transport="tls", protocols=["http2"], **self.opts)
        self.addCleanup(close, conn)
        await conn.await_up()
        end = {"host": "127.0.0.1", "port": self.ports[-1], "transport": "tls", "protocols": [protocol], "tls_opts": self.opts["tls_opts"]}
        first, second = conn.connect(end), conn.connect(end)
        for tunnel in (first, second):
            self.assertEqual(await tunnel.await_up(), protocol)
        return first, second

    async def rest(self, count: Callable[[], int], *others: Any) -> int:
        """Wait until what is counted grows no more while requests go through `others`; how much it is then."""
        before = 0
        while count() > before or not before:
            before = count()
            for number in range(ROUNDS):
                for other in others:
                    self.assertEqual(await other.get(f"/{number}").await_body(30.0), b"/%d" % number)
        return before

    def assert_held(self, what: str, count: int, windows: int) -> None:
        """Of what was counted no more is on its way than the kernel says it has, and windows and buffers hold."""
        kernel = sum(queued(self.ports))
        log.msg(f"{type(self).__name__} {what}: {count} bytes, of which the kernel has {kernel} and windows {windows} at most")
        self.assertLess(count, TOTAL)
        self.assertLess(count, kernel + windows + BUFFERS)

    async def read_all(self, stream: gun.Stream) -> None:
        """Read on, at last: all of it comes."""
        self.assertEqual((await stream.await_response()).status, 200)
        size, digest = 0, hashlib.sha256()
        async for chunk in stream.chunks():
            size += len(chunk)
            digest.update(chunk)
        self.assertEqual((size, digest.hexdigest()), (TOTAL, DIGEST))


def queued(ports: list[int]) -> Iterator[int]:
    """How many bytes the kernel has in the queues of each socket at one of these ports, at either end: /proc/net/tcp says so."""
    wanted = {f"{port:04X}" for port in ports}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, here, there, _, queues, *_ = line.split()
        if wanted & {here.rpartition(":")[2], there.rpartition(":")[2]}:
            yield sum(int(size, 16) for size in queues.split(":"))


if TYPE_CHECKING:
    _Case = PressureCase
else:
    _Case = object


class PressureTests(_Case):
    """What each proxy is to pass on."""

    async def test_unread(self) -> None:
        """A stream that nobody reads stops the origin, and no other tunnel of the connection; read, it brings all."""
        server = self.serve()
        tunnel, other = await self.tunnels()
        stream = tunnel.get("/much")
        written = await self.rest(lambda: server.written, other)
        self.assert_held("unread", written, WINDOW + MARGIN)
        await self.read_all(stream)

    async def test_flow(self) -> None:
        """So does one whose receiver has allowed one event."""
        server = self.serve()
        tunnel, other = await self.tunnels()
        told = Counting()
        stream = tunnel.get("/much", flow=1, reply_to=told)
        written = await self.rest(lambda: server.written, other)
        self.assert_held("flow=1", written, WINDOW + MARGIN)
        self.assertEqual(told.events, 1)
        stream.update_flow(TOTAL)
        await told.ended
        self.assertEqual((told.size, told.digest.hexdigest()), (TOTAL, DIGEST))

    async def test_unread_by_http2(self) -> None:
        """With HTTP/2 in the tunnel it is the stream's window there that stops the origin, and other streams of the tunnel go on, too."""
        server = self.serve(http2=True)
        tunnel, other = await self.tunnels("http2")
        stream = tunnel.get("/much")
        written = await self.rest(lambda: server.written, other, tunnel)
        self.assert_held("unread, by HTTP/2", written, WINDOW + MARGIN)
        await self.read_all(stream)

    async def test_upload(self) -> None:
        """An origin that does not read stops the producer of the request's content, and no other tunnel; then it gets all."""
        server = self.serve()
        tunnel, other = await self.tunnels()
        content: Any = Content()
        stream = tunnel.put("/slow", body=content)
        written = await self.rest(lambda: content.written, other)
        self.assertTrue(content.paused)
        self.assert_held("upload", written - server.read, 0)
        server.slow.transport.resumeProducing()
        self.assertEqual((await stream.await_response(None)).status, 200)
        self.assertEqual(await stream.await_body(), DIGEST.encode())
        self.assertEqual((content.written, server.read), (TOTAL, TOTAL))

    async def test_by_option(self) -> None:
        """Through the option `proxy` it is the same."""
        server = self.serve()
        proxy, url = f"https://127.0.0.1:{self.ports[0]}", f"https://127.0.0.1:{self.ports[-1]}"
        first, other = (gun.open_url(url, protocols=["http"], proxy=proxy, **self.opts) for _ in range(2))
        for conn in (first, other):
            self.addCleanup(close, conn)
        stream = first.get("/much")
        written = await self.rest(lambda: server.written, other)
        self.assert_held("unread, by option", written, WINDOW + MARGIN)
        await self.read_all(stream)


class Roomy(Nghttpx):
    """nghttpx with a window of its connections that one stream cannot fill: by default both are 64 KiB, and who is stuck sticks all."""

    def arguments(self) -> Sequence[str]:
        return (f"--frontend-http2-connection-window-size={8 * len(PIECE)}", *super().arguments())


class NghttpxTests(PressureTests, PressureCase):
    """Through nghttpx, and tinyproxy behind it."""

    skip = PressureCase.skip or missing_proxy(Nghttpx, Tinyproxy)

    async def start_proxy(self, issued: Issued) -> list[int]:
        behind = Tinyproxy(self)
        proxy = Roomy(self, behind=behind, tls=issued)
        await proxy.start()
        return [proxy.port, behind.port]


class OwnTests(PressureTests, PressureCase):
    """Through the proxy of `twisted_gun.testing`, in a process of its own."""

    async def start_proxy(self, issued: Issued) -> list[int]:
        printed = await own_proxy(self, "http2+http", self.root / "server.pem").start()
        return [json.loads(printed)["port"]]
