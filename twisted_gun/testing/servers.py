"""Servers in memory, by host and port, for what opens its connections itself, however many and wherever to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.error import DNSLookupError
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock

from twisted_gun.connection import Connection
from twisted_gun.opening import open as dial
from twisted_gun.opening import open_url as dial_url
from twisted_gun.testing.links import MemoryEndpoint
from twisted_gun.testing.peers import Peer

__all__ = ["MemoryServers"]


class MemoryServers:
    """
    Servers in memory, and the clock that they share with what is tested.

    `endpoint` is what is given as ``endpoint=``, and `clock` as ``reactor=``, to `twisted_gun.open`, a `Pool` or an `EventSource`; `open`
    and `open_url` do both, in the place of those of the package. A host that nobody serves has no address. `peers` are those of all
    connections so far, in their order, and `peer` is the latest. Nothing happens before the first `pump`.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.peers: list[Any] = []
        self._endpoints: dict[tuple[str, int], MemoryEndpoint] = {}
        self._makers: dict[tuple[str, int], list[Callable[[], Peer]]] = {}

    def serve(self, host: str, port: int, *peers: Callable[[], Peer]) -> MemoryEndpoint:
        """
        Let the next connections to `host` and `port` be served by what these make, one after the other, and by the last from then on.

        Gives the endpoint, which can refuse and hang, and has the links.
        """
        if not peers:
            raise ValueError("expected at least one callable that makes a peer")
        self._makers[host, port] = list(peers)
        endpoint = self.endpoint(host, port)
        endpoint.accept()
        return endpoint

    def endpoint(self, host: str, port: int) -> MemoryEndpoint:
        """What to dial for `host` and `port`; the same each time."""
        if (host, port) not in self._endpoints:
            factory = Factory.forProtocol(lambda: self._next_peer(host, port))
            made = self._endpoints[host, port] = MemoryEndpoint(factory, clock=self.clock)
            made.refuse(DNSLookupError(f"nobody serves {host}:{port} here"))
        return self._endpoints[host, port]

    def open(self, host: str, port: int, **options: Any) -> Connection:
        """As `twisted_gun.open`, to a server here."""
        return dial(host, port, **{"reactor": self.clock, "endpoint": self.endpoint(host, port), **options})

    def open_url(self, url: str, **options: Any) -> Connection:
        """As `twisted_gun.open_url`, to a server here; TLS is real where the URL says so, so http and ws serve better."""
        parts = urlsplit(url)
        endpoint = self.endpoint(parts.hostname or "", parts.port or (443 if parts.scheme in ("https", "wss") else 80))
        return dial_url(url, **{"reactor": self.clock, "endpoint": endpoint, **options})

    @property
    def peer(self) -> Any:
        """The peer of the latest connection; raises AssertionError as long as none was made."""
        assert self.peers, "no connection was made yet; pump() lets the first one happen"
        return self.peers[-1]

    def pump(self) -> None:
        """Move bytes, and run what is due now, until all is quiet; time stands still."""
        self.advance(0.0)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass and all that follows from it happen."""
        self.clock.advance(seconds)

    def _next_peer(self, host: str, port: int) -> Peer:
        makers = self._makers[host, port]
        self.peers.append((makers.pop(0) if len(makers) > 1 else makers[0])())
        return self.peers[-1]  # type: ignore[no-any-return]
