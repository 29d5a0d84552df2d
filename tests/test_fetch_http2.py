"""``get`` over HTTP/2: how it is chosen, what is told of it, and what its failures end with."""

from __future__ import annotations

from functools import partial
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.certificates import ServerCreator, authority
from tests.test_fetch import FetchCase, Server
from twisted_gun import fetch as module
from twisted_gun.fetch import Order, fetch
from twisted_gun.testing import Http2Peer, MemoryEndpoint, Peer, ScriptedPeer
from twisted_gun.wire.frames import ErrorCode


def answer(peer: Http2Peer) -> None:
    """A greeting for each request that is complete."""
    for request in peer.requests:
        if request.complete and not request.answered:
            peer.respond(request, 200, {"x": "y"}, b"hello")


class Http2FetchTests(FetchCase):
    """`fetch`, with a server of HTTP/2 that does what `script` says, over TCP or behind TLS."""

    def serve(self, script: Any = answer, **settings: int) -> None:
        """Listen, without TLS."""
        self.peers: list[Http2Peer] = []
        self.url = f"http://127.0.0.1:{self.listen(self.reactor.listenTCP, 0, self.factory(script, settings), interface='127.0.0.1')}/path"

    def serve_tls(self, factory: Factory, choose: Any = None) -> ServerCreator:
        """Listen behind TLS, where `choose` picks from what ALPN offers."""
        creator = ServerCreator(authority().issue("127.0.0.1"), choose=choose)
        wrapped = TLSMemoryBIOFactory(creator, False, factory)
        self.url = f"https://127.0.0.1:{self.listen(self.reactor.listenTCP, 0, wrapped, interface='127.0.0.1')}/path"
        self.pem = self.folder.with_suffix(".pem")
        self.pem.write_bytes(authority().pem)
        return creator

    def factory(self, script: Any, settings: dict[str, int] | None = None) -> Any:
        """What makes the server's protocols."""

        def build() -> Http2Peer:
            self.peers.append(Http2Peer(script, settings=settings))
            return self.peers[-1]

        self.peers = []
        factory: Any = Factory.forProtocol(build)
        factory.noisy = False
        return factory

    async def test_prior_knowledge(self) -> None:
        """Over http HTTP/2 is spoken where that was ordered; the request is what it is over HTTP/1.1."""
        self.serve()
        self.assertEqual(await self.get(protocol="http2", headers=(("a", "b"),)), 0)
        self.assertEqual((self.stdout.getvalue(), self.stderr.getvalue()), (b"hello", ""))
        (request,) = self.peers[0].requests
        self.assertEqual((request.method, request.path, request.scheme), (b"GET", b"/path", b"http"))
        self.assertEqual(request.authority, self.url.split("/")[2].encode())
        self.assertEqual(dict(request.headers)[b"user-agent"], f"twisted_gun/{gun.__version__}".encode())
        self.assertEqual(dict(request.headers)[b"a"], b"b")
        self.assertEqual(self.peers[0].gone_away, (0, 0))

    async def test_negotiated(self) -> None:
        """Over https both are offered, HTTP/2 first, and the server chooses; an order for one offers nothing else."""
        creator = self.serve_tls(self.factory(answer), lambda offered: offered[0])
        self.assertEqual(await self.get(cacert=str(self.pem)), 0)
        self.assertEqual(await self.get(cacert=str(self.pem), protocol="http2"), 0)
        self.assertEqual(creator.offered, [[b"h2", b"http/1.1"], [b"h2"]])
        self.assertEqual([len(peer.requests) for peer in self.peers], [1, 1])
        creator = self.serve_tls(Server(), lambda offered: b"http/1.1")
        self.assertEqual(await self.get(cacert=str(self.pem)), 0)
        self.assertEqual(await self.get(cacert=str(self.pem), protocol="http"), 0)
        self.assertEqual(creator.offered, [[b"h2", b"http/1.1"], [b"http/1.1"]])
        self.assertEqual(self.stdout.getvalue(), b"hello" * 4)

    async def test_include(self) -> None:
        """-i writes the version that was spoken; there is no reason phrase."""
        self.serve()
        await self.get(protocol="http2", include=True)
        self.assertEqual(self.stdout.getvalue(), b"HTTP/2 200 \r\nx: y\r\n\r\nhello")

    async def test_verbose(self) -> None:
        """-v tells the protocol and the server's settings, also where it has none of its own."""
        for settings, told in (({"max_concurrent_streams": 7, "max_frame_size": 20_000}, "max_concurrent_streams 7, max_frame_size 20000"),
                               ({}, "the defaults")):  # fmt: skip
            self.stderr = StringIO()
            self.serve(**settings)
            self.assertEqual(await self.get(protocol="http2", verbose=True), 0)
            for line in ("* up: http2", f"* settings: {told}", "> GET /path", "< 200", "< x: y"):
                self.assertIn(line + "\n", self.stderr.getvalue())

    async def test_trailers(self) -> None:
        """Trailers end an answer as well as its last content does."""
        self.serve([("expect", b"GET /path"), ("respond", 200, {}, b"hello", True, {"sum": "7"})])
        self.assertEqual(await self.get(protocol="http2", verbose=True), 0)
        self.assertEqual(self.stdout.getvalue(), b"hello")
        self.assertIn("< sum: 7\n", self.stderr.getvalue())

    async def test_data_of_file(self) -> None:
        """A file goes out as the server's windows let it, with its length."""
        content = bytes(range(256)) * 4096
        self.file.write_bytes(content)
        self.serve()
        self.assertEqual(await self.get(protocol="http2", data=f"@{self.file}"), 0)
        (request,) = self.peers[0].requests
        self.assertEqual((request.method, request.body), (b"POST", content))
        self.assertEqual(dict(request.headers)[b"content-length"], b"%d" % len(content))

    async def test_reset(self) -> None:
        """A stream that the server resets is 92, and what it advises is said."""
        for code, told in ((ErrorCode.CANCEL, "CANCEL"), (ErrorCode.HTTP_1_1_REQUIRED, "take --http1.1")):
            self.stderr = StringIO()
            self.serve([("expect", b"GET /path"), ("reset", code)])
            self.assertEqual(await self.get(protocol="http2", output=str(self.file)), 92)
            self.assert_told("Stream reset by server", told)
            self.assertFalse(self.file.exists())

    async def test_goes_away(self) -> None:
        """A server that goes away and did not process the request is 52, for it can be made again."""
        self.serve([("expect", b"GET /path"), ("goaway", 0)])
        self.assertEqual(await self.get(protocol="http2"), 52)
        self.assert_told("not processed")

    async def test_truncated(self) -> None:
        """An answer that is cut off is 18."""
        self.serve([("expect", b"GET /path"), ("respond", 200, {}, b"hell", False), ("close",)])
        self.assertEqual(await self.get(protocol="http2"), 18)
        self.assert_told("cut off after 4 bytes")

    async def test_silent(self) -> None:
        """Silence is 28, before the answer and in the middle of it."""
        hanging: list[tuple[Any, str]] = [
            ([], "response"),
            ([("expect", b"GET /path"), ("respond", 200, {}, b"hell", False)], "idle"),
        ]
        for script, stage in hanging:
            self.stderr = StringIO()
            self.serve(script)
            self.assertEqual(await self.get(protocol="http2", timeout=0.05), 28)
            self.assert_told(stage, "--timeout")

    async def test_not_spoken(self) -> None:
        """A server that does not speak what was ordered is told as that."""
        self.url = f"http://127.0.0.1:{self.listen(self.reactor.listenTCP, 0, _busy(), interface='127.0.0.1')}/path"
        self.assertEqual(await self.get(protocol="http2"), 1)
        self.assert_told("Appears to be an HTTP/1 response?", "leave out --http2")
        self.stderr = StringIO()
        self.assertEqual(await self.get(protocol="http2", verbose=True), 1)
        self.assertIn("* error: Invalid connection preface received. Appears", self.stderr.getvalue())
        self.stderr = StringIO()
        self.serve_tls(_busy())  # without ALPN
        self.assertEqual(await self.get(protocol="http2", cacert=str(self.pem)), 1)
        self.assert_told("Appears to be an HTTP/1 response?", "leave out --http2")


