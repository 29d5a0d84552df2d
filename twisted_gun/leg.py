"""
One leg of a connection's way: whom it leads to, over what transport, and what may be spoken there.

A connection without tunnels has one; each tunnel adds one, and so does each SOCKS proxy. Options become legs here, checked, with all
files of TLS read, before anything is dialled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted_gun.errors import ConnectionFailed, OptionError
from twisted_gun.headers import authority
from twisted_gun.info import Origin
from twisted_gun.net.tls import ConnectionCreator, connection_creator
from twisted_gun.options import Destination, Http2Options, HttpOptions, Options, SocksOptions
from twisted_gun.options.protocols import alpn, settled_protocols
from twisted_gun.request import Forward

__all__ = ["Leg", "first_leg", "leg_to"]

_PROTOCOLS = {b"h2": "http2", b"http/1.1": "http"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """
    Where a leg leads to: `origin` over `transport`, in one of `protocols`, each with its options.

    `creator` makes TLS connections, None without TLS. `onward` is where a SOCKS proxy at its end leads on to. `tunnel_timeout` bounds the
    time until a proxy has made the tunnel that this leg goes through. `forward` is how requests are given to a proxy that sends them on.
    """

    origin: Origin
    transport: str
    protocols: tuple[tuple[str, Any], ...]
    http: HttpOptions
    http2: Http2Options
    creator: ConnectionCreator | None
    tls_handshake_timeout: float | None
    tunnel_timeout: float | None
    onward: Leg | None
    forward: Forward | None = None

    @property
    def where(self) -> str:
        """Host and port, for messages."""
        return authority(self.origin.host, self.origin.port, 0).decode()

    @property
    def only(self) -> str | None:
        """The protocol, where it can be no other."""
        return self.protocols[0][0] if len(self.protocols) == 1 else None

    @property
    def takes_requests(self) -> bool:
        """Whether HTTP is spoken at its end."""
        return self.only not in ("raw", "socks")

    @property
    def options(self) -> Any:
        """Those of the only protocol."""
        return self.protocols[0][1]

    def chosen(self, negotiated: bytes | None) -> str:
        """For what ALPN negotiated: without an answer, the only one offered, else HTTP/1.1; as Gun. Raises `ConnectionFailed`."""
        if negotiated is None:
            return self.only or "http"
        name = _PROTOCOLS.get(negotiated, "")
        if not any(name == offered for offered, _ in self.protocols):
            raise ConnectionFailed(f"the server chose {negotiated!r}, which was not offered (RFC 7301 section 3.2)")
        return name


def first_leg(origin: Origin, options: Options) -> Leg:
    """The first leg of a connection, by its settled `options`."""
    assert options.protocols is not None and options.transport is not None
    creator = connection_creator(origin.host, options.tls_opts, options.alpn) if options.transport == "tls" else None
    return _leg(origin, options.transport, options.protocols, creator, options, options)


def leg_to(end: Destination | SocksOptions, options: Options, before: tuple[SocksOptions, ...] = ()) -> Leg:
    """
    The leg to where a proxy shall lead; protocols without options of their own take those of the connection.

    `before` are the SOCKS proxies whose legs lead to this one.
    """
    if any(end is each for each in before):
        raise OptionError("socks_opts.protocols", "('socks', options) with host and port of what the next proxy shall lead to")
    protocols = settled_protocols(f"{end.prefix}protocols", end.transport, end.protocols, options.of_protocols)
    scheme, port = ("https", 443) if end.transport == "tls" else ("http", 80)
    origin = Origin(scheme=scheme, host=end.host, port=end.port, authority=authority(end.host, end.port, port))
    creator = connection_creator(end.host, end.tls_opts, alpn(protocols)) if end.transport == "tls" else None
    return _leg(origin, end.transport, protocols, creator, end, options, (*before, end) if isinstance(end, SocksOptions) else ())


def _leg(
    origin: Origin,
    transport: str,
    protocols: tuple[tuple[str, Any], ...],
    creator: ConnectionCreator | None,
    end: Any,
    options: Options,
    before: tuple[SocksOptions, ...] = (),
) -> Leg:
    own = dict(protocols)
    return Leg(
        origin=origin,
        transport=transport,
        protocols=protocols,
        http=own.get("http", options.http_opts),
        http2=own.get("http2", options.http2_opts),
        creator=creator,
        tls_handshake_timeout=end.tls_handshake_timeout,
        tunnel_timeout=end.tunnel_timeout,
        onward=leg_to(own["socks"], options, before) if "socks" in own else None,
    )
