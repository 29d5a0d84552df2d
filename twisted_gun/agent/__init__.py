"""
`GunAgent`: an `IAgent` (`twisted.web.iweb`), for treq, for Twisted's own wrappers of agents, and for all that is written for one.

Connections are those of `origins`. A response and its content are in `response.py`, failures as Twisted's users know them in
`failures.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from twisted_gun.agent.expecting import Expecting
from twisted_gun.agent.failures import request_failed
from twisted_gun.agent.response import ClientRequest, Content, GunResponse
from twisted_gun.errors import InvalidRequest, OptionError
from twisted_gun.headers import authority, check_method
from twisted_gun.options import Options, make_options
from twisted_gun.options.checks import check_left_out, is_number
from twisted_gun.origins import NOT_HERE, Identity, Origins, OriginsInfo
from twisted_gun.stream import Stream
from twisted_gun.urls import HTTP, PORTS

__all__ = ["GunAgent", "GunResponse"]

_URI = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/?#]*))?([\x21\x22\x24-\x7e]*)(?:#[\x21-\x7e]*)?")
_NETLOC = re.compile(rb"(\[[0-9A-Fa-f:.%A-Za-z]*\]|[^:@\[\]]+)(?::([0-9]{0,5}))?")


@implementer(IAgent)
class GunAgent:
    """
    An agent that speaks HTTP/2 and HTTP/1.1, chosen by ALPN, keeps its connections, and bounds them.

    Over HTTP/1.1 there are up to `max_per_host` connections to an origin, over HTTP/2 one is shared. Requests beyond that wait, at most
    `max_waiting` of them, for `checkout_timeout` seconds. A connection without requests is closed after `idle_timeout` seconds, or
    when there are more than `max_idle` of them. `response_timeout` bounds the time from the end of a request to the first byte of its
    response, `body_timeout` that between two pieces of content, `expect_timeout` how long ``expect: 100-continue`` is waited for.

    Other options are those of `twisted_gun.open`, as keywords or as `options`: `connect_timeout`, `proxy`, `tls_opts`, `protocols` and so
    on. Raises `OptionError`.
    """

    def __init__(
        self,
        reactor: Any = None,
        *,
        response_timeout: float | None = None,
        body_timeout: float | None = None,
        expect_timeout: float = 1.0,
        max_per_host: int = 6,
        max_waiting: int = 1000,
        max_idle: int = 100,
        idle_timeout: float | None = 60.0,
        checkout_timeout: float | None = None,
        endpoint: Any = None,
        options: Options | None = None,
        **keywords: Any,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        if not is_number(expect_timeout) or expect_timeout < 0:
            raise OptionError("expect_timeout", "seconds, a number >= 0", expect_timeout)
        check_left_out(keywords, NOT_HERE)
        timeouts = {"response_timeout": response_timeout, "idle_timeout": body_timeout}
        self._reactor = reactor
        self._expect_timeout = expect_timeout
        self._origins = Origins(
            reactor,
            max_per_host=max_per_host,
            max_waiting=max_waiting,
            max_idle=max_idle,
            idle_timeout=idle_timeout,
            checkout_timeout=checkout_timeout,
            endpoint=endpoint,
            options=_timed(make_options(options, keywords, 80), timeouts),
        )
        self._identity_of = lru_cache(maxsize=256)(self._identity)

    def __repr__(self) -> str:
        return f"<GunAgent {self._origins!r}>"

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """
        Make a request; fires with a `GunResponse` when its head is there. Cancelling ends the request.

        Raises TypeError and `InvalidRequest`, a ValueError, for what cannot be asked. Fails with `SchemeNotSupported`; with a `GunError`
        that is also what `twisted.web.client.Agent` would fail with: Twisted's ConnectionRefusedError, DNSLookupError or TimeoutError,
        `ResponseNeverReceived`, `ResponseFailed`, `RequestGenerationFailed`; or with `LimitReached` or `ShuttingDown`.
        """
        if not isinstance(method, bytes):
            raise TypeError(f"method: expected bytes, not {type(method).__name__}")
        check_method(method)
        scheme, netloc, target = _parts(uri)
        if scheme not in HTTP:
            return fail(SchemeNotSupported(f"the scheme {scheme!r} is not spoken here; twisted_gun.open_url takes ws and wss"))
        identity, host = self._identity_of(scheme, netloc)
        expecting = self._expecting(headers, bodyProducer)
        content = Content(self._reactor, expecting)
        request = ClientRequest(method, uri.strip(), headers, host)
        asked: Deferred[Any] = self._origins.request(identity, method, target, headers, expecting or bodyProducer or b"", reply_to=content)
        return asked.addCallbacks(_respond, _failed, callbackArgs=(content, request))

    # Its life.

    def info(self) -> OriginsInfo:
        """How many connections and requests there are, and were."""
        return self._origins.info()

    def close_idle(self) -> None:
        """Close the connections that have no requests."""
        self._origins.close_idle()

    def shutdown(self) -> Deferred[None]:
        """End gracefully: what is under way finishes, or is ended after ``closing_timeout``. Fires when all connections have ended."""
        return self._origins.shutdown()

    def close(self) -> Deferred[None]:
        """End at once, with all that is under way. Fires when all connections have ended."""
        return self._origins.close()

    # Parts of requests.

    def _identity(self, scheme: str, netloc: bytes) -> tuple[Identity, bytes]:
        """The identity of an origin, and how Host names it; raises `InvalidRequest`."""
        match = _NETLOC.fullmatch(netloc)
        if match is None:
            hint = ": give credentials in an authorization header" if b"@" in netloc else ""
            raise InvalidRequest(f"uri: expected a host, and a port or none{hint}")
        port = int(match[2] or PORTS[scheme])
        if not 0 < port < 65536:
            raise InvalidRequest(f"uri: expected a port from 1 to 65535, not {port}")
        identity = self._origins.identity(scheme, match[1], port)
        return identity, authority(identity.host, port, PORTS[scheme])

    def _expecting(self, headers: Headers | None, producer: Any) -> Expecting | None:
        wanted = () if headers is None or producer is None else headers.getRawHeaders(b"expect", ())
        if any(value.strip().lower() == b"100-continue" for value in wanted):
            return Expecting(self._reactor, producer, self._expect_timeout)
        return None


def _parts(uri: bytes) -> tuple[str, bytes, bytes]:
    """Scheme, host with port, and target of `uri`; raises `InvalidRequest`."""
    if not isinstance(uri, bytes):
        raise TypeError(f"uri: expected bytes, not {type(uri).__name__}")
    match = _URI.fullmatch(uri.strip())
    if match is None:
        raise InvalidRequest("uri: expected an absolute URI, of printable ASCII")
    target = match[3]
    return match[1].decode().lower(), match[2] or b"", target if target.startswith(b"/") else b"/" + target


def _timed(options: Options, timeouts: Mapping[str, float | None]) -> Options:
    """`options` whose protocols have these timeouts, where they have none of their own."""

    def timed(own: Any) -> Any:
        return own and replace(own, **{name: limit for name, limit in timeouts.items() if getattr(own, name, None) is None})

    protocols = options.protocols and tuple((name, timed(own)) for name, own in options.protocols)
    return replace(options, protocols=protocols, http_opts=timed(options.http_opts), http2_opts=timed(options.http2_opts))


def _respond(stream: Stream, content: Content, request: ClientRequest) -> GunResponse:
    if content.head is None:
        stream.cancel()
        reason = InvalidRequest("the server switched to another protocol, as was asked; twisted_gun.open makes connections for that")
        raise ResponseFailed([Failure(reason)])
    hop = stream._route.hop
    return GunResponse(content.head, content, request, "http" if hop is None else hop.core.name)


def _failed(failure: Failure) -> Failure:
    reason: Any = failure.value
    told = request_failed(reason)
    return failure if told is reason else Failure(told)
