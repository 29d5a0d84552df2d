"""
What a caller asks for becomes a `Request`: checked and converted once, at the border.

It knows neither streams nor connections. Requests without content that come again and again are remembered.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

from twisted.web.iweb import UNKNOWN_LENGTH

from twisted_gun.errors import InvalidRequest, OptionError
from twisted_gun.events import Headers
from twisted_gun.headers import HeadersLike, Text, authority, check_authority, check_target, content_length, normalise, take
from twisted_gun.options import Destination, nested
from twisted_gun.receivers import as_receiver
from twisted_gun.wire.core import Request

__all__ = [
    "FOLLOWS",
    "Connect",
    "Forward",
    "RequestOptions",
    "check_request_options",
    "connect_request",
    "content",
    "make_connect",
    "make_request",
    "proxy_fields",
]

#: The body of a request whose content always follows.
FOLLOWS = object()

#: Longer targets are not remembered.
_REMEMBERED = 512


class RequestOptions(NamedTuple):
    """Who is told of the stream, how many data events it may be told, and whether invalid headers are left out."""

    reply_to: Any
    flow: float | None
    drop_invalid: bool = False


def check_request_options(given: Mapping[str, Any], defaults: RequestOptions) -> RequestOptions:
    """The options of one request; raises `OptionError`."""
    for name in given:
        if name not in ("reply_to", "flow", "invalid_request_headers", "tunnel"):
            raise OptionError(name, "one of the request options reply_to, flow, invalid_request_headers, tunnel")
    reply_to = as_receiver("reply_to", given["reply_to"]) if "reply_to" in given else defaults.reply_to
    flow = given.get("flow", defaults.flow)
    if flow is None and "flow" in given:
        flow = math.inf  # whatever the protocol's options say
    elif flow is not None and (type(flow) is not int or flow < 1):
        raise OptionError("flow", "a whole number >= 1, or None for no limit", flow)
    invalid = given.get("invalid_request_headers", "raise")
    if invalid not in ("raise", "ignore"):
        raise OptionError("invalid_request_headers", "'raise' or 'ignore'", invalid)
    return RequestOptions(reply_to, flow, invalid == "ignore")


def make_request(
    method: bytes, path: Text, headers: HeadersLike, body: Any, authority: bytes, options: RequestOptions
) -> tuple[Request, Any]:
    """
    The request, and the `IBodyProducer` of its content if it has one; raises `InvalidRequest`.

    Content is `body`: bytes, an iterable of bytes, or an `IBodyProducer`. With None it follows if and only if the headers hold
    Content-Length or Content-Type, Gun 1's rule; with `FOLLOWS` always.
    """
    if not headers and body == b"" and isinstance(path, (str, bytes)) and len(path) <= _REMEMBERED:
        return _bare_request(method, path, authority, options.flow), None
    target = check_target(path, method)
    fields, given = take(normalise(headers, drop_invalid=options.drop_invalid), b"host", b"content-length", b"transfer-encoding")
    length = content_length(given[b"content-length"]) if b"content-length" in given else None
    whole, producer, length = _body(body, fields, length)
    request = Request(
        method=method,
        target=target,
        authority=check_authority(given[b"host"]) if b"host" in given else authority,
        headers=fields,
        body=whole,
        length=length,
        flow=options.flow,
    )
    return request, producer


@lru_cache(maxsize=256, typed=True)  # typed, or "/" would be compared with b"/", which python -bb refuses
def _bare_request(method: bytes, path: Text, authority: bytes, flow: float | None) -> Request:
    return Request(method=method, target=check_target(path, method), authority=authority, headers=(), body=b"", flow=flow)


def _body(body: Any, fields: Headers, length: int | None) -> tuple[bytes | None, Any, int | None]:
    """The content if it is there as a whole, or else its producer, if any, and its length, if known."""
    if body is FOLLOWS:
        return None, None, length
    if body is None:
        follows = length or (length is None and any(name == b"content-type" for name, _ in fields))
        return (None, None, length) if follows else (b"", None, length)
    if hasattr(body, "startProducing"):
        return None, body, _producer_length(body)
    return content(body), None, None


#: RFC 9110 section 9.3.6: a CONNECT has no content; the others are a connection's, or for the origin's eyes only.
_NOT_TO_PROXY = frozenset(
    b"authorization connection content-length content-type cookie expect host http2-settings keep-alive te trailer "
    b"transfer-encoding upgrade".split()
)


class Connect(NamedTuple):
    """A request for a tunnel, where that shall lead to, and who is told of it."""

    request: Request
    destination: Destination
    reply_to: Any


def make_connect(destination: Any, headers: HeadersLike, given: Mapping[str, Any], defaults: RequestOptions) -> Connect:
    """What is asked of a proxy; raises `InvalidRequest` or `OptionError`."""
    chosen = check_request_options(given, defaults)
    end = nested("destination", Destination, destination)
    fields = normalise(headers, drop_invalid=chosen.drop_invalid)
    request = connect_request(end.host, end.port, fields, end.username, end.password)
    return Connect(replace(request, flow=chosen.flow), end, chosen.reply_to)


def connect_request(host: str, port: int, fields: Headers = (), username: Any = None, password: Any = None) -> Request:
    """A CONNECT to `host` and `port` (RFC 9110 section 9.3.6), with `proxy_fields`; raises as those."""
    target = authority(host, port, 0)
    return Request(method=b"CONNECT", target=target, authority=target, headers=proxy_fields(fields, username, password), body=b"")


def proxy_fields(fields: Headers, username: Any = None, password: Any = None) -> Headers:
    """
    What a proxy is told: `fields`, and Basic credentials (RFC 7617) unless they hold some.

    Raises `InvalidRequest` for a field that is not for a proxy to see.
    """
    for name, _ in fields:
        if name in _NOT_TO_PROXY:
            raise InvalidRequest(f"header {name.decode()}: it is not for a proxy; give proxy-authorization, or put it into requests")
    if username is not None and not any(name == b"proxy-authorization" for name, _ in fields):
        user, secret = (text.encode() if isinstance(text, str) else text for text in (username, password))
        fields = ((b"proxy-authorization", b"Basic " + b64encode(user + b":" + secret)), *fields)
    return fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """How a proxy is given requests that it sends on to their http origin without a tunnel; `fields` are for the proxy."""

    fields: Headers = field(repr=False)

    def of(self, request: Request) -> Request:
        """`request` in absolute-form, unless it is a CONNECT; RFC 9112 section 3.2.2, and 3.2.4 for ``*``."""
        target = request.target
        if target.startswith(b"/"):
            target = b"http://" + request.authority + target
        elif target == b"*":
            target = b"http://" + request.authority
        given = {name for name, _ in request.headers}
        fields = (field for field in self.fields if field[0] not in given)
        return replace(request, target=target, headers=(*fields, *request.headers))


def content(data: object) -> bytes:
    """`data`, bytes or an iterable of bytes, as bytes; raises `InvalidRequest`."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    if isinstance(data, Iterable) and not isinstance(data, str):
        pieces = list(data)
        if all(isinstance(piece, bytes) for piece in pieces):
            return b"".join(pieces)
    raise InvalidRequest(f"data: expected bytes or a list of bytes, not {type(data).__name__}")


def _producer_length(body: Any) -> int | None:
    """The length in bytes that an `IBodyProducer` says it has, None where it does not know."""
    length = body.length
    if length is UNKNOWN_LENGTH:
        return None
    if type(length) is not int or length < 0:
        raise InvalidRequest(f"body: expected an IBodyProducer whose length is a number of bytes or UNKNOWN_LENGTH, not {length!r}")
    return length