def _busy() -> Factory:
    """A server of HTTP/1.1 that answers whatever it is sent."""
    server = Server()
    server.answer = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n"
    return server


class SilenceCase(SynchronousTestCase):
    """How long a silence of the server may be; with a clock that stands still."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.stderr = StringIO()

    def start(self, peer: Peer) -> None:
        """Send 200,000 bytes to `peer`, whose longest silence is ten seconds."""
        endpoint = MemoryEndpoint(Factory.forProtocol(lambda: peer), clock=self.clock)
        self.patch(module, "open_url", partial(gun.open_url, endpoint=endpoint))
        file = Path(self.mktemp())
        file.write_bytes(bytes(200_000))
        order = Order(url="http://host/", data=f"@{file}", protocol="http2", timeout=10.0)
        self.getting = Deferred.fromCoroutine(fetch(self.clock, order, BytesIO(), self.stderr))
        self.clock.pump([0] * 50)


class SlowUploadTests(SilenceCase):
    """A server that opens its windows when it is told to."""

    def setUp(self) -> None:
        super().setUp()
        self.peer = Http2Peer(open_windows=False)
        self.start(self.peer)

    def open_windows(self) -> None:
        """The server takes another 65,535 bytes."""
        (request,) = self.peer.requests
        for stream in (0, request.stream_id):
            self.peer.window_update(stream, 65_535)
        self.clock.pump([0] * 50)

    def test_goes_on(self) -> None:
        """A server that takes the content slowly is not silent, though it says nothing."""
        for taken in (65_535, 131_070, 196_605):
            self.assertEqual(len(self.peer.requests[0].body), taken)
            self.clock.advance(9.0)
            self.assertNoResult(self.getting)
            self.open_windows()
        self.assertTrue(self.peer.requests[0].complete)
        self.clock.advance(9.0)
        self.peer.respond(self.peer.requests[0], 204)
        self.clock.pump([0] * 50)
        self.assertEqual((self.successResultOf(self.getting), self.stderr.getvalue()), (0, ""))

    def test_stops(self) -> None:
        """One that takes no more of it is given up after two such times at most."""
        self.clock.advance(9.0)
        self.open_windows()
        self.clock.pump([1.0] * 20)
        self.assertEqual(self.successResultOf(self.getting), 28)
        self.assertIn("response took longer than 10.0 seconds", self.stderr.getvalue())


class NoPrefaceTests(SilenceCase):
    """A server that says nothing at all."""

    def test_preface(self) -> None:
        """A server that does not even begin to speak HTTP/2 is given up."""
        self.start(ScriptedPeer())
        self.clock.advance(9.9)
        self.assertNoResult(self.getting)
        self.clock.advance(0.2)
        self.assertEqual(self.successResultOf(self.getting), 28)
        self.assertIn("The preface was not received", self.stderr.getvalue())
