"""
Which protocols may be spoken over a transport, and the options of those that have no more to them than where they lead.

A protocol's own options, in a (name, options) pair, replace those of the connection, as Gun does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from twisted_gun.errors import OptionError
from twisted_gun.headers import check_host
from twisted_gun.options.checks import PORT, check, check_counts, check_seconds, credential, fits_basic, fits_socks, is_port, nested
from twisted_gun.options.http import Http2Options, HttpOptions
from twisted_gun.options.transports import TlsOptions

__all__ = ["Destination", "RawOptions", "SocksOptions", "alpn", "protocol_list", "settled_protocols"]

_ALPN = {"http": b"http/1.1", "http2": b"h2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RawOptions:
    """Options of the raw protocol (``raw_opts``): `flow` is how many data events may be told before `update_flow`."""

    prefix: ClassVar[str] = "raw_opts."

    flow: int | None = None

    def __post_init__(self) -> None:
        check_counts(self, "flow", optional=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """
    Where a tunnel leads to; Gun's connect_destination(). Times in seconds, None for no limit.

    `host` and `port` are what the proxy is asked for; it looks up the name. `username` and `password`, both or neither, are for that
    proxy. `transport` is "tcp", or "tls" for TLS through the tunnel, with `tls_opts` in `tls_handshake_timeout`; `protocols` lists what may
    be spoken there, as the option of a connection. `tunnel_timeout` bounds the time from the request for the tunnel to the proxy's
    answer.
    """

    prefix: ClassVar[str] = "destination."

    host: Any = None
    port: int = 0
    username: Any = None
    password: Any = field(default=None, repr=False)
    protocols: tuple[Any, ...] | None = None
    tls_handshake_timeout: float | None = 10.0
    tls_opts: TlsOptions = field(default_factory=TlsOptions)
    transport: str = "tcp"
    tunnel_timeout: float | None = 10.0

    def __post_init__(self) -> None:
        _check_end(self)
        for name in ("username", "password"):
            value = getattr(self, name)
            data = b"" if value is None else credential(value)
            check(self, name, data is not None, "str or bytes, or None", secret=True)
            fit = data is None or fits_basic(name, data)
            check(
                self, name, fit, f"no control characters{', and no colon' if name == 'username' else ''} (RFC 7617 section 2)", secret=True
            )
        check(self, "username", (self.username is None) is (self.password is None), "to be given with password, or not at all", secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SocksOptions:
    """
    Options of the SOCKS protocol (``socks_opts``): which version, and where the proxy shall lead to; RFC 1928. Times in seconds.

    `auth` holds the one method to be used: "none", or ("username_password", username, password) (RFC 1929). The others are as those
    of a `Destination`.
    """

    prefix: ClassVar[str] = "socks_opts."

    auth: tuple[Any, ...] = field(default=("none",), repr=False)
    host: Any = None
    port: int = 0
    protocols: tuple[Any, ...] | None = None
    tls_handshake_timeout: float | None = 10.0
    tls_opts: TlsOptions = field(default_factory=TlsOptions)
    transport: str = "tcp"
    tunnel_timeout: float | None = 10.0
    version: int = 5

    def __post_init__(self) -> None:
        _check_end(self)
        check(self, "version", self.version == 5, "5: this is the only version spoken")
        object.__setattr__(self, "auth", (_method(self.auth),))


def _check_end(end: Any) -> None:
    """Check, and convert, what a `Destination` and `SocksOptions` have in common."""
    check(end, "host", end.host is not None, "the host that the proxy shall lead to", secret=True)
    object.__setattr__(end, "host", check_host(end.host))
    check(end, "port", is_port(end.port), PORT)
    check(end, "transport", end.transport in ("tcp", "tls", "ssl"), "'tcp' or 'tls'")
    object.__setattr__(end, "transport", "tcp" if end.transport == "tcp" else "tls")
    check_seconds(end, "tls_handshake_timeout", "tunnel_timeout")
    object.__setattr__(end, "tls_opts", nested(f"{end.prefix}tls_opts", TlsOptions, end.tls_opts))
    if end.protocols is not None:
        object.__setattr__(end, "protocols", protocol_list(f"{end.prefix}protocols", end.protocols))


def _method(auth: object) -> Any:
    """The one method of `auth`, with username and password as bytes."""
    expected = "a list of one method: 'none', or ('username_password', username, password) of 1 to 255 bytes each"
    methods = list(auth) if isinstance(auth, (list, tuple)) else []
    if methods == ["none"]:
        return "none"
    entry = methods[0] if len(methods) == 1 else None
    if isinstance(entry, (list, tuple)) and len(entry) == 3 and entry[0] == "username_password":
        secrets = [credential(text) for text in entry[1:]]
        if all(secret is not None and fits_socks(secret) for secret in secrets):
            return ("username_password", *secrets)
    raise OptionError("socks_opts.auth", expected)


_OWN: dict[str, type[Any]] = {"http": HttpOptions, "http2": Http2Options, "raw": RawOptions, "socks": SocksOptions}


def protocol_list(option: str, value: object) -> tuple[tuple[str, Any], ...]:
    """The list `value` as (name, options) pairs, with None for the connection's options; raises `OptionError`."""
    expected = "a list of 'http', 'http2', 'raw', 'socks' or (name, options) pairs, none twice"
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise OptionError(option, expected)
    pairs = [(entry, None) if isinstance(entry, str) else entry for entry in value]
    fit = all(isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str) and pair[0] in _OWN for pair in pairs)
    if not pairs or not fit or len({pair[0] for pair in pairs}) != len(pairs):
        shown = [entry if isinstance(entry, str) else "..." for entry in value]  # options may hold a password
        raise OptionError(option, expected, shown)
    if len(pairs) > 1 and any(name in ("raw", "socks") for name, _ in pairs):
        raise OptionError(option, "'raw' or 'socks' alone: no server can choose them by ALPN", [name for name, _ in pairs])
    return tuple((name, None if own is None else nested(f"{name}_opts", _OWN[name], own)) for name, own in pairs)


def settled_protocols(
    option: str, transport: str, protocols: tuple[tuple[str, Any], ...] | None, defaults: Mapping[str, Any]
) -> tuple[tuple[str, Any], ...]:
    """What may be spoken over `transport`, each with its options, those of `defaults` where it has none; raises `OptionError`."""
    chosen = protocols or protocol_list(option, ["http2", "http"] if transport == "tls" else ["http"])
    if transport == "tcp" and len(chosen) != 1:
        raise OptionError(option, "exactly one protocol where the transport is tcp", [name for name, _ in chosen])
    settled = tuple((name, defaults[name] if own is None else own) for name, own in chosen)
    if any(own is None for _, own in settled):
        raise OptionError("socks_opts", "host and port of what the proxy shall lead to, for the protocol 'socks'")
    return settled


def alpn(protocols: Iterable[tuple[str, Any]]) -> tuple[bytes, ...]:
    """What ALPN (RFC 7301) offers for `protocols`, in their order."""
    return tuple(_ALPN[name] for name, _ in protocols if name in _ALPN)
