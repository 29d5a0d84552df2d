"""What there is to know of a connection: its origin, its state, and its TLS. Values only, and how TLS's are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.interfaces import INegotiated

__all__ = ["ConnectionInfo", "Intermediary", "Origin", "TlsInfo", "TunnelInfo", "tls_info"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whom the requests are for (RFC 6454): `scheme`, `host` and `port`; `authority` is the value of Host."""

    scheme: str
    host: str
    port: int
    authority: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsInfo:
    """What a TLS handshake settled: "TLSv1.3", the cipher's name, the ALPN protocol, the peer's certificate as DER bytes."""

    version: str
    cipher: str | None
    alpn: bytes | None
    certificate: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intermediary:
    """
    A proxy on the way: `type` is "connect" or "socks5", `transport` "tcp" or "tls".

    `protocol` is what is spoken with it, "http", "http2" or "socks"; "" while that is not known.
    """

    type: str
    host: str
    port: int
    transport: str
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelInfo:
    """Where a tunnel leads to; `protocol` is None while that is not known, the scheme where no HTTP is spoken."""

    transport: str
    protocol: str | None
    origin_scheme: str | None
    origin_host: str
    origin_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionInfo:
    """
    The state of a connection, as Gun's gun:info/1 tells it.

    `state_name` is one of "not_connected", "connecting", "tls_handshake", "connected", "closing", "terminated". What is not known
    now is None: `origin_scheme` where no HTTP is spoken, `protocol`, the local address (`sock_ip`, `sock_port`), the `peer`'s, and `tls`.
    """

    owner: object
    cookie_store: object | None
    event_handler: object | None
    transport: str
    state_name: str
    protocol: str | None
    origin_scheme: str | None
    origin_host: str
    origin_port: int
    intermediaries: tuple[Intermediary, ...]
    sock_ip: str | None
    sock_port: int | None
    peer: object | None
    tls: TlsInfo | None


def tls_info(transport: Any) -> TlsInfo | None:
    """What the TLS of `transport` settled; None where there is no TLS."""
    if not INegotiated.providedBy(transport):
        return None
    handle = transport.getHandle()  # type: ignore[attr-defined]
    certificate = handle.get_peer_certificate(as_cryptography=True)
    return TlsInfo(
        version=handle.get_protocol_version_name(),
        cipher=handle.get_cipher_name(),
        alpn=transport.negotiatedProtocol,
        certificate=None if certificate is None else certificate.public_bytes(Encoding.DER),
    )
