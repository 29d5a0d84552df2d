"""
Dialling, as it is where there is an event handler: who wants to see it (`DialWatch`) is told when names are looked up, and dialled.

The endpoints are those that dial anyway; `watched_endpoint` puts those that tell in the place of those that do not.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Protocol as Interface
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure

from twisted_gun.net.dial import HappyEyeballsEndpoint
from twisted_gun.net.hop import HopWatch
from twisted_gun.net.proxied import ProxiedEndpoint, TunnelEndpoint
from twisted_gun.net.tls import ConnectionCreator, TlsEndpoint

__all__ = ["DialWatch", "looks_up", "watched_endpoint"]


class DialWatch(Interface):
    """Who wants to see a connection being dialled; what these raise fails the attempt."""

    def looking_up(self, host: str, port: int, timeout: float | None) -> None:
        """A name is about to be looked up, in so many seconds at most."""

    def looked_up(self, found: list[str] | Failure) -> None:
        """These are its addresses; or there are none."""

    def connecting(self, timeout: float | None) -> None:
        """They are about to be dialled."""

    def of_proxy(self, creator: ConnectionCreator, timeout: float | None) -> HopWatch:
        """Who wants to see a connection to a proxy begin, over TLS by `creator`."""


class _Watched(HappyEyeballsEndpoint):
    """One that tells `watch` of its steps."""

    watch: DialWatch

    def _look_up(self) -> Deferred[list[str]]:
        self.watch.looking_up(self.host, self.port, self.lookup_timeout)
        return super()._look_up().addBoth(self._looked_up)

    def _looked_up(self, found: list[str] | Failure) -> list[str] | Failure:
        self.watch.looked_up(found)
        return found

    def _race(self, addresses: list[str], factory: IProtocolFactory) -> Deferred[IProtocol]:
        self.watch.connecting(self.connect_timeout)
        return super()._race(addresses, factory)


def looks_up(endpoint: object) -> bool:
    """Whether `endpoint` looks up a name, or takes an address for one, and dials that itself."""
    if isinstance(endpoint, TlsEndpoint):
        return looks_up(endpoint._endpoint)
    if isinstance(endpoint, ProxiedEndpoint):
        return looks_up(endpoint.endpoint)
    if isinstance(endpoint, TunnelEndpoint):
        return looks_up(endpoint.proxy.endpoint)
    return isinstance(endpoint, HappyEyeballsEndpoint)


def watched_endpoint(endpoint: IStreamClientEndpoint, watch: DialWatch) -> IStreamClientEndpoint:
    """`endpoint`, which belongs to one connection alone, as one that tells `watch`."""
    if isinstance(endpoint, TlsEndpoint):
        endpoint._endpoint = watched_endpoint(endpoint._endpoint, watch)
    elif isinstance(endpoint, ProxiedEndpoint):
        return cast(IStreamClientEndpoint, replace(endpoint, endpoint=watched_endpoint(endpoint.endpoint, watch)))
    elif isinstance(endpoint, TunnelEndpoint):
        proxy = endpoint.proxy
        proxy.endpoint = watched_endpoint(proxy.endpoint, watch)
        if proxy.creator is not None:
            options = proxy.hop_options
            proxy.hop_options = replace(options, watch=watch.of_proxy(proxy.creator, options.tls_handshake_timeout))
    elif isinstance(endpoint, HappyEyeballsEndpoint):
        copied = {field.name: getattr(endpoint, field.name) for field in fields(endpoint) if field.init}
        watched = _Watched(**copied)
        watched.watch = watch
        return cast(IStreamClientEndpoint, watched)
    return endpoint
