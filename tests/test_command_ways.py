"""``ws`` and ``sse`` over real sockets, in this process: TLS, proxies, UNIX sockets."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase

from tests.certificates import ServerCreator, authority
from twisted_gun.command.follow import Follow, follow
from twisted_gun.command.talk import Talk, talk
from twisted_gun.testing import Http2WebsocketPeer, ProxyFactory, ScriptedPeer, WebsocketPeer

HOST = "host.example"
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: one\n\n"


def events() -> ScriptedPeer:
    """A server of one event."""
    return ScriptedPeer([("expect", b"\r\n\r\n"), ("send", EVENTS)])


class WaysTests(TestCase):
    """Each command finds its server, whichever way that is."""

    timeout = 30

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.stdout, self.stderr = BytesIO(), StringIO()
        self.pem = Path(self.mktemp()).absolute()
        self.pem.write_bytes(authority().pem)

    def listen(self, factory: Any) -> int:
        """The port where it is served until the test ends."""
        port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    def tls(self, make: Callable[[], Any], host: str = HOST) -> Any:
        """The factory of servers behind TLS."""
        creator = ServerCreator(authority().issue(host), choose=lambda offered: offered[0])
        return TLSMemoryBIOFactory(creator, False, Factory.forProtocol(make))

    def proxy(self, kind: str) -> str:
        """Host and port of a proxy that finds all names on this machine."""
        self.proxied = ProxyFactory(kind, lambda host, port: TCP4ClientEndpoint(self.reactor, "127.0.0.1", port))
        return f"127.0.0.1:{self.listen(self.proxied)}"

    async def talk(self, url: str, typed: bytes = b"hello\n", **order: Any) -> int:
        """Type this to a websocket, and no more."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        os.write(writer, typed)
        os.close(writer)
        return await talk(self.reactor, Talk(url=url, **order), reader, self.stdout, self.stderr)

    async def test_talk_over_tls(self) -> None:
        """wss is verified; it may go over HTTP/2, too."""
        for make, protocol in ((WebsocketPeer, None), (Http2WebsocketPeer, "http2")):
            port = self.listen(self.tls(partial(make, echo=True), "127.0.0.1"))
            url = f"wss://127.0.0.1:{port}/"
            self.assertEqual(await self.talk(url, cacert=str(self.pem), protocol=protocol), 0, self.stderr.getvalue())
            self.assertEqual(await self.talk(url, protocol=protocol), 60)
            self.assertEqual(await self.talk(url, insecure=True, protocol=protocol), 0)
        self.assertEqual(self.stdout.getvalue(), b"hello\n" * 4)

    async def test_talk_through_proxies(self) -> None:
        """A websocket goes through tunnels, with TLS and without."""
        echoing = partial(WebsocketPeer, echo=True)
        plain, secure = self.listen(Factory.forProtocol(echoing)), self.listen(self.tls(echoing))
        for kind, scheme in (("http", "http"), ("socks5", "socks5")):
            way: dict[str, Any] = {"proxies": (f"{scheme}://{self.proxy(kind)}",), "cacert": str(self.pem)}
            self.assertEqual(await self.talk(f"ws://{HOST}:{plain}/", **way), 0, self.stderr.getvalue())
            self.assertEqual(await self.talk(f"wss://{HOST}:{secure}/", **way), 0, self.stderr.getvalue())
            self.assertEqual([(tunnel.host, tunnel.port) for tunnel in self.proxied.tunnels], [(HOST, plain), (HOST, secure)])
        self.assertEqual(self.stdout.getvalue(), b"hello\n" * 4)

    async def test_follow_over_tls(self) -> None:
        """An event stream of https is verified."""
        url = f"https://127.0.0.1:{self.listen(self.tls(events, '127.0.0.1'))}/"
        order = Follow(url=url, cacert=str(self.pem), most=1, protocol="http")
        self.assertEqual(await follow(self.reactor, order, self.stdout, self.stderr), 0, self.stderr.getvalue())
        self.assertEqual(await follow(self.reactor, Follow(url=url, retry=0), self.stdout, self.stderr), 60)
        self.assertEqual(self.stdout.getvalue(), b"one\n")

    async def test_follow_through_a_proxy(self) -> None:
        """A proxy is asked for the URL itself, as with get."""
        url = f"http://{HOST}:{self.listen(Factory.forProtocol(events))}/feed"
        order = Follow(url=url, proxies=(f"http://{self.proxy('http')}",), most=1)
        self.assertEqual(await follow(self.reactor, order, self.stdout, self.stderr), 0, self.stderr.getvalue())
        self.assertEqual([request.target for request in self.proxied.requests], [url.encode()])

    async def test_unix(self) -> None:
        """A UNIX socket takes the place of the host, which is named all the same."""
        peers: list[Any] = []

        def serve() -> Any:
            peers.append(events() if not peers else WebsocketPeer(echo=True))
            return peers[-1]

        path = os.path.relpath(self.mktemp())
        port = self.reactor.listenUNIX(path, Factory.forProtocol(serve))
        self.addCleanup(port.stopListening)
        order = Follow(url=f"http://{HOST}:8080/", unix=path, most=1)
        self.assertEqual(await follow(self.reactor, order, self.stdout, self.stderr), 0, self.stderr.getvalue())
        self.assertEqual(await self.talk(f"ws://{HOST}/", unix=path), 0, self.stderr.getvalue())
        self.assertEqual(dict(peers[0].requests[0].headers)[b"host"], f"{HOST}:8080".encode())
        self.assertEqual(dict(peers[1].handshake.headers)[b"host"], HOST.encode())
        self.assertEqual(await self.talk(f"ws://{HOST}/", unix="nowhere"), 7)
        self.assertIn("no such UNIX socket", self.stderr.getvalue())
