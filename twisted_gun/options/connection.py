"""The options of a connection, those of its protocols and transports among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from twisted_gun.errors import InvalidRequest, OptionError
from twisted_gun.events import Headers
from twisted_gun.headers import normalise
from twisted_gun.observations import CALLBACKS
from twisted_gun.options.checks import check, check_bools, check_callable, check_counts, check_filled, check_seconds, is_number, nested
from twisted_gun.options.http import Http2Options, HttpOptions
from twisted_gun.options.protocols import RawOptions, SocksOptions, alpn, protocol_list, settled_protocols
from twisted_gun.options.proxies import ProxyUrl, proxy_urls
from twisted_gun.options.transports import TcpOptions, TlsOptions
from twisted_gun.options.websocket import WsOptions

__all__ = ["Options", "RetryFunction", "make_options"]

#: Called before each retry with the retries left and the options; gives ``{"retries": left, "timeout": seconds}``.
RetryFunction = Callable[[int, "Options"], Mapping[str, Any]]

_NESTED: dict[str, type[Any]] = {
    "http_opts": HttpOptions,
    "http2_opts": Http2Options,
    "raw_opts": RawOptions,
    "tcp_opts": TcpOptions,
    "tls_opts": TlsOptions,
    "ws_opts": WsOptions,
}
#: Likewise, but None without them.
_OPTIONAL: dict[str, type[Any]] = {"proxy_tls_opts": TlsOptions, "socks_opts": SocksOptions}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """
    The options of a connection. Times in seconds; None means no limit. See Gun's manual, gun(3).

    `connect_timeout`, `domain_lookup_timeout` and `tls_handshake_timeout` bound one step each. `protocols` lists what may be spoken,
    best first: one over TCP; over TLS the list is offered by ALPN; None is "http" over TCP, and over TLS "http2" and "http". `retry` is
    how many more attempts follow a failed one or a lost connection: the first at once, the others every `retry_timeout`.
    `retry_fun(retries, options)` decides instead, before the first retry too, giving ``{"retries": left, "timeout": seconds}``; it is
    not asked where none are left. `on_up` is called with the connection each time that it is up, after `gun_up`: the place to upgrade to a
    websocket again; a coroutine function is run. What it asks for is sent after what has waited.
    `max_waiting` is how many requests may wait for the connection to be up. `transport` is "tcp" or "tls" ("ssl" is the same); None
    is "tls" on port 443 and "tcp" elsewhere. `endpoint` is any `IStreamClientEndpoint` to dial instead of host and port.
    `cookie_store` is an `ICookieStore`, often a `CookieStore`, for this connection or for many; `event_handler` an `IEventHandler`, which
    is called at each step of the connection's work.
    `supervise` is accepted for Gun's sake: there is no supervisor here. `trace` logs what happens to the connection.

    `proxy` is the URL of a proxy, a list of them, each reached through the one before it, or "env" for the environment's ``https_proxy``,
    ``http_proxy``, ``all_proxy`` and ``no_proxy``: http, https and socks5 URLs, credentials included. With `proxy_mode` "absolute" requests
    for plain http go to the last of them in absolute-form (RFC 9112 section 3.2.2) instead of through a tunnel. `proxy_headers` are
    header fields for the last one, which the origin does not see. `proxy_protocols` are offered by ALPN to https proxies, best first,
    "http2" and "http"; `http2_opts` are for HTTP/2 with proxies, too. `proxy_tls_opts` is for TLS with proxies; None takes `trust_root`,
    `minimum`, `maximum`, `ciphers` and `keylog` of `tls_opts`. `tunnel_timeout` bounds the time from the request for a tunnel to the
    proxy's answer.
    """

    connect_timeout: float | None = 10.0
    cookie_store: Any = None
    domain_lookup_timeout: float | None = 5.0
    endpoint: Any = None
    event_handler: Any = None
    http_opts: HttpOptions = field(default_factory=HttpOptions)
    http2_opts: Http2Options = field(default_factory=Http2Options)
    max_waiting: int = 1000
    on_up: Callable[[Any], object] | None = None
    protocols: tuple[Any, ...] | None = None
    proxy: str | tuple[ProxyUrl, ...] = ()
    proxy_headers: Any = field(default=(), repr=False)
    proxy_mode: str = "tunnel"
    proxy_protocols: Any = ("http2", "http")
    proxy_tls_opts: TlsOptions | None = None
    raw_opts: RawOptions = field(default_factory=RawOptions)
    retry: int = 5
    retry_fun: RetryFunction | None = None
    retry_timeout: float = 5.0
    socks_opts: SocksOptions | None = None
    supervise: bool = True
    tcp_opts: TcpOptions = field(default_factory=TcpOptions)
    tls_handshake_timeout: float | None = 10.0
    tls_opts: TlsOptions = field(default_factory=TlsOptions)
    trace: bool = False
    transport: str | None = None
    tunnel_timeout: float | None = 10.0
    ws_opts: WsOptions = field(default_factory=WsOptions)

    def __post_init__(self) -> None:
        check_seconds(self, "connect_timeout", "domain_lookup_timeout", "tls_handshake_timeout", "tunnel_timeout")
        check(self, "retry_timeout", is_number(self.retry_timeout) and self.retry_timeout >= 0, "seconds, a number >= 0")
        check_counts(self, "retry", least=0)
        check_counts(self, "max_waiting")
        check_callable(self, "on_up", "retry_fun")
        check_bools(self, "supervise", "trace")
        check(self, "transport", self.transport in (None, "tcp", "tls", "ssl"), "'tcp' or 'tls'; HTTP/3 (quic) is not spoken here")
        connects = self.endpoint is None or callable(getattr(self.endpoint, "connect", None))
        check(self, "endpoint", connects, "an IStreamClientEndpoint, or None")
        check_filled(self, "cookie_store", "an ICookieStore", ("query", "set_cookie"))
        check_filled(self, "event_handler", "an IEventHandler", CALLBACKS)
        for name, kind in _NESTED.items():
            object.__setattr__(self, name, nested(name, kind, getattr(self, name)))
        for name, kind in _OPTIONAL.items():
            if getattr(self, name) is not None:
                object.__setattr__(self, name, nested(name, kind, getattr(self, name)))
        if self.protocols is not None:
            object.__setattr__(self, "protocols", protocol_list("protocols", self.protocols))
        object.__setattr__(self, "proxy", proxy_urls(self.proxy))
        object.__setattr__(self, "proxy_headers", self._checked_proxy_headers())
        object.__setattr__(self, "proxy_protocols", self._checked_proxy_protocols())
        check(self, "proxy_mode", self.proxy_mode in ("tunnel", "absolute"), "'tunnel' or 'absolute'")
        check(self, "endpoint", self.endpoint is None or self.proxy in ((), "env"), "None where a proxy is given")

    def _checked_proxy_headers(self) -> Headers:
        expected = "header fields, where the last proxy is one of HTTP"
        try:
            headers = normalise(self.proxy_headers)
        except InvalidRequest as error:
            raise OptionError("proxy_headers", f"{expected} ({error})") from None
        fit = not headers or (self.proxy and (isinstance(self.proxy, str) or self.proxy[-1].scheme != "socks5"))
        if not fit:
            raise OptionError("proxy_headers", expected)
        return headers

    def _checked_proxy_protocols(self) -> tuple[str, ...]:
        given = self.proxy_protocols
        names = () if isinstance(given, (str, bytes)) or not isinstance(given, Iterable) else tuple(given)
        fit = 0 < len(names) == len(set(names)) and {"http", "http2"}.issuperset(names)
        check(self, "proxy_protocols", fit, "a list of 'http2' and 'http', or one of them")
        return names

    def settled(self, port: int) -> Options:
        """These options with everything decided that depends on `port`; raises `OptionError` where that does not fit together."""
        transport = "tls" if self.transport in ("tls", "ssl") or (self.transport is None and port == 443) else "tcp"
        protocols = settled_protocols("protocols", transport, self.protocols, self.of_protocols)
        return replace(self, transport=transport, protocols=protocols)

    @property
    def of_protocols(self) -> dict[str, Any]:
        """The options of each protocol that has none of its own in `protocols`."""
        return {"http": self.http_opts, "http2": self.http2_opts, "raw": self.raw_opts, "socks": self.socks_opts}

    @property
    def alpn(self) -> tuple[bytes, ...]:
        """What ALPN (RFC 7301) offers, in the order of `protocols`."""
        return alpn(self.protocols or ())

    @property
    def proxy_alpn(self) -> tuple[bytes, ...]:
        """What ALPN offers to https proxies."""
        return alpn((name, None) for name in self.proxy_protocols)


def make_options(options: Options | None, keywords: Mapping[str, Any], port: int) -> Options:
    """Options from an `Options`, changed by `keywords`; raises `OptionError` for a name or a value that cannot be used."""
    if options is not None and not isinstance(options, Options):
        raise OptionError("options", "a twisted_gun.Options, or None", options)
    known = {option.name for option in fields(Options)}
    changes = _without_alias(options, keywords, port)
    for name in changes:
        if name not in known:
            raise OptionError(name, f"one of the options {', '.join(sorted(known))}")
    return replace(options or Options(), **changes)


def _without_alias(options: Options | None, keywords: Mapping[str, Any], port: int) -> dict[str, Any]:
    """`keywords` with ``transport_opts``, Gun 1's name, put where it belongs."""
    changes = dict(keywords)
    if "transport_opts" in changes:
        transport = changes.get("transport") or (options and options.transport) or ("tls" if port == 443 else "tcp")
        name = "tls_opts" if transport in ("tls", "ssl") else "tcp_opts"
        if name in changes:
            raise OptionError("transport_opts", f"to be left out where {name} is given", changes["transport_opts"])
        changes[name] = changes.pop("transport_opts")
    return changes
