"""How a connection is opened: where to, with what options, over what kind of transport."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint

from twisted_gun.connection import Connection
from twisted_gun.errors import OptionError
from twisted_gun.headers import authority, check_host
from twisted_gun.info import Origin
from twisted_gun.leg import Leg, first_leg
from twisted_gun.net.dial import endpoint_for
from twisted_gun.net.proxied import ProxiedEndpoint, proxied_endpoint
from twisted_gun.net.tls import TlsEndpoint
from twisted_gun.options import Options, ProxyUrl, make_options
from twisted_gun.options.checks import check_port
from twisted_gun.options.proxies import proxies_of_environment
from twisted_gun.receivers import as_receiver
from twisted_gun.request import Forward, proxy_fields
from twisted_gun.urls import PORTS, split_url

__all__ = ["check_path", "open", "open_unix", "open_url", "place_of_url"]


def open(  # noqa: A001 - Gun's name
    host: Any,
    port: int,
    *,
    owner: Any = None,
    reply_to: Any = None,
    reactor: Any = None,
    options: Options | None = None,
    **keywords: Any,
) -> Connection:
    """
    A connection to `host` and `port`, at once; it dials in the background. Gun's gun:open/3.

    `owner` is told of the connection, `reply_to` of all its streams: an `IReceiver` or a callable each. Options are those of
    `twisted_gun.Options`, as keywords or as `options`; bad ones raise `OptionError`, a bad host `InvalidRequest`.
    """
    name, port = check_host(host), check_port(port)
    settled = make_options(options, keywords, port).settled(port)
    scheme = "https" if settled.transport == "tls" else "http"
    origin = Origin(scheme=scheme, host=name, port=port, authority=authority(name, port, PORTS[scheme]))
    return _start(origin, None, owner, reply_to, reactor, settled)


def open_unix(
    path: str,
    *,
    owner: Any = None,
    reply_to: Any = None,
    reactor: Any = None,
    options: Options | None = None,
    **keywords: Any,
) -> Connection:
    """A connection to the UNIX socket at `path`; the requests are for localhost. Gun's gun:open_unix/2."""
    check_path(path)
    settled = make_options(options, keywords, 80).settled(80)
    scheme = "https" if settled.transport == "tls" else "http"
    origin = Origin(scheme=scheme, host="localhost", port=PORTS[scheme], authority=b"localhost")
    return _start(origin, path, owner, reply_to, reactor, settled)


def open_url(url: str, **arguments: Any) -> Connection:
    """A connection to the origin of an http, https, ws or wss `url`, whose path is not looked at; otherwise as `open`."""
    host, port, transport = place_of_url(url, arguments)
    return open(host, port, **{**arguments, "transport": transport})


def check_path(path: Any) -> str:
    """`path`, if a UNIX socket may be there; raises `OptionError`."""
    if not isinstance(path, str) or not path or "\0" in path:
        raise OptionError("path", "the path of a UNIX socket", path)
    return path


def place_of_url(url: Any, options: Mapping[str, Any]) -> tuple[str, int, str]:
    """
    Host, port and transport of `url`; raises `InvalidRequest`, or `OptionError` where `options` say another transport.

    "https" says TLS wherever it is written: RFC 9110 section 4.2.2, "the client MUST ensure that its connection to the origin server is
    secured".
    """
    parts = split_url(url.decode("ascii", "replace") if isinstance(url, bytes) else url)
    transport = "tls" if parts.scheme in ("https", "wss") else "tcp"
    if options.get("transport", transport) != transport:
        raise OptionError("transport", f"{transport!r}, as the URL has it, or to be left out", options["transport"])
    return parts.hostname or "", parts.port or PORTS[parts.scheme], transport


def _start(origin: Origin, path: str | None, owner: Any, reply_to: Any, reactor: Any, options: Options) -> Connection:
    if reactor is None:
        from twisted.internet import reactor
    urls = _proxies(origin, path, options)
    endpoint: IStreamClientEndpoint
    if urls:
        leg, endpoint = _through(urls, origin, options, reactor)
        proxies = endpoint.intermediaries
    else:
        leg, endpoint = first_leg(origin, options), endpoint_for(reactor, options, origin.host, origin.port, path)
        proxies = tuple
    if leg.creator is not None and leg.forward is None:
        endpoint = TlsEndpoint(leg.creator, endpoint, reactor)
    told = as_receiver("owner", owner), as_receiver("reply_to", reply_to)
    return Connection(leg, path or leg.where, endpoint, proxies, options, *told, reactor)


def _proxies(origin: Origin, path: str | None, options: Options) -> tuple[ProxyUrl, ...]:
    """The proxies to go through; the environment's are for other machines only."""
    if isinstance(options.proxy, str):
        return () if path is not None or options.endpoint is not None else proxies_of_environment(origin.scheme, origin.host, origin.port)
    if options.proxy and path is not None:
        raise OptionError("proxy", "None for a UNIX socket")
    return options.proxy


def _through(proxies: tuple[ProxyUrl, ...], origin: Origin, options: Options, reactor: Any) -> tuple[Leg, ProxiedEndpoint]:
    """The first leg of a connection through `proxies`, and what it dials."""
    last = proxies[-1]
    leg = first_leg(origin, options)
    absolute = options.proxy_mode == "absolute" and origin.scheme == "http" and leg.takes_requests and last.scheme != "socks5"
    endpoint = proxied_endpoint(reactor, proxies, origin.host, origin.port, options, absolute=absolute)
    if not absolute:
        return leg, endpoint
    forward = Forward(fields=proxy_fields(options.proxy_headers, last.username, last.password))
    return replace(leg, creator=endpoint.creator, forward=forward), endpoint
