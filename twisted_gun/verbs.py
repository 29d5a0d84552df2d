"""The verbs that make a request, each in terms of one: whoever has them says what a request is (`_request`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted_gun.headers import HeadersLike, check_method
from twisted_gun.request import FOLLOWS
from twisted_gun.stream import Stream

__all__ = ["Verbs"]


class Verbs:
    """Requests by the name of their method."""

    def _request(self, method: bytes, path: str | bytes, headers: HeadersLike, body: Any, options: Mapping[str, Any]) -> Stream:
        raise NotImplementedError

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
        before `Stream.update_flow`; `invalid_request_headers`, "raise", or "ignore" to leave such headers out.
        """
        return self._request(check_method(method), path, headers, body, request_options)

    def headers(self, method: str | bytes, path: str | bytes, headers: HeadersLike = (), **request_options: Any) -> Stream:
        """Send the head of any request; its content always follows, by `Stream.data`. Gun's gun:headers/5."""
        return self._request(check_method(method), path, headers, FOLLOWS, request_options)
