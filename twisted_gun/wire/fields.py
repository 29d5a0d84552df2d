"""
HTTP/2's rules for field sections (RFC 9113 section 8): the request as fields, and what a response's fields must be.

Pure functions: values in, values out, `ProtocolViolation` for what is malformed. Both cores of HTTP/2 use them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from twisted_gun.errors import ProtocolViolation
from twisted_gun.events import Headers
from twisted_gun.wire.core import Request
from twisted_gun.wire.response import content_length

__all__ = ["Promise", "RequestFields", "ResponseHead", "check_trailers", "parse_promise", "parse_response", "request_fields"]

# RFC 9113 section 8.2.1: no upper case, and otherwise what RFC 9110 section 5.6.2 says of a token.
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_NOT_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_STATUS = re.compile(rb"[1-9][0-9]{2}")
_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)(.*)")
#: Longer fields are not remembered.
_REMEMBERED = 256

#: RFC 9113 section 8.2.2: "An endpoint MUST NOT generate an HTTP/2 message containing connection-specific header fields".
_OF_A_CONNECTION = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
#: These are for HTTP/1.1 only (RFC 9113 section 3.1, RFC 8441 section 5).
_NOT_SENT = _OF_A_CONNECTION | {b"http2-settings", b"sec-websocket-key"}
_HAS_CONTENT = frozenset({b"POST", b"PUT", b"PATCH"})


class RequestFields(NamedTuple):
    """
    A request as it goes out; the first three with the scheme are the pseudo-fields of RFC 9113 section 8.3.1.

    CONNECT has no `path`, and no scheme goes with it: they "MUST be omitted" (RFC 9113 section 8.5).
    """

    method: bytes
    authority: bytes
    path: bytes
    fields: Headers


class ResponseHead(NamedTuple):
    """A response's status and fields; `length` is what Content-Length says, in bytes."""

    status: int
    headers: Headers
    length: int | None


class Promise(NamedTuple):
    """The request that a PUSH_PROMISE says it answers."""

    method: bytes
    scheme: bytes
    authority: bytes
    path: bytes
    headers: Headers


def request_fields(request: Request) -> RequestFields:
    """`request` for the wire, without what belongs to a connection and with Content-Length where that is known."""
    length = request.length if request.body is None else len(request.body)
    fields = request.headers and _sendable(request.headers)
    # RFC 9110 section 8.6: Content-Length is sent "when the method defines a meaning for enclosed content", if only as 0.
    if length or (length == 0 and request.method in _HAS_CONTENT):
        fields = ((b"content-length", b"%d" % length), *fields)
    method = request.method
    if method == b"CONNECT":
        return RequestFields(method, request.authority, b"", fields)
    if request.protocol is not None:
        # RFC 8441 section 4: the pseudo-header field :protocol makes it an extended CONNECT, with the others as in any request.
        method, fields = b"CONNECT", ((b":protocol", request.protocol), *fields)
    absolute = None if request.target.startswith(b"/") else _ABSOLUTE.fullmatch(request.target)
    if absolute is None:
        return RequestFields(method, request.authority, request.target, fields)
    # RFC 9113 section 8.3.1: an OPTIONS request for a URI without a path has "a value of '*'", any other one "a value of '/'".
    empty = b"*" if request.method == b"OPTIONS" and not absolute[2] else b"/" + absolute[2]
    path = absolute[2] if absolute[2].startswith(b"/") else empty
    return RequestFields(method, absolute[1].rpartition(b"@")[2], path, fields)


@lru_cache(maxsize=128)
def _sendable(headers: Headers) -> Headers:
    """RFC 9113 section 8.2.2: nor the fields that Connection names, nor any TE but ``trailers``."""
    named = {token.strip(b" \t").lower() for name, value in headers if name == b"connection" for token in value.split(b",")}
    dropped = _NOT_SENT | named
    return tuple(field for field in headers if field[0] not in dropped and (field[0] != b"te" or field[1].lower() == b"trailers"))


def parse_response(fields: Headers, tunnel: bool = False) -> ResponseHead:
    """
    The head of a response, interim or final; raises `ProtocolViolation` where it is malformed (RFC 9113 section 8.1.1).

    With `tunnel` a tunnel was asked for: RFC 9110 section 9.3.6: "A client MUST ignore any Content-Length [...] received in a successful
    response to CONNECT".
    """
    if not fields or fields[0][0] != b":status":
        raise ProtocolViolation("a response without :status as its first field (RFC 9113 section 8.3.2)")
    status = fields[0][1]
    if not _STATUS.fullmatch(status):
        raise ProtocolViolation(f":status is {status[:64]!r}, not three digits (RFC 9110 section 15)")
    headers = fields[1:]
    lengths = []
    for name, value in headers:
        (_checked if len(name) + len(value) <= _REMEMBERED else _check)(name, value)
        if name == b"content-length":
            lengths.append(value)
    if not lengths or (tunnel and status[:1] == b"2"):
        return ResponseHead(int(status), headers, None)
    return ResponseHead(int(status), headers, content_length(b",".join(lengths)))


def check_trailers(fields: Headers) -> None:
    """Raises `ProtocolViolation` where `fields` cannot be trailers: they have no pseudo-fields (RFC 9113 section 8.1)."""
    for name, value in fields:
        _check(name, value)


def parse_promise(fields: Headers) -> Promise:
    """The request in a PUSH_PROMISE; raises `ProtocolViolation` where it is not one that may be pushed (RFC 9113 section 8.4.1)."""
    pseudo = dict(field for field in fields if field[0][:1] == b":")
    headers = fields[len(pseudo) :]
    if set(pseudo) != {b":method", b":scheme", b":authority", b":path"} or not pseudo[b":path"].startswith(b"/"):
        raise ProtocolViolation("a promised request needs :method, :scheme, :authority and :path, each once and before all else")
    for name, value in headers:
        _check(name, value)
    if pseudo[b":method"] not in (b"GET", b"HEAD"):
        raise ProtocolViolation("a promised request must be safe and without content (RFC 9113 section 8.4)")
    for value in pseudo.values():
        _check(b"a pseudo-field", value, known=True)
    return Promise(pseudo[b":method"], pseudo[b":scheme"], pseudo[b":authority"], pseudo[b":path"], headers)


def _check(name: bytes, value: bytes, known: bool = False) -> None:
    """RFC 9113 sections 8.2.1 and 8.2.2, for one field."""
    if not known and not _NAME.fullmatch(name):
        raise ProtocolViolation(f"a field name must be a token in lower case, not {name[:64]!r} (RFC 9113 section 8.2.1)")
    if _NOT_IN_VALUE.search(value) or value.strip(b" \t") != value:
        raise ProtocolViolation(f"the value of the field {name!r} holds what it must not (RFC 9113 section 8.2.1)")
    if name in _OF_A_CONNECTION or name == b"te":
        raise ProtocolViolation(f"the field {name!r} belongs to a connection of HTTP/1.1 (RFC 9113 section 8.2.2)")


_checked = lru_cache(maxsize=1024)(_check)
