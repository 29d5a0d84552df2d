"""A request and its response as HTTP/1 has them on one connection, and the request as bytes (RFC 9112 section 3)."""

from __future__ import annotations

from twisted_gun.options import HttpOptions
from twisted_gun.wire.core import Request
from twisted_gun.wire.response import ends_connection

__all__ = ["Exchange", "encode_content", "encode_head"]

_HAS_CONTENT = frozenset({b"POST", b"PUT", b"PATCH"})


class Exchange:
    """A request and its response."""

    __slots__ = (
        "cancelled",
        "chunked",
        "discarded",
        "drained",
        "flow",
        "held",
        "informed",
        "informed_size",
        "last",
        "queued",
        "received",
        "request",
        "sent",
        "stream",
    )

    def __init__(self, stream: object, request: Request) -> None:
        self.stream = stream
        self.request = request
        self.flow = request.flow
        self.sent = request.body is not None  # whether the whole request has been given to the wire
        self.chunked = False
        self.cancelled = False
        self.drained = False  # cancelled, but to be read to its end at any cost
        self.held = False
        self.last = False  # whether the connection ends with it
        self.informed = self.informed_size = self.received = self.discarded = 0
        self.queued: list[tuple[bytes, bool]] | None = None  # content given before its request could be written


def encode_head(exchange: Exchange, options: HttpOptions) -> bytes:
    """The request line and the fields: those that frame the content, then Host, then the caller's."""
    request, version = exchange.request, options.version
    exchange.last = ends_connection(request.headers, version)
    fields = ((b"host", request.authority), *request.headers)
    length = request.length if request.body is None else len(request.body)
    # RFC 9110 section 8.6: Content-Length is sent "when the method defines a meaning for enclosed content", if only as 0.
    if length or (length == 0 and request.method in _HAS_CONTENT):
        fields = ((b"content-length", b"%d" % length), *fields)
    elif length is None:
        exchange.chunked = True
        fields = ((b"transfer-encoding", b"chunked"), *fields)
    transform = options.transform_header_name
    if transform is not None:
        fields = tuple((transform(name), value) for name, value in fields)
    lines = b"".join([b"%b: %b\r\n" % field for field in fields])
    return b"%b %b %b\r\n%b\r\n" % (request.method, request.target, version.encode(), lines)


def encode_content(exchange: Exchange, data: bytes, fin: bool) -> bytes:
    """A piece of the content as it goes out; RFC 9112 section 7.1: a chunk of size zero is the last, so no data is no chunk."""
    if not exchange.chunked:
        return data
    return (b"%x\r\n%b\r\n" % (len(data), data) if data else b"") + (b"0\r\n\r\n" if fin else b"")
