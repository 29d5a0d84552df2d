"""A request and its response as HTTP/1 has them on one connection, and the request as bytes (RFC 9112 section 3)."""

from __future__ import annotations

from twisted_gun.events import Headers
from twisted_gun.options import HttpOptions
from twisted_gun.wire.core import Request
from twisted_gun.wire.response import ends_connection

__all__ = ["Exchange", "encode_content", "encode_head", "upgrade_fields"]

_VERSIONS = {"HTTP/1.1": b"HTTP/1.1", "HTTP/1.0": b"HTTP/1.0"}
_HAS_CONTENT = frozenset({b"POST", b"PUT", b"PATCH"})


class Exchange:
    """A request and its response."""

    # Values that most exchanges never change are the class's, so that making one stays cheap.
    chunked = False
    cancelled = False
    drained = False  # cancelled, but to be read to its end at any cost
    held = False
    last = False  # whether the connection ends with it
    informed = informed_size = received = discarded = 0
    queued: list[tuple[bytes, bool]] | None = None  # content given before its request could be written

    def __init__(self, stream: object, request: Request, flow: float | None) -> None:
        self.stream = stream
        self.request = request
        self.flow = flow if request.flow is None else request.flow
        self.sent = request.body is not None  # whether the whole request has been given to the wire


def encode_head(exchange: Exchange, options: HttpOptions) -> bytes:
    """The request line and the fields: those that frame the content, then Host, then the caller's."""
    request, version = exchange.request, options.version
    exchange.last = ends_connection(request.headers, version)
    length = request.length if request.body is None else len(request.body)
    fields: Headers = ((b"host", request.authority), *upgrade_fields(request.protocol), *request.headers)
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
    return b"%b %b %b\r\n%b\r\n" % (request.method, request.target, _VERSIONS[version], lines)


def upgrade_fields(protocol: bytes | None) -> Headers:
    """What asks for `protocol`; RFC 9110 section 7.8: the sender of Upgrade "MUST also send an 'Upgrade' connection option"."""
    return () if protocol is None else ((b"connection", b"upgrade"), (b"upgrade", protocol))


def encode_content(exchange: Exchange, data: bytes, fin: bool) -> bytes:
    """A piece of the content as it goes out; RFC 9112 section 7.1: a chunk of size zero is the last, so no data is no chunk."""
    if not exchange.chunked:
        return data
    return (b"%x\r\n%b\r\n" % (len(data), data) if data else b"") + (b"0\r\n\r\n" if fin else b"")
