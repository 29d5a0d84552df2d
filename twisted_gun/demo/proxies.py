"""
The demo's proxies, which alone know where `NAME` is: those of `twisted_gun.testing`, made to die and come back as its origins do.

Of what goes through them they know how much it is.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from twisted_gun.demo.server import NAME, Server
from twisted_gun.testing.proxies import ProxyConnection, ProxyFactory, Tunnel

__all__ = ["PASSWORD", "USER", "ProxyServer"]

#: The credentials of the proxies that want some.
USER, PASSWORD = "demo", "secret"


class ProxyServer(Server):
    """
    A proxy of a `kind` that `ProxyFactory` knows, with TLS where ALPN has a `protocol` to choose.

    With `locked` it wants `USER` and `PASSWORD`.
    """

    def __init__(self, reactor: Any, kind: str, protocol: bytes | None = None, locked: bool = False) -> None:
        self._proxies = _Factory(kind, self._dial, credentials=(USER, PASSWORD) if locked else None)
        super().__init__(reactor, self._proxies, protocol)

    @property
    def tunnels(self) -> list[Tunnel]:
        """Those that were asked for since the proxy began, the first one first."""
        return self._proxies.tunnels

    def _dial(self, host: str, port: int) -> TCP4ClientEndpoint:
        if host != NAME:
            raise LookupError(f"{host} is not known here")
        return TCP4ClientEndpoint(self._reactor, "127.0.0.1", port)


class _Factory(ProxyFactory):
    """Builds connections that say when they are gone."""

    server: Server

    def buildProtocol(self, addr: IAddress | None) -> ProxyConnection:
        self.connections.append(_Connection(self))
        return self.connections[-1]


class _Connection(ProxyConnection):
    """One that says when it is gone."""

    proxy: _Factory

    def __init__(self, proxy: _Factory) -> None:
        super().__init__(proxy)
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.proxy.server.connections.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.proxy.server.connections.discard(self)
        super().connectionLost(reason)
        self.gone.callback(None)
