"""What tests of origins and of agents share: servers in memory for any number of hosts, over TLS where that is asked for, and a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

import twisted_gun as gun
from tests.certificates import ServerCreator, authority
from tests.peers import Peers
from tests.stage import answering, every_answer
from twisted_gun.origins import Identity, Origins
from twisted_gun.testing import Http2Peer, MemoryEndpoint, ScriptedPeer

__all__ = ["OriginsCase", "OriginsWorld", "Servers", "h1", "h2", "trusting"]


def trusting() -> dict[str, Any]:
    """The options of TLS by which servers over TLS in memory are trusted."""
    return {"trust_root": trustRootFromCertificates([Certificate.loadPEM(authority().pem)])}


def h1() -> ScriptedPeer:
    """A server of HTTP/1.1 that answers everything."""
    return ScriptedPeer(answering())


def h2(**settings: int) -> Any:
    """What makes servers of HTTP/2 that answer everything with its path."""
    return lambda: Http2Peer(every_answer, settings=settings)


class Servers(Peers):
    """
    Servers in memory, one for each host and port that is dialled; `peer` makes the server's end of each connection.

    With `alpn` all of them speak TLS, and choose this protocol; None knows nothing of ALPN. `endpoints` are what was dialled, by host and
    port. Nothing happens before the first `pump`.
    """

    def __init__(self, peer: Callable[[], Any] = ScriptedPeer, *, tls: bool = False, alpn: bytes | None = None) -> None:
        super().__init__(peer)
        self.endpoints: dict[tuple[str, int], MemoryEndpoint] = {}
        self._tls, self._alpn = tls, alpn

    def endpoint(self, host: str, port: int) -> MemoryEndpoint:
        """What is dialled for `host` and `port`."""
        key = host, port
        if key not in self.endpoints:
            factory: Any = Factory.forProtocol(self._new_peer)
            if self._tls:
                chosen = self._alpn
                options: dict[str, Any] = {} if chosen is None else {"choose": lambda offered: chosen}
                factory = TLSMemoryBIOFactory(ServerCreator(authority().issue(host), **options), False, factory, clock=self.clock)
            self.endpoints[key] = MemoryEndpoint(factory, clock=self.clock)
        return self.endpoints[key]

    def assert_all_ended(self, case: SynchronousTestCase) -> None:
        """No connection, and no delayed call, is left."""
        for endpoint in self.endpoints.values():
            for link in endpoint.links:
                case.assertTrue(link.client.disconnected)
        case.assertEqual(self.clock.getDelayedCalls(), [])

    @property
    def attempts(self) -> int:
        """How many connections were dialled."""
        return sum(endpoint.attempts for endpoint in self.endpoints.values())


class OriginsWorld(Servers):
    """Origins whose servers are in memory; `options` are theirs."""

    def __init__(self, peer: Callable[[], Any] = ScriptedPeer, *, tls: bool = False, alpn: bytes | None = None, **options: Any) -> None:
        super().__init__(peer, tls=tls, alpn=alpn)
        self.scheme = "https" if tls else "http"
        if tls:
            options["tls_opts"] = {**trusting(), **options.get("tls_opts", {})}
        self.origins = Origins(self.clock, **{"endpoint": self.endpoint, **options})
        self._identities: dict[str, Identity] = {}
        self.requested: list[Deferred[Any]] = []

    def identity(self, host: str = "example.org") -> Identity:
        """That of `host`, by the scheme of this world."""
        if host not in self._identities:
            self._identities[host] = self.origins.identity(self.scheme, host, 443 if self.scheme == "https" else 80)
        return self._identities[host]

    def ask(self, path: str = "/", *, host: str = "example.org", method: str = "GET", **options: Any) -> Deferred[Any]:
        """A request, without a pump."""
        self.requested.append(self.origins.request(self.identity(host), method, path, **options))
        return self.requested[-1]

    def asked(self) -> list[bytes]:
        """The targets of all requests that have arrived, connection by connection."""
        return [getattr(request, "target", None) or request.path for peer in self.peers for request in peer.requests]


class OriginsCase(SynchronousTestCase):
    """Asserts what must be true of all origins."""

    def body(self, world: Servers, deferred: Deferred[Any]) -> bytes:
        """The content of the answer that `deferred` has given."""
        stream = self.successResultOf(deferred)
        awaited = stream.await_body()
        world.pump()
        return self.successResultOf(awaited)  # type: ignore[no-any-return]

    def end(self, world: OriginsWorld) -> None:
        """Close all, which leaves nothing behind; requests that nobody has looked after may end so."""
        for requested in world.requested:
            requested.addErrback(lambda failure: failure.trap(gun.StreamClosed, gun.ShuttingDown, CancelledError))
        ended = world.origins.close()
        world.pump()
        self.successResultOf(ended)
        self.assert_nothing_left(world)

    def assert_nothing_left(self, world: OriginsWorld) -> None:
        """After their end origins leave no connection, no request that waits, and no delayed call behind."""
        info = world.origins.info()
        self.assertEqual((info.origins, info.connections, info.idle, info.waiting), (0, 0, 0, 0))
        world.assert_all_ended(self)
