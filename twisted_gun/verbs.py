"""The verbs that make requests, of a connection and of a tunnel: whoever has them says which way they go (`_way`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from twisted_gun.headers import HeadersLike, check_method
from twisted_gun.request import FOLLOWS
from twisted_gun.stream import Stream

if TYPE_CHECKING:
    from twisted_gun.route import Route
    from twisted_gun.tunnel import Tunnel

__all__ = ["Verbs"]


class Verbs:
    """Requests by the name of their method."""

    def _way(self, options: Mapping[str, Any]) -> Route:
        """The way of a request that is given these options."""
        raise NotImplementedError

    def _request(self, method: bytes, path: str | bytes, headers: HeadersLike, body: Any, options: Mapping[str, Any]) -> Stream:
        return self._way(options).request(method, path, headers, body, options)

    def get(self, path: str | bytes, headers: HeadersLike = (), **request_options: Any) -> Stream:
        """GET `path`; RFC 9110 section 9.3.1. Raises `InvalidRequest`, `ShuttingDown` or `BadState`, as all of these do."""
        return self._request(b"GET", path, headers, b"", request_options)

    def head(self, path: str | bytes, headers: HeadersLike = (), **request_options: Any) -> Stream:
        """HEAD `path`: as GET, but without the content; RFC 9110 section 9.3.2."""
        return self._request(b"HEAD", path, headers, b"", request_options)

    def options(self, path: str | bytes, headers: HeadersLike = (), **request_options: Any) -> Stream:
        """OPTIONS `path`, or ``*`` for the server as a whole; RFC 9110 section 9.3.7."""
        return self._request(b"OPTIONS", path, headers, b"", request_options)

    def delete(self, path: str | bytes, headers: HeadersLike = (), **request_options: Any) -> Stream:
        """DELETE `path`; RFC 9110 section 9.3.5."""
        return self._request(b"DELETE", path, headers, b"", request_options)

    def post(self, path: str | bytes, headers: HeadersLike = (), body: Any = None, **request_options: Any) -> Stream:
        """POST to `path`; RFC 9110 section 9.3.3. For `body` see `request`."""
        return self.request(b"POST", path, headers, body, **request_options)

    def put(self, path: str | bytes, headers: HeadersLike = (), body: Any = None, **request_options: Any) -> Stream:
        """PUT `path`; RFC 9110 section 9.3.4. For `body` see `request`."""
        return self.request(b"PUT", path, headers, body, **request_options)

    def patch(self, path: str | bytes, headers: HeadersLike = (), body: Any = None, **request_options: Any) -> Stream:
        """PATCH `path`; RFC 5789. For `body` see `request`."""
        return self.request(b"PATCH", path, headers, body, **request_options)

    def request(
        self, method: str | bytes, path: str | bytes, headers: HeadersLike = (), body: Any = None, **request_options: Any
    ) -> Stream:
        """
        Send any request; `method` is case-sensitive.

        `body` is bytes, a list of bytes, or an `IBodyProducer`. With None content follows by `Stream.data`, if and only if the headers
        hold Content-Length or Content-Type; Gun 1's rule. Content-Length is set where the length is known, else, over HTTP/1.1, the
        content goes out chunked. `request_options`: `reply_to`, who is told of the stream; `flow`, how many data events it may be told
        before `Stream.update_flow`; `invalid_request_headers`, "raise", or "ignore" to leave such headers out; `tunnel`, the `Tunnel` to
        go through.
        """
        return self._request(check_method(method), path, headers, body, request_options)

    def headers(self, method: str | bytes, path: str | bytes, headers: HeadersLike = (), **request_options: Any) -> Stream:
        """Send the head of any request; its content always follows, by `Stream.data`. Gun's gun:headers/5."""
        return self._request(check_method(method), path, headers, FOLLOWS, request_options)

    def connect(self, destination: Any, headers: HeadersLike = (), **request_options: Any) -> Tunnel:
        """
        Ask the proxy at the other end for a tunnel; RFC 9110 section 9.3.6, Gun's gun:connect/4.

        `destination` is a `Destination` or a dict of its fields; `headers` are for the proxy. Over HTTP/1.1 the whole connection
        becomes the tunnel: what is asked for afterwards goes through it. Over HTTP/2 it is one stream among others. Raises as the other
        verbs, and `OptionError`; `BadState` over HTTP/1.1 while other streams are active.
        """
        return self._way(request_options).connect(destination, headers, request_options)

    def ws_upgrade(self, path: str | bytes, headers: HeadersLike = (), ws_opts: Any = None, **request_options: Any) -> Stream:
        """
        Ask for a websocket at `path`: RFC 6455 over HTTP/1.1, whose whole connection it then takes, RFC 8441 over HTTP/2.

        `Upgrade` tells that it was granted, or else `Response` what the server answered instead; then `Ws` brings frames, and
        `Stream.ws_send` sends them. `ws_opts`, a `WsOptions` or a dict, takes the place of those given at open. Raises as the other
        verbs, and `OptionError`; `BadState` over HTTP/1.0.
        """
        given = (
            {"tunnel": ws_opts["tunnel"], **request_options} if isinstance(ws_opts, Mapping) and "tunnel" in ws_opts else request_options
        )
        return self._way(given).ws_upgrade(path, headers, ws_opts, request_options)

    def ping(self, **request_options: Any) -> Deferred[float]:
        """
        Ask the server for a sign of life (RFC 9113 section 6.7, RFC 6455 section 5.5.2): fires with the round trip in seconds.

        `reply_to`, or else the owner, is told by a ``ping_ack`` `Notify` too. Fails with `StreamClosed` when the connection goes down.
        Raises `BadState` over HTTP/1.1, which has no ping unless it has become a websocket, and while the connection is not up.
        """
        return self._way(request_options).ping(request_options).deferred
