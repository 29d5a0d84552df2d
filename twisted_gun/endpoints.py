r"""
Any Twisted protocol through a proxy: endpoints whose connections are tunnels.

They take the place of whatever endpoint a program has, and the program need not know::

    from twisted.internet.endpoints import connectProtocol
    from twisted_gun.endpoints import HttpConnectEndpoint, Socks5Endpoint

    endpoint = HttpConnectEndpoint(reactor, "http://proxy.example:3128", "mail.example.org", 143)
    client = await connectProtocol(endpoint, IMAP4Client())

    endpoint = Socks5Endpoint(reactor, "socks5://user:secret@proxy.example", "mail.example.org", 143)

The proxy looks up the name of the destination. With an https proxy that speaks HTTP/2 all tunnels of one endpoint share one connection to
the proxy, and so do all endpoints of one `HttpProxy`::

    proxy = HttpProxy(reactor, "https://proxy.example:8443")
    mail, news = proxy.endpoint("mail.example.org", 143), proxy.endpoint("news.example.org", 119)

The last tunnel gone, the connection to the proxy is closed.

TLS with the destination goes over the tunnel as over any endpoint: ``wrapClientTLS(optionsForClientTLS("mail.example.org"), endpoint)``. A
proxy behind a proxy is reached through an endpoint of these, given as `proxy`.

Where endpoints are described by strings (``clientFromString``), a plugin adds two kinds, whose arguments are the same::

    http-connect:mail.example.org:143:proxy=http\://proxy.example\:3128
    http-connect:mail.example.org:143:proxy=https\://user\:secret@proxy.example:trustRoots=/etc/proxy.pem:timeout=5
    socks5:host=mail.example.org:port=143:proxy=socks5\://proxy.example:username=user:password=secret

`proxy` may also be the description of an endpoint, such as ``proxy=tcp\:proxy.example\:3128``, and colons in it are escaped once more. For
TLS with the destination Twisted's own ``tls`` takes the tunnel as its `endpoint`; `quoteStringArgument` escapes what is put into it::

    tls:mail.example.org:993:endpoint=http-connect\:mail.example.org\:993\:proxy=http\\\://proxy.example\\\:3128

What the transport of a tunnel is not: ``startTLS`` and half-closing need a socket. `getPeer` and `getHost` are the addresses of the
connection to the proxy. A connection that is lost in disorder is lost by a `GunError` that says why.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, cast

from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IStreamClientEndpoint

from twisted_gun.errors import OptionError
from twisted_gun.events import Headers
from twisted_gun.headers import HeadersLike, Text, authority, normalise
from twisted_gun.net.hop import HopOptions
from twisted_gun.net.proxied import TunnelEndpoint, proxy_of
from twisted_gun.net.proxy import Proxy
from twisted_gun.options import Options, ProxyUrl, TcpOptions, TlsOptions, nested
from twisted_gun.options.checks import PORT, credential, fits_basic, fits_socks, is_number
from twisted_gun.options.proxies import proxy_urls
from twisted_gun.request import proxy_fields

__all__ = ["HttpConnectEndpoint", "HttpProxy", "Socks5Endpoint", "http_connect_from_string", "socks5_from_string"]


class HttpProxy:
    """
    A proxy that speaks HTTP, to be shared: its endpoints' tunnels go over one connection where it speaks HTTP/2.

    `proxy` is an http or https URL, with credentials or without, or any `IStreamClientEndpoint` that leads to the proxy; where that has
    TLS whose ALPN chose "h2", HTTP/2 is spoken. `username` and `password` are Basic credentials (RFC 7617), `headers` are sent along with
    each CONNECT, to the proxy alone. `tls_opts`, a `TlsOptions` or a dict, is for TLS with an https proxy. `timeout` bounds each step, in
    seconds, None for no limit: looking up the proxy's name, connecting to it, TLS with it, and its answer to each CONNECT; what an
    endpoint does has limits of its own.

    Raises `OptionError`, or `InvalidRequest` for headers that cannot be sent, or not to a proxy.
    """

    def __init__(
        self,
        reactor: Any,
        proxy: str | bytes | ProxyUrl | IStreamClientEndpoint,
        *,
        username: Text | None = None,
        password: Text | None = None,
        headers: HeadersLike = (),
        tls_opts: Any = None,
        timeout: float | None = 10.0,
    ) -> None:
        self._proxy = _proxy(reactor, False, proxy, username, password, normalise(headers), tls_opts, timeout)
        proxy_fields(self._proxy.headers)  # what can be sent to no destination is said now

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._proxy.name}>"

    def endpoint(self, host: str, port: int) -> TunnelEndpoint:
        """An `IStreamClientEndpoint` that leads to `host` and `port` through this proxy; raises `InvalidRequest` or `OptionError`."""
        return TunnelEndpoint(self._proxy, host, port)


class HttpConnectEndpoint(TunnelEndpoint):
    """
    Leads to `host` and `port` through a proxy that speaks HTTP/1.1 or HTTP/2, by CONNECT (RFC 9110 section 9.3.6).

    The other arguments, and what is raised, are as for `HttpProxy`; a bad `host` raises `InvalidRequest`.
    """

    def __init__(
        self,
        reactor: Any,
        proxy: str | bytes | ProxyUrl | IStreamClientEndpoint,
        host: str,
        port: int,
        *,
        username: Text | None = None,
        password: Text | None = None,
        headers: HeadersLike = (),
        tls_opts: Any = None,
        timeout: float | None = 10.0,
    ) -> None:
        super().__init__(_proxy(reactor, False, proxy, username, password, normalise(headers), tls_opts, timeout), host, port)


class Socks5Endpoint(TunnelEndpoint):
    """
    Leads to `host` and `port` through a SOCKS5 proxy (RFC 1928), over a connection of its own for each tunnel.

    `proxy` is a socks5 URL, with credentials or without, or any `IStreamClientEndpoint` that leads to the proxy. `username` and `password`
    are those of RFC 1929. With `tls_opts`, a `TlsOptions` or a dict, there is TLS with the proxy. `timeout` is as for `HttpProxy`.

    Raises `OptionError`, or `InvalidRequest` for a bad `host`.
    """

    def __init__(
        self,
        reactor: Any,
        proxy: str | bytes | ProxyUrl | IStreamClientEndpoint,
        host: str,
        port: int,
        *,
        username: Text | None = None,
        password: Text | None = None,
        tls_opts: Any = None,
        timeout: float | None = 10.0,
    ) -> None:
        super().__init__(_proxy(reactor, True, proxy, username, password, (), tls_opts, timeout), host, port)


# Descriptions, as `clientFromString` takes them apart.


def http_connect_from_string(
    reactor: Any, host: Text, port: Text, proxy: Text, trustRoots: Text | None = None, **arguments: Text
) -> HttpConnectEndpoint:
    """What ``http-connect:`` describes. `trustRoots` is the path of a PEM file, or of a folder of them, for an https proxy."""
    opts = None if trustRoots is None else {"trust_root": _text(trustRoots)}
    return HttpConnectEndpoint(reactor, *_described(reactor, host, port, proxy), tls_opts=opts, **_keywords(**arguments))


def socks5_from_string(reactor: Any, host: Text, port: Text, proxy: Text, **arguments: Text) -> Socks5Endpoint:
    """What ``socks5:`` describes."""
    return Socks5Endpoint(reactor, *_described(reactor, host, port, proxy), **_keywords(**arguments))


#: How a URL begins, and no description of an endpoint.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def _described(reactor: Any, host: Text, port: Text, proxy: Text) -> tuple[Any, str, int]:
    number, way = _text(port), _text(proxy)
    if not (number.isascii() and number.isdigit()):
        raise OptionError("port", PORT, number)
    return (way if _URL.match(way) else clientFromString(reactor, way)), _text(host), int(number)


def _keywords(username: Text | None = None, password: Text | None = None, timeout: Text = "10") -> dict[str, Any]:
    try:
        seconds = float(_text(timeout))
    except ValueError:
        raise OptionError("timeout", "seconds, a number >= 0", timeout) from None
    return {"username": username, "password": password, "timeout": seconds}


def _text(value: Text) -> str:
    return value.decode() if isinstance(value, bytes) else value


# Arguments, checked.


def _proxy(
    reactor: Any,
    socks: bool,
    proxy: Any,
    username: Text | None,
    password: Text | None,
    headers: Headers,
    tls_opts: Any,
    timeout: float | None,
) -> Proxy:
    user, secret = _credentials(socks, username, password)
    options = _options(timeout)
    tls = None if tls_opts is None else nested("tls_opts", TlsOptions, tls_opts)
    if not isinstance(proxy, (str, bytes, ProxyUrl)):
        return _proxy_behind(reactor, socks, proxy, user, secret, headers, tls, options)
    url = _url(socks, proxy)
    if user is not None:
        if url.username is not None:
            raise OptionError("username", "None where the URL of the proxy has credentials")
        url = replace(url, username=user, password=secret)
    if tls is not None and url.scheme == "http":
        raise OptionError("tls_opts", "None where the URL of the proxy is not https")
    return proxy_of(reactor, url, options, tls=tls, headers=headers)


def _proxy_behind(
    reactor: Any,
    socks: bool,
    endpoint: Any,
    username: bytes | None,
    password: bytes | None,
    headers: Headers,
    tls: TlsOptions | None,
    options: Options,
) -> Proxy:
    """The proxy that `endpoint` leads to."""
    if not callable(getattr(endpoint, "connect", None)):
        raise OptionError("proxy", f"a URL, or an IStreamClientEndpoint, not {type(endpoint).__name__}")
    if tls is not None:
        raise OptionError("tls_opts", "None where the proxy is an endpoint: wrap that, as by wrapClientTLS")
    return Proxy(
        reactor=reactor,
        endpoint=endpoint,
        name=_name(endpoint),
        socks=socks,
        may_share=not socks,  # whether it has TLS is not known yet
        username=username,
        password=password,
        headers=headers,
        hop_options=HopOptions(tls_handshake_timeout=options.tls_handshake_timeout, send_timeout=None),
        tunnel_timeout=options.tunnel_timeout,
    )


def _name(endpoint: Any) -> str:
    """What messages call the proxy behind `endpoint`."""
    host, port = getattr(endpoint, "_host", None), getattr(endpoint, "_port", None)
    if isinstance(host, str) and isinstance(port, int):  # Twisted's plain ones tell it nowhere else
        return authority(host, port, 0).decode()
    return type(endpoint).__name__ if "object at 0x" in repr(endpoint) else repr(endpoint)


def _url(socks: bool, proxy: str | bytes | ProxyUrl) -> ProxyUrl:
    url = cast(ProxyUrl, proxy_urls([proxy])[0])
    if (url.scheme == "socks5") is not socks:
        raise OptionError("proxy", f"{'a socks5' if socks else 'an http or https'} URL, or an IStreamClientEndpoint", url.scheme)
    return url


def _options(timeout: float | None) -> Options:
    """Each step within `timeout`; how long what is carried may be stuck is for that to say."""
    if timeout is not None and not (is_number(timeout) and timeout >= 0):
        raise OptionError("timeout", "seconds, a number >= 0, or None for no limit", timeout)
    return Options(
        connect_timeout=timeout,
        domain_lookup_timeout=timeout,
        tls_handshake_timeout=timeout,
        tunnel_timeout=timeout,
        tcp_opts=TcpOptions(send_timeout=None),
    )


def _credentials(socks: bool, username: Text | None, password: Text | None) -> tuple[bytes | None, bytes | None]:
    """The two as bytes; no value is ever shown."""
    if username is None and password is None:
        return None, None
    return _secret(socks, "username", username), _secret(socks, "password", password)


def _secret(socks: bool, name: str, value: object) -> bytes:
    secret = credential(value)
    if secret is None:
        raise OptionError(name, "str or bytes, username and password both, or neither")
    if socks and not fits_socks(secret):
        raise OptionError(name, "1 to 255 bytes (RFC 1929 section 2)")
    if not socks and not fits_basic(name, secret):
        raise OptionError(name, f"no control characters{' and no colon' if name == 'username' else ''} (RFC 7617 section 2)")
    return secret
