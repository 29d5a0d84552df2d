"""
How a request by URL is connected: the option ``connect_options``, and what of it becomes options of `twisted_gun.open`.

Each attempt is a connection of its own. What belongs to the origin that was asked for first (its name, its endpoint, our certificate) is
not used for another one, to which a redirect leads. A proxy is there for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Union

from twisted.internet.interfaces import IStreamClientEndpoint

from twisted_gun.errors import InvalidRequest, OptionError
from twisted_gun.headers import authority, check_host
from twisted_gun.options import Http2Options, Options, ProxyUrl, TcpOptions, TlsOptions, nested
from twisted_gun.options.checks import is_port
from twisted_gun.request import proxy_fields
from twisted_gun.urls import PORTS, Target

__all__ = ["ConnectOptions", "check_connect_options"]

#: Gun's names of the protocols.
_PROTOCOLS = {"http1": "http", "http2": "http2"}

#: Mint's names of HTTP/2's settings (RFC 9113 section 6.5.2), and those of the options that have the same effect here.
_SETTINGS = {
    "enable_connect_protocol": "enable_connect_protocol",
    "enable_push": "enable_push",
    "header_table_size": "max_decode_table_size",
    "initial_window_size": "initial_stream_window_size",
    "max_concurrent_streams": "max_concurrent_streams",
    "max_frame_size": "max_frame_size_received",
    "max_header_list_size": "max_header_list_size",
}

#: What `twisted_gun.open` calls the options of a proxy, and what they are called here.
_OF_PROXY = {
    "connect_timeout": "proxy.timeout",
    "domain_lookup_timeout": "proxy.timeout",
    "tls_opts": "proxy.transport_opts",
    "tunnel_timeout": "proxy.tunnel_timeout",
}

_Endpoint = Union[IStreamClientEndpoint, Callable[[str, int], Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectOptions:
    """
    Options of the connection of each attempt. Times in seconds.

    `timeout` bounds each step of connecting: the lookup of the name, TCP, TLS. `protocols` are "http1" and "http2": over TLS they are
    offered by ALPN in that order; without TLS the first is spoken. `hostname` is the name that is verified, sent as SNI and as Host,
    where the URL has an address. `transport_opts` are options of TCP or TLS, as `gun.open` has them. `client_settings` are HTTP/2
    settings by their RFC names in lower case. `endpoint` is dialled instead of host and port; a callable (host, port) gives one for
    every origin.

    `proxy` is a (scheme, address, port, options) tuple of an "http" or "https" proxy, and `proxy_headers` are fields for it alone, such as
    Proxy-Authorization. Its options are `timeout`, for the lookup of its name and connecting to it; `tunnel_timeout`, for its answer; both
    by default as above; and `transport_opts`, options of TLS with an https proxy. It is asked for a tunnel (RFC 9110 section 9.3.6), but
    for pages of http, which are asked of the proxy itself.
    """

    client_settings: Http2Options = field(default_factory=Http2Options)
    endpoint: Any = None
    hostname: str | None = None
    protocols: tuple[str, ...] = ("http1", "http2")
    proxy: tuple[str, str, int, Mapping[str, Any]] | None = field(default=None, repr=False)
    proxy_headers: Any = field(default=(), repr=False)
    timeout: float | None = 30.0
    transport_opts: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        number = isinstance(self.timeout, (int, float)) and not isinstance(self.timeout, bool) and 0 <= self.timeout < float("inf")
        _check("timeout", self.timeout is None or number, "seconds, a number >= 0, or None for no limit")
        known = isinstance(self.protocols, (tuple, list)) and all(name in _PROTOCOLS for name in self.protocols)
        _check("protocols", bool(known and self.protocols), "a list of 'http1', 'http2', or both")
        _check("protocols", len(set(self.protocols)) == len(self.protocols), "none of them twice")
        object.__setattr__(self, "protocols", tuple(self.protocols))
        connects = self.endpoint is None or callable(self.endpoint) or callable(getattr(self.endpoint, "connect", None))
        _check("endpoint", connects, "an IStreamClientEndpoint, a callable (host, port) that gives one, or None")
        if self.hostname is not None:
            object.__setattr__(self, "hostname", _host("hostname", self.hostname))
        object.__setattr__(self, "transport_opts", _pairs("transport_opts", self.transport_opts))
        if not isinstance(self.client_settings, Http2Options):
            object.__setattr__(self, "client_settings", _settings(self.client_settings))
        self._check_proxy()

    def for_target(self, target: Target, *, own: bool, protocols: tuple[str, ...] | None = None) -> dict[str, Any]:
        """
        The options of `twisted_gun.open` for `target`; `own` says whether it is the origin that these options are for.

        `protocols`, if given, are offered instead. Raises `OptionError` where `transport_opts` do not fit the transport.
        """
        options: dict[str, Any] = {
            "connect_timeout": self.timeout,
            "domain_lookup_timeout": self.timeout,
            "http2_opts": self.client_settings,
            "protocols": self._offered(target, protocols or self.protocols),
            "tls_handshake_timeout": self.timeout,
            "transport": "tls" if target.secure else "tcp",
        }
        options["tls_opts" if target.secure else "tcp_opts"] = self._transport(target, own)
        endpoint = self._endpoint(target, own)
        if endpoint is not None:
            options["endpoint"] = endpoint
        if self.proxy is not None:
            # Many proxies make tunnels to the port of https only. HTTP/2 is for the origin to speak, not for the proxy.
            direct = not target.websocket and options["protocols"] == ["http"]
            options |= {"proxy_mode": "absolute" if direct else "tunnel", **self._through_proxy(self.proxy)}
        return options

    def host_header(self, target: Target) -> bytes | None:
        """The value of Host, where `hostname` is another than that of `target`."""
        if self.hostname is None:
            return None
        return authority(self.hostname, target.port, PORTS[target.scheme])

    def check_for(self, target: Target) -> None:
        """Raises `OptionError` where these options do not fit `target`, the origin that they are for."""
        self._transport(target, own=True)

    def _offered(self, target: Target, protocols: tuple[str, ...]) -> list[str]:
        # Without TLS nothing is negotiated, and both sides know beforehand (RFC 9113 section 3.3).
        return [_PROTOCOLS[name] for name in (protocols if target.secure else protocols[:1])]

    def _transport(self, target: Target, own: bool) -> TcpOptions | TlsOptions:
        kind = TlsOptions if target.secure else TcpOptions
        known = {option.name for option in fields(kind)}
        # A redirect may lead from TCP to TLS, where the options of the former mean nothing.
        given = {name: value for name, value in self.transport_opts.items() if own or name in known}
        for name in given:
            if name not in known:
                raise OptionError(f"connect_options.transport_opts.{name}", f"one of the options {', '.join(sorted(known))}")
        options = kind(**given)
        if isinstance(options, TlsOptions):
            if not own:
                return replace(options, client_certificate=None, server_name=None)
            if self.hostname is not None and options.server_name is None:
                return replace(options, server_name=self.hostname)
        return options

    def _endpoint(self, target: Target, own: bool) -> Any:
        if self.endpoint is None or hasattr(self.endpoint, "connect"):
            return self.endpoint if own else None
        return self.endpoint(target.host, target.port)

    def _check_proxy(self) -> None:
        if self.proxy is None:
            _check("proxy_headers", not self.proxy_headers, "to be left out where there is no proxy")
            return
        proxy = self.proxy
        four = isinstance(proxy, (tuple, list)) and len(proxy) == 4 and isinstance(proxy[3], (Mapping, list))
        fit = four and proxy[0] in ("http", "https") and is_port(proxy[2])
        _check("proxy", fit, "a (scheme, address, port, options) tuple whose scheme is 'http' or 'https', or None")
        _check("proxy", self.endpoint is None, "to be left out where an endpoint is given")
        try:
            proxy_fields(Options(**self._through_proxy(proxy)).proxy_headers)
        except InvalidRequest as error:
            raise OptionError("connect_options.proxy_headers", f"header fields for a proxy ({error})") from None
        except OptionError as error:
            name = error.option.removeprefix("connect_options.")
            for option, here in _OF_PROXY.items():
                name = name.replace(option, here)
            raise OptionError(f"connect_options.{name}", str(error).partition("expected ")[2]) from None

    def _through_proxy(self, proxy: tuple[str, str, int, Any]) -> dict[str, Any]:
        """The options of `twisted_gun.open` that lead through `proxy`; raises `OptionError`, which may name one of those."""
        scheme, address, port, given = proxy
        options = {"tunnel_timeout": self.timeout, **_pairs("proxy", given)}
        through: dict[str, Any] = {
            "proxy": [ProxyUrl(scheme=scheme, host=_host("proxy", address), port=port)],
            "proxy_headers": self.proxy_headers,
            "tunnel_timeout": options.pop("tunnel_timeout"),
        }
        if "timeout" in options:
            through["connect_timeout"] = through["domain_lookup_timeout"] = options.pop("timeout")
        if scheme == "https" and "transport_opts" in options:
            through["proxy_tls_opts"] = nested("tls_opts", TlsOptions, _pairs("proxy.transport_opts", options.pop("transport_opts")))
        for name in options:
            known = "timeout, tunnel_timeout, and transport_opts where its scheme is https"
            raise OptionError(f"connect_options.proxy.{name}", f"one of the options of a proxy: {known}")
        return through


def check_connect_options(given: object) -> ConnectOptions:
    """`given` as `ConnectOptions`; raises `OptionError`."""
    if isinstance(given, ConnectOptions):
        return given
    options = _pairs("", {} if given is None else given)
    known = {option.name for option in fields(ConnectOptions)}
    for name in options:
        if name not in known:
            raise OptionError(f"connect_options.{name}", f"one of the options {', '.join(sorted(known))}")
    return ConnectOptions(**options)


def _pairs(name: str, given: Any) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, Iterable) and not isinstance(given, (str, bytes)):
        pairs = list(given)
        if all(isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs):
            return dict(pairs)
    raise OptionError(f"connect_options.{name}".removesuffix("."), "a dict, or pairs")


def _settings(given: object) -> Http2Options:
    settings = _pairs("client_settings", given)
    for name in settings:
        if name not in _SETTINGS:
            raise OptionError(f"connect_options.client_settings.{name}", f"one of the settings {', '.join(sorted(_SETTINGS))}")
    return Http2Options(**{_SETTINGS[name]: value for name, value in settings.items()})


def _host(name: str, given: object) -> str:
    try:
        return check_host(given)
    except InvalidRequest as error:
        raise OptionError(f"connect_options.{name}", f"a host name or an address ({error})") from None


def _check(name: str, allowed: bool, expected: str) -> None:
    if not allowed:
        raise OptionError(f"connect_options.{name}", expected)
