"""
Tunnels as endpoints, and the proxies that URLs name: each reached through the one before it.

A `TunnelEndpoint` is an endpoint as any other, so that TLS, and further proxies, stand on it without knowing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.address import HostnameAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from twisted_gun.events import Headers
from twisted_gun.headers import authority, check_host
from twisted_gun.info import Intermediary
from twisted_gun.net.dial import endpoint_for
from twisted_gun.net.hop import HopOptions
from twisted_gun.net.proxy import Proxy
from twisted_gun.net.tls import ConnectionCreator, TlsEndpoint, connection_creator
from twisted_gun.options import Options, ProxyUrl, TlsOptions

__all__ = ["ProxiedEndpoint", "TunnelEndpoint", "proxied_endpoint", "proxy_of"]


@implementer(IStreamClientEndpoint)
class TunnelEndpoint:
    """
    Leads to `host` and `port` through `proxy`, which looks up the name; `destination` is where it leads to.

    Raises `InvalidRequest` or `OptionError`.
    """

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        self.proxy = proxy
        self._name = proxy.request(host, port).target.decode()
        self.host, self.port = check_host(host), port
        self.destination = HostnameAddress(self.host.encode(), port)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name} through {self.proxy.name}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        A Deferred of a protocol of `protocolFactory`, connected through the tunnel.

        Fails with `ConnectFailed` or `TimedOut` where the proxy cannot be reached, with `TlsFailed`, with `ProxyFailed` where it makes no
        tunnel, with `TimedOut` (stage ``tunnel``) where it does not answer, and with `ConnectingCancelledError` when cancelled.
        """
        return self.proxy.connect(self.host, self.port, protocolFactory)


@implementer(IStreamClientEndpoint)
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ProxiedEndpoint:
    """
    Leads to `destination` through `proxies`, in their order.

    `creator` is what makes the TLS on its outside, if there is any, whose `confirm` is for whoever speaks over it.
    """

    endpoint: IStreamClientEndpoint
    destination: HostnameAddress
    proxies: tuple[tuple[ProxyUrl, Proxy], ...]
    creator: ConnectionCreator | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.endpoint!r}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """As `endpoint`."""
        return self.endpoint.connect(protocolFactory)

    def intermediaries(self) -> tuple[Intermediary, ...]:
        """The proxies that make tunnels on the way, with what was spoken with each last."""
        return tuple(
            Intermediary(
                type="socks5" if url.scheme == "socks5" else "connect",
                host=url.host,
                port=url.port,
                transport="tls" if url.scheme == "https" else "tcp",
                protocol=proxy.protocol or "",
            )
            for url, proxy in self.proxies
        )


def proxied_endpoint(
    reactor: Any, proxies: tuple[ProxyUrl, ...], host: str, port: int, options: Options, *, absolute: bool = False
) -> ProxiedEndpoint:
    """
    What leads to `host` and `port` through `proxies`, by the timeouts and the TLS of `options`; raises `InvalidRequest` or `OptionError`.

    With `absolute` it leads to the last of them instead, over TLS that offers what `options` do, if that is to be.
    """
    *tunnelling, last = proxies
    made: list[tuple[ProxyUrl, Proxy]] = []
    for url in tunnelling if absolute else proxies:
        headers = options.proxy_headers if url is last and last.scheme != "socks5" else ()
        made.append((url, proxy_of(reactor, url, options, before=made[-1][1] if made else None, headers=headers)))
    before = made[-1][1] if made else None
    if absolute:
        endpoint, creator = _way_to(reactor, last, options, before, _tls_options(last, options), options.alpn)
        destination = HostnameAddress(last.host.encode(), last.port)
        return ProxiedEndpoint(endpoint=endpoint, destination=destination, proxies=tuple(made), creator=creator)
    assert before is not None
    tunnel = TunnelEndpoint(before, host, port)
    return ProxiedEndpoint(endpoint=tunnel, destination=tunnel.destination, proxies=tuple(made))


def proxy_of(
    reactor: Any,
    url: ProxyUrl,
    options: Options,
    *,
    before: Proxy | None = None,
    tls: TlsOptions | None = None,
    headers: Headers = (),
) -> Proxy:
    """
    The proxy that `url` names, reached through the one `before` it, if any.

    `tls` is for TLS with it, where the URL does not ask for that by itself; `headers` are sent along with each CONNECT.
    """
    socks = url.scheme == "socks5"
    tls = tls or _tls_options(url, options)
    endpoint, creator = _way_to(reactor, url, options, before, tls, () if socks else options.proxy_alpn)
    hop_options = HopOptions(
        tls_handshake_timeout=options.tls_handshake_timeout,
        # Whether a proxy behind another takes what is sent the hop to the first one watches.
        send_timeout=None if before is not None else options.tcp_opts.send_timeout,
        nodelay=options.tcp_opts.nodelay,
        keepalive=options.tcp_opts.keepalive,
    )
    return Proxy(
        reactor=reactor,
        endpoint=endpoint,
        name=authority(url.host, url.port, 0).decode(),
        socks=socks,
        may_share=tls is not None and not socks,
        username=url.username,
        password=url.password,
        headers=headers,
        creator=creator,
        hop_options=hop_options,
        http2_options=options.http2_opts,
        tunnel_timeout=options.tunnel_timeout,
    )


def _way_to(
    reactor: Any, url: ProxyUrl, options: Options, before: Proxy | None, tls: TlsOptions | None, alpn: tuple[bytes, ...]
) -> tuple[IStreamClientEndpoint, ConnectionCreator | None]:
    """The endpoint that leads to a proxy, and what makes its TLS."""
    if before is not None:
        endpoint: IStreamClientEndpoint = TunnelEndpoint(before, url.host, url.port)
    else:
        endpoint = endpoint_for(reactor, options, url.host, url.port)
    if tls is None:
        return endpoint, None
    creator = connection_creator(url.host, tls, alpn)
    return TlsEndpoint(creator, endpoint, reactor), creator


def _tls_options(url: ProxyUrl, options: Options) -> TlsOptions | None:
    """Those of TLS with a proxy: of the origin's, whom to trust and how, but not who the client is."""
    if url.scheme != "https" or options.proxy_tls_opts is not None:
        return options.proxy_tls_opts if url.scheme == "https" else None
    own = options.tls_opts
    return TlsOptions(trust_root=own.trust_root, minimum=own.minimum, maximum=own.maximum, ciphers=own.ciphers, keylog=own.keylog)
