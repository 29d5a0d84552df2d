"""Servers in memory for requests by URL: one for each origin, with a script for each connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import ServerCreator
from twisted_gun.testing import MemoryEndpoint, ScriptedPeer
from twisted_gun.testing.peers import Peer
from twisted_gun.websocket.by_url import Request, Response, attach

#: Makes the peer of one connection.
MakePeer = Callable[[], Peer]


def answer(status: int, *fields: str, body: bytes = b"") -> MakePeer:
    """A server that answers the first request with `status`, header `fields` and `body`."""
    head = "".join(f"{field}\r\n" for field in (f"content-length: {len(body)}", *fields))
    return raw(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body)


def raw(data: bytes) -> MakePeer:
    """A server that answers the head of a request with `data`."""
    return lambda: ScriptedPeer([("expect", b"\r\n\r\n"), ("send", data)])


def silent() -> Peer:
    """A server that never answers."""
    return ScriptedPeer()


def hanging_up() -> Peer:
    """A server that closes the connection when it was asked."""
    return ScriptedPeer([("expect", b"\r\n\r\n"), ("close",)])


class Servers:
    """The servers of each (host, port), `clock`, and the connections that were made, in their order, as `peers`."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.endpoints: dict[tuple[str, int], MemoryEndpoint] = {}
        self.peers: list[Any] = []
        self.dialled: list[tuple[str, int]] = []
        self._scripts: dict[tuple[str, int], list[MakePeer]] = {}

    def serve(self, host: str, port: int, *makers: MakePeer, tls: ServerCreator | None = None) -> MemoryEndpoint:
        """
        Let the next connections to `host` and `port` be served by these, one after the other, and the last of them from then on.

        With `tls` they show a certificate.
        """
        self._scripts[host, port] = list(makers)
        factory: Any = Factory.forProtocol(lambda: self._next(host, port))
        if tls is not None:
            factory = TLSMemoryBIOFactory(tls, False, factory, clock=self.clock)
        made = MemoryEndpoint(factory, clock=self.clock)
        self.endpoints[host, port] = made
        return made

    def endpoint(self, host: str, port: int) -> MemoryEndpoint:
        """What `connect_options` are given as ``endpoint``."""
        self.dialled.append((host, port))
        return self.endpoints[host, port]

    def request(self, url: str, **options: Any) -> Request:
        """A request that is dialled here."""
        connect = {"endpoint": self.endpoint, **options.pop("connect_options", {})}
        return attach(url=url, reactor=self.clock, connect_options=connect, **options)

    def requests(self) -> list[tuple[bytes, bytes, dict[bytes, bytes]]]:
        """Method, target and headers of the first request on each connection."""
        return [(first.method, first.target, dict(first.headers)) for peer in self.peers for first in peer.requests[:1]]

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass, and all happen that follows."""
        self.clock.advance(seconds)

    def _next(self, host: str, port: int) -> Peer:
        scripts = self._scripts[host, port]
        peer = (scripts.pop(0) if len(scripts) > 1 else scripts[0])()
        self.peers.append(peer)
        return peer


class ByUrlCase(SynchronousTestCase):
    """A test of requests by URL, with `servers`, which leaves nothing behind."""

    def setUp(self) -> None:
        self.servers = Servers()

    def got(self, deferred: Deferred[Response]) -> Response:
        """The response that is there once all is quiet."""
        self.servers.advance()
        return self.successResultOf(deferred)

    def failed(self, deferred: Deferred[Any], kind: type[BaseException]) -> Any:
        """What `deferred` failed with once all is quiet."""
        self.servers.advance()
        return self.failureResultOf(deferred, kind).value

    def assert_nothing_left(self) -> None:
        """No delayed call and no open connection is left."""
        self.servers.advance()
        self.assertEqual(self.servers.clock.getDelayedCalls(), [])
        for endpoint in self.servers.endpoints.values():
            for link in endpoint.links:
                self.assertTrue(link.client.disconnected)
