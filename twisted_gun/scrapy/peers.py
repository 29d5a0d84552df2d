"""Who answered: what Scrapy's responses tell of that, read once a connection and kept as long as that lasts."""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from cryptography import x509
from OpenSSL.crypto import FILETYPE_ASN1
from twisted.internet.ssl import Certificate

if TYPE_CHECKING:
    from twisted_gun.info import ConnectionInfo, TlsInfo
    from twisted_gun.stream import Stream

__all__ = ["Peer", "Peers"]

_logger = logging.getLogger("twisted_gun.scrapy")

#: As Scrapy's own responses have them.
_PROTOCOLS = {"http": "HTTP/1.1", "http2": "h2", "ws": "HTTP/1.1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The attributes of a response that are its connection's; `ip_address` is a proxy's where there is one."""

    certificate: Certificate | None
    ip_address: ipaddress.IPv4Address | ipaddress.IPv6Address | None
    protocol: str


class Peers:
    """The peers of the connections there are; with `verbose` TLS is logged, once a connection."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self._known: WeakKeyDictionary[Any, Peer] = WeakKeyDictionary()

    def of(self, stream: Stream) -> Peer:
        """Who answered `stream`, whose response has just begun."""
        hop = stream.connection._route.end.hop
        peer = self._known.get(hop)
        if peer is None:
            info = stream.connection.info()
            peer = self._known[hop] = _peer(info)
            if self._verbose and info.tls is not None:
                _log_tls(info.origin_host, info.tls)
        return peer


def _peer(info: ConnectionInfo) -> Peer:
    certificate = None
    if info.tls is not None and info.tls.certificate is not None:
        certificate = Certificate.load(info.tls.certificate, FILETYPE_ASN1)
    host = getattr(info.peer, "host", None)
    address = None if host is None else ipaddress.ip_address(host)
    return Peer(certificate=certificate, ip_address=address, protocol=_PROTOCOLS[info.protocol or "http"])


def _log_tls(host: str, tls: TlsInfo) -> None:
    """As Scrapy's own handlers do it, word for word: people look for these lines."""
    _logger.debug("SSL connection to %s using protocol %s, cipher %s", host, tls.version, tls.cipher)
    if tls.certificate is not None:
        certificate = x509.load_der_x509_certificate(tls.certificate)
        issuer, subject = certificate.issuer.rfc4514_string(), certificate.subject.rfc4514_string()
        _logger.debug('SSL connection certificate: issuer "%s", subject "%s"', issuer, subject)
