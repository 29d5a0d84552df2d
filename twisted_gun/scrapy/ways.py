"""
Where a request goes, and by what way: the identity of its connection, its target, and its fields.

A request for plain http through an HTTP proxy is one to that proxy, in absolute-form (RFC 9112 section 3.2.2), so that all of them share
its connections; any other one goes through a tunnel.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Hashable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from scrapy.exceptions import UnsupportedURLSchemeError

from twisted_gun.errors import InvalidRequest
from twisted_gun.options import ProxyUrl
from twisted_gun.options.proxies import proxy_urls
from twisted_gun.request import proxy_fields
from twisted_gun.scrapy.settings import bind_address
from twisted_gun.urls import PORTS

if TYPE_CHECKING:
    from scrapy import Request

    from twisted_gun.origins import Identity, Origins

__all__ = ["Way", "Ways"]

#: What a websocket's handshake is (RFC 6455 section 3).
_WEBSOCKETS = {"ws": "http", "wss": "https"}
#: How many identities are remembered: making one takes longer than all else here.
_REMEMBERED = 1024
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)")

_Fields = list[tuple[bytes, bytes]]
_Bind = tuple[str, int] | None


class Way(NamedTuple):
    """Whose connection is taken, the target of the request on it, its fields, and whether it is for a `websocket`."""

    identity: Identity
    target: str
    fields: _Fields
    websocket: bool = False


class Ways:
    """
    The ways of requests over `origins`.

    `bind` is the local address where a request names none; `http2` says whether HTTP/2 is offered.
    """

    def __init__(self, origins: Origins, *, bind: _Bind, http2: bool) -> None:
        self._origins = origins
        self._bind = bind
        self._protocols = ("http2", "http") if http2 else ("http",)
        self._known: dict[Hashable, Identity] = {}

    def of(self, request: Request) -> Way:
        """The way of `request`; raises `UnsupportedURLSchemeError`, and ValueError for what cannot be sent anywhere."""
        found = _URL.match(request.url)
        scheme = "" if found is None else found[1].lower()
        if found is None or scheme not in PORTS:
            raise UnsupportedURLSchemeError(f"expected a URL of http, https, ws or wss, not {request.url}")
        netloc, target = found[2].rpartition("@")[2], found[3]
        fields, authorization = _fields(request)
        bind = bind_address(request.meta.get("bindaddress")) or self._bind
        proxy = _proxy(request.meta["proxy"], authorization) if request.meta.get("proxy") else None
        if proxy is not None and scheme == "http" and proxy.scheme != "socks5":
            if not any(name == b"Host" for name, _ in fields):
                fields.append((b"Host", netloc.encode("ascii")))
            fields += _for_proxy(proxy, authorization)
            # RFC 9110 section 4.2.4: a sender "MUST NOT generate the userinfo subcomponent" in a target.
            return Way(self._to_proxy(proxy, bind), f"{found[1]}://{netloc}{target}".partition("#")[0], fields)
        identity = self._to_origin(scheme, netloc, proxy, authorization if proxy else None, bind)
        return Way(identity, target if target.startswith("/") else f"/{target}", fields, scheme in _WEBSOCKETS)

    def _to_origin(self, scheme: str, netloc: str, proxy: ProxyUrl | None, authorization: bytes | None, bind: _Bind) -> Identity:
        key = scheme, netloc, proxy, authorization, bind
        known = self._known.get(key)
        if known is None:
            changes: dict[str, Any] = {}
            if proxy is not None:
                changes = {"proxy": proxy, "proxy_headers": () if proxy.scheme == "socks5" else _for_proxy(proxy, authorization)}
            # Few servers have websockets over HTTP/2, and there is no asking for both.
            protocols = ("http",) if scheme in _WEBSOCKETS else self._protocols
            origin = _WEBSOCKETS.get(scheme, scheme), *_host_and_port(scheme, netloc)
            known = self._remember(key, *origin, bind, protocols, **changes)
        return known

    def _to_proxy(self, proxy: ProxyUrl, bind: _Bind) -> Identity:
        key = proxy.scheme, proxy.host, proxy.port, bind
        known = self._known.get(key)
        if known is None:
            tls = self._origins.options.proxy_tls_opts or self._origins.options.tls_opts
            # Over HTTP/2 the scheme that is sent would be the proxy's.
            known = self._remember(key, proxy.scheme, proxy.host, proxy.port, bind, ("http",), proxy=(), tls_opts=tls)
        return known

    def _remember(
        self, key: Hashable, scheme: str, host: str, port: int, bind: _Bind, protocols: tuple[str, ...], **changes: Any
    ) -> Identity:
        identity = self._origins.identity(scheme, host, port, bind_address=bind, protocols=protocols, **changes)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[key] = identity
        return identity


def _fields(request: Request) -> tuple[_Fields, bytes | None]:
    """The header fields of a request, without Proxy-Authorization, which no origin is to see; and that."""
    fields: _Fields = []
    authorization: bytes | None = None
    for name, values in request.headers.items():
        if name == b"Proxy-Authorization":
            authorization = values[-1] if values else None
        else:
            fields.extend([(name, value) for value in values])
    return fields, authorization


def _host_and_port(scheme: str, netloc: str) -> tuple[str, int]:
    parts = urlsplit(f"//{netloc}")
    try:
        port = parts.port
    except ValueError as error:
        raise InvalidRequest(f"{netloc}: {error}") from error
    return parts.hostname or "", PORTS[scheme] if port is None else port


@lru_cache(maxsize=256)
def _proxy(url: str, authorization: bytes | None) -> ProxyUrl:
    """The proxy at `url`, which may lack the scheme; a SOCKS proxy with the credentials that `authorization` holds."""
    proxy = proxy_urls([url if "://" in url else f"http://{url}"])[0]
    assert isinstance(proxy, ProxyUrl)
    if proxy.scheme != "socks5" or authorization is None:
        return proxy
    scheme, _, token = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        raise InvalidRequest("header proxy-authorization: a SOCKS proxy takes a username and a password, as of Basic")
    username, _, password = b64decode(token).partition(b":")
    return replace(proxy, username=username, password=password)


def _for_proxy(proxy: ProxyUrl, authorization: bytes | None) -> _Fields:
    """What tells an HTTP proxy who we are: `authorization`, or else the credentials of its URL."""
    given = () if authorization is None else ((b"proxy-authorization", authorization),)
    return list(proxy_fields(given, proxy.username, proxy.password))
