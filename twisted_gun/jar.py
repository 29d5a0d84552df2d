"""
The cookies of a route: those that go with its requests, and those that come with its responses (RFC 6265bis sections 5.6 and 5.8).

Between the hop and its route, where there is a store. What is stored, and for whom, is for the store to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from twisted.logger import Logger

from twisted_gun.cookies import CookieUri, cookie_header
from twisted_gun.events import Headers, Inform, Push, Response, Upgrade
from twisted_gun.wire.core import Request

if TYPE_CHECKING:
    from twisted_gun.net.hop import Hop
    from twisted_gun.route import Route
    from twisted_gun.stream import Stream

__all__ = ["Jar"]

#: Of a response's Set-Cookie fields so many are looked at, unless the store has a `max_per_response` of its own.
_MOST_SET = 50


class Jar:
    """An `Above` that takes the cookies out of what `above` is told for `route`, and passes all of it on."""

    def __init__(self, route: Route, above: Any, store: Any) -> None:
        self._route = route
        self._above = above
        self._store = store
        self._most = getattr(store, "max_per_response", _MOST_SET)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._above, name)

    def dress(self, hop: Hop[Any], stream: Stream, request: Request) -> Request:
        """`request` with the cookies that are for its origin, in one field with those that the caller gave."""
        if request.method == b"CONNECT":  # which is for the proxy
            return request
        stream._uri = uri = self._uri_of(request)
        cookies = () if uri is None else self._ask("query", uri)
        if not cookies:
            return request
        # Section 5.8.1: "the user agent MUST generate a single cookie-string": it has the caller's in the place of others of their names.
        own = [value for name, value in request.headers if name == b"cookie"]
        names = {pair.partition(b"=")[0].strip() for value in own for pair in value.split(b";") if b"=" in pair}
        stored = [cookie for cookie in cookies if cookie.name not in names]
        others = (field for field in request.headers if field[0] != b"cookie")
        return replace(request, headers=(*others, (b"cookie", b"; ".join(filter(None, [*own, cookie_header(stored)])))))

    def tell(self, event: Any) -> None:
        """Its cookies are stored before anybody hears of it, so that whatever is asked for then goes with them."""
        kind = type(event)
        if kind is Response:
            self._store_of(event.stream, event.headers)
        elif kind is Push:
            event.pushed_stream._uri = _absolute(event.uri.decode("latin-1"), self._route.leg.origin.scheme == "https")
        elif (kind is Inform or kind is Upgrade) and not self._ignores(kind):
            self._store_of(event.stream, event.headers)
        self._above.tell(event)

    def _ignores(self, kind: type) -> bool:
        """Whether an interim response is not asked for cookies, nor the 101 that an upgrade is over HTTP/1.1."""
        leg, hop = self._route.leg, self._route.hop
        if hop is not None and hop.core.name == "http2":
            return leg.http2.cookie_ignore_informational and kind is Inform
        return leg.http.cookie_ignore_informational

    def _store_of(self, stream: Stream, headers: Headers) -> None:
        if stream._uri is None:
            return
        values = [value for name, value in headers if name == b"set-cookie"]
        if len(values) > self._most:
            _log.warn("{stream}: {n} Set-Cookie fields in one response; {most} are taken", stream=stream, n=len(values), most=self._most)
        for value in values[: self._most]:
            self._ask("set_cookie", stream._uri, value)

    def _ask(self, method: str, *arguments: Any) -> Any:
        """Ask the store; one that raises does not harm the connection."""
        ask: Callable[..., Any] = getattr(self._store, method)
        try:
            return ask(*arguments)
        except Exception:
            _log.failure("{store} raised in {method}", store=self._store, method=method)
            return None

    def _uri_of(self, request: Request) -> CookieUri | None:
        """Whom `request` is for: by its Host field, as Gun has it. None where that is nobody who could have cookies."""
        target = request.target.decode("latin-1")
        scheme = self._route.leg.origin.scheme
        if target.startswith("/"):
            return _uri(scheme, request.authority.decode("latin-1"), target.partition("?")[0])
        if target == "*":
            return _uri(scheme, request.authority.decode("latin-1"), "/")
        return _absolute(target, scheme == "https")


def _absolute(uri: str, secure: bool) -> CookieUri | None:
    """Whom an absolute `uri` names; whether what is sent there is `secure` is said by how it is sent, not by its scheme."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    return _uri("https" if secure and parts.scheme == "https" else "http", parts.netloc, parts.path or "/")


def _uri(scheme: str, authority: str, path: str) -> CookieUri:
    host = authority.rpartition("@")[2]
    host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return CookieUri(scheme, host.lower(), path)


_log = Logger()
