"""Options of the socket and of TLS."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from twisted_gun.errors import OptionError
from twisted_gun.options.checks import check, check_bools, check_seconds

__all__ = ["TcpOptions", "TlsOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpOptions:
    """
    Options of the socket (``tcp_opts``).

    `send_timeout` is how long, in seconds, the peer may take none of what waits to be sent before the connection is aborted.
    `bind_address` is the local address, a (host, port) pair with port 0 for any.
    """

    prefix: ClassVar[str] = "tcp_opts."

    bind_address: tuple[str, int] | None = None
    keepalive: bool = True
    nodelay: bool = True
    send_timeout: float | None = 15.0

    def __post_init__(self) -> None:
        bind = self.bind_address
        pair = isinstance(bind, (tuple, list)) and len(bind) == 2 and isinstance(bind[0], str) and type(bind[1]) is int
        check(self, "bind_address", bind is None or pair, "a (host, port) pair, or None")
        check_bools(self, "keepalive", "nodelay")
        check_seconds(self, "send_timeout", zero=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """
    Options of TLS (``tls_opts``).

    `trust_root` is the path of a PEM file or of a folder of them, or an `IOpenSSLTrustRoot`; None takes the system's.
    `client_certificate` is the path of a PEM file with certificate, chain and key, or a `PrivateCertificate`. `server_name` is sent
    as SNI and is the name the certificate must hold, where that is not the host dialled. `verify=False` accepts any certificate.
    `pins` are SHA-256 digests of the public key (SPKI), hexadecimal, base64 or bytes: one must match, in addition to all else.
    `minimum` and `maximum` are the lowest and the highest version spoken, "1.2" or "1.3"; None is the highest there is. `ciphers` is an
    OpenSSL cipher list. `keylog` is the path of a file that gets the session keys, for debugging. That certificates are not verified is
    logged for each connection, unless `quiet`.
    """

    prefix: ClassVar[str] = "tls_opts."

    ciphers: str | None = None
    client_certificate: Any = None
    keylog: str | None = None
    maximum: str | None = None
    minimum: str = "1.2"
    pins: tuple[bytes, ...] = ()
    quiet: bool = False
    server_name: str | None = None
    trust_root: Any = None
    verify: bool = True

    def __post_init__(self) -> None:
        check(self, "ciphers", self.ciphers is None or isinstance(self.ciphers, str), "an OpenSSL cipher list, or None")
        check(self, "keylog", self.keylog is None or isinstance(self.keylog, str), "the path of a file, or None")
        check(self, "minimum", self.minimum in ("1.2", "1.3"), "'1.2' or '1.3'")
        check(self, "maximum", self.maximum in (None, "1.2", "1.3"), "'1.2' or '1.3', or None for the highest there is")
        check(self, "maximum", (self.minimum, self.maximum) != ("1.3", "1.2"), "a version that is not below tls_opts.minimum")
        name = self.server_name
        check(self, "server_name", name is None or (isinstance(name, str) and name != ""), "a host name, or None")
        check_bools(self, "quiet", "verify")
        single = isinstance(self.pins, (str, bytes)) or not isinstance(self.pins, Iterable)
        check(self, "pins", not single, "a list of SHA-256 digests: 32 bytes, 64 hexadecimal digits or base64")
        object.__setattr__(self, "pins", tuple(_digest(self, pin) for pin in self.pins))


def _digest(owner: object, pin: object) -> bytes:
    """The 32 bytes of a SHA-256 digest given as bytes, hexadecimal or base64."""
    if isinstance(pin, bytes) and len(pin) == 32:
        return pin
    if isinstance(pin, str):
        try:
            digest = bytes.fromhex(pin) if len(pin) == 64 else base64.b64decode(pin.removeprefix("sha256//"), validate=True)
        except ValueError:
            digest = b""
        if len(digest) == 32:
            return digest
    raise OptionError("tls_opts.pins", "SHA-256 digests: 32 bytes, 64 hexadecimal digits or base64", pin)
