"""
Proxies and origins in memory, by the names of what they speak, and a way through them.

`Way` opens a connection to the first of several proxies, asks each for a tunnel to the next, and the last for one to the origin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory

import twisted_gun as gun
from tests.certificates import ServerCreator, authority
from tests.stage import every_answer
from twisted_gun.testing import Http2Peer, MemoryEndpoint, RecordingReceiver, ScriptedPeer
from twisted_gun.testing.proxies import ProxyFactory

#: What a proxy may speak: how it is reached, and the kind of proxy.
PROXIES = {
    "http": ("tcp", "http"),
    "https": ("tls", "http"),
    "h2c": ("tcp", "http2"),
    "h2": ("tls", "http2"),
    "socks5": ("tcp", "socks5"),
    "socks5s": ("tls", "socks5"),
}
#: What an origin may speak: how it is reached, and the name of its protocol.
ORIGINS = {
    "http": ("tcp", "http"),
    "https": ("tls", "http"),
    "h2c": ("tcp", "http2"),
    "h2": ("tls", "http2"),
    "raw": ("tcp", "raw"),
    "raws": ("tls", "raw"),
}
PORT = 8080
#: How Gun calls the protocol of each kind of proxy.
NAMES = {"http": "http", "http2": "http2", "socks5": "socks"}


class Echo(Protocol):
    """Sends back what it is sent."""

    def __init__(self) -> None:
        self.lost: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]

    def connectionLost(self, reason: Any = None) -> None:  # type: ignore[override]
        self.lost = reason


def answer(peer: Any) -> None:
    """Answer each request by its target."""
    for request in peer.requests[peer.answered :]:
        if not request.complete:
            return
        peer.answered += 1
        body = request.target
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


class Answering(ScriptedPeer):
    """An HTTP/1.1 server that answers each request by its target."""

    answered = 0

    def __init__(self) -> None:
        super().__init__(answer)


class Way:
    """
    Named `proxies` in their order, and an `origin`; each is a host of its name and place, "0.http" say.

    `wanted` are the server's further options of TLS by host, `credentials` are what every proxy demands.
    """

    def __init__(
        self,
        proxies: Sequence[str],
        origin: str,
        *,
        peer: Callable[[], Any] | None = None,
        credentials: tuple[str, str] | None = None,
        certificates: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.clock = Clock()
        self.proxies, self.origin, self.options = list(proxies), origin, options
        self.credentials = credentials
        self.hosts = [f"p{place}.{name}.example" for place, name in enumerate(proxies)] + ["origin.example"]
        self.certificates = certificates or {}
        self.peers: list[Any] = []
        self.peer = peer or {"http": Answering, "http2": lambda: Http2Peer(every_answer), "raw": Echo}[ORIGINS[origin][1]]
        self.factories: list[ProxyFactory] = []
        self.endpoints: dict[str, MemoryEndpoint] = {}
        for host, name in zip(self.hosts, proxies, strict=False):
            self.factories.append(ProxyFactory(PROXIES[name][1], self._dial, credentials=credentials))
            self._serve(host, self.factories[-1], *PROXIES[name])
        self._serve(self.hosts[-1], Factory.forProtocol(self._new_peer), *ORIGINS[origin])  # type: ignore[arg-type]
        self.owner = RecordingReceiver()
        self.tunnels: list[gun.Tunnel] = []

    def _new_peer(self) -> Any:
        self.peers.append(self.peer())
        return self.peers[-1]

    def _serve(self, host: str, factory: Any, transport: str, protocol: str) -> None:
        if transport == "tls":
            chosen = {"http": b"http/1.1", "http2": b"h2"}.get(protocol)
            choose: dict[str, Any] = {} if chosen is None else {"choose": lambda offered: chosen}
            creator = ServerCreator(authority().issue(self.certificates.get(host, host)), **choose)
            factory = TLSMemoryBIOFactory(creator, False, factory, clock=self.clock)
        self.endpoints[host] = MemoryEndpoint(factory, clock=self.clock)

    def _dial(self, host: str, port: int) -> MemoryEndpoint:
        assert port == PORT
        return self.endpoints[host]

    def protocols(self, place: int, **end: Any) -> Any:
        """What is spoken with the host at `place`; with a SOCKS proxy, on the way to the next one."""
        name = self.proxies[place] if place < len(self.proxies) else self.origin
        protocol = (PROXIES if place < len(self.proxies) else ORIGINS)[name][1]
        return [("socks", {**self.destination(place + 1, socks=True), **end})] if protocol == "socks5" else [protocol]

    def destination(self, place: int, socks: bool = False) -> dict[str, Any]:
        """The destination that the host at `place` is; credentials are for who is asked to lead there."""
        name = self.proxies[place] if place < len(self.proxies) else self.origin
        transport = (PROXIES if place < len(self.proxies) else ORIGINS)[name][0]
        end = {"host": self.hosts[place], "port": PORT, "transport": transport, "tls_opts": self.tls, "protocols": self.protocols(place)}
        if self.credentials is not None:
            username, password = self.credentials
            end |= {"auth": [("username_password", username, password)]} if socks else {"username": username, "password": password}
        return end

    @property
    def tls(self) -> dict[str, Any]:
        """Whom to trust."""
        return {"trust_root": trustRootFromCertificates([Certificate.loadPEM(authority().pem)])}

    def open(self) -> gun.Connection:
        """Open the connection to the first proxy."""
        end = self.destination(0)
        self.connection = gun.open(
            self.hosts[0],
            PORT,
            reactor=self.clock,
            endpoint=self.endpoints[self.hosts[0]],
            owner=self.owner,
            transport=end["transport"],
            tls_opts=end["tls_opts"],
            protocols=end["protocols"],
            **self.options,
        )
        return self.connection

    def connect(self, **request_options: Any) -> Any:
        """Open it, and ask each HTTP proxy for the tunnel to the next host; give what requests are made of."""
        way: Any = self.open()
        self.pump()
        place = 0
        while place < len(self.proxies):
            if PROXIES[self.proxies[place]][1] != "socks5":
                way = way.connect(self.destination(place + 1), **request_options)
                self.tunnels.append(way)
                self.pump()
            place += 1
        return way

    def pump(self) -> None:
        """Move bytes until all is quiet."""
        self.clock.advance(0)
