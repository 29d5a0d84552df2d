"""
The head of an HTTP/1 response, the sizes of its chunks, and what they say (RFC 9112).

Pure functions: bytes in, values out, `ProtocolViolation` or `LimitReached` for what must not be taken. Lines and fields that
come again and again are remembered, so that a long-lived connection parses them once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from twisted_gun.errors import LimitReached, ProtocolViolation
from twisted_gun.events import Headers
from twisted_gun.options import HttpOptions

__all__ = [
    "Content",
    "Head",
    "check_partial_head",
    "check_partial_line",
    "chunk_size",
    "content_of",
    "ends_connection",
    "fields",
    "parse_head",
    "switched_protocol",
]

_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?)\r\n")
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_LARGEST = 2**63 - 1
#: Longer lines are not remembered.
_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Head:
    """A status line and its fields; `minor` is the 1 of HTTP/1.1."""

    minor: int
    status: int
    reason: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class Content:
    """
    How the content of a response ends (RFC 9112 section 6.3).

    `reading` is how it is read: by "length", by "chunk_size", "until_close", or "head" where there is none. `length` is in bytes, None
    where it is not known. `closes` says that the connection ends with it.
    """

    reading: str
    length: int | None
    closes: bool


def parse_head(block: bytes, options: HttpOptions) -> Head:
    """The head in `block`, which ends with the empty line."""
    lines = block[:-4].split(b"\r\n")
    if len(lines[0]) > options.max_status_line_size:
        raise LimitReached("max_status_line_size", options.max_status_line_size)
    minor, status, reason = _status_line(lines[0])
    del lines[0]
    return Head(minor, status, reason, fields(lines, options.max_header_count, "max_header_count"))


@lru_cache(maxsize=64)
def _status_line(line: bytes) -> tuple[int, int, bytes]:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise ProtocolViolation(f"expected a status line such as 'HTTP/1.1 200 OK', not {line[:64]!r}")
    return int(match[1]), int(match[2]), match[3] or b""


def fields(lines: list[bytes], limit: int, limit_name: str) -> Headers:
    """The fields in `lines`, names in lower case; at most `limit` of them."""
    if len(lines) > limit:
        raise LimitReached(limit_name, limit)
    found = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            found.append(_folded(found, line))
        else:
            found.append(_remembered_field(line) if len(line) <= _REMEMBERED else _field(line))
    return tuple(found)


def _folded(found: list[tuple[bytes, bytes]], line: bytes) -> tuple[bytes, bytes]:
    """
    The last field of `found`, which is taken away, with `line` joined to it.

    RFC 9112 section 5.2: a user agent "MUST replace each received obs-fold with one or more SP octets".
    """
    if not found:
        raise ProtocolViolation("white space between the status line and the first header field (RFC 9112 section 2.2)")
    name, value = found.pop()
    return name, (value + b" " + _checked_value(name, line)).strip(b" \t")


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not _TOKEN.fullmatch(name):
        raise ProtocolViolation(f"expected a header field such as 'name: value', not {line[:64]!r}")
    return name.lower(), _checked_value(name, value)


_remembered_field = lru_cache(maxsize=1024)(_field)


def _checked_value(name: bytes, value: bytes) -> bytes:
    if _NOT_IN_VALUE.search(value):
        raise ProtocolViolation(f"the value of the header field {name!r} holds a control character (RFC 9110 section 5.5)")
    return value.strip(b" \t")


def check_partial_head(new: bytes, first: bool, size: int, options: HttpOptions) -> None:
    """
    Refuse the beginning of a head that can no longer become one, rather than wait for its end.

    `new` is what was not looked at before, with the byte before it; `first` says that it is the beginning; `size` is all there is.
    """
    if first and not new.startswith(b"HTTP/1."[: len(new)]):
        raise ProtocolViolation(f"expected an HTTP/1 response, not {new[:64]!r}")
    if _BARE_LINE_FEED.search(new, 0 if first else 1):
        raise ProtocolViolation("a line ends with LF alone; HTTP/1.1 lines end with CRLF (RFC 9112 section 2.2)")
    if first and size > options.max_status_line_size and b"\r\n" not in new[: options.max_status_line_size + 2]:
        raise LimitReached("max_status_line_size", options.max_status_line_size)


def check_partial_line(part: bytes) -> None:
    """Refuse the beginning of a chunk's line or of a trailer block that has a line end of another kind."""
    if _BARE_LINE_FEED.search(part):
        raise ProtocolViolation("a line ends with LF alone; HTTP/1.1 lines end with CRLF (RFC 9112 section 2.2)")


def chunk_size(line: bytes, max_extension: int) -> int:
    """The size in the first `line` of a chunk, CRLF included (RFC 9112 section 7.1)."""
    match = _CHUNK_SIZE.fullmatch(line)
    if match is None:
        raise ProtocolViolation(f"expected the size of a chunk in hexadecimal digits, not {line[:64]!r}")
    if len(match[2]) > max_extension:
        raise LimitReached("max_chunk_extension_size", max_extension)
    return int(match[1], 16)


_FRAMING = frozenset({b"connection", b"content-length", b"transfer-encoding"})


def content_of(head: Head, method: bytes) -> Content:
    """What `head` says of the content that follows, after a request of `method`; RFC 9112 section 6.3, rule by rule."""
    said: dict[bytes, list[bytes]] = {}
    for name, value in head.headers:
        if name in _FRAMING:
            said.setdefault(name, []).append(value)
    length = _content_length(said[b"content-length"]) if b"content-length" in said else None
    closes = _closes(head.minor, said.get(b"connection"))
    if method == b"HEAD" or head.status in (204, 304):
        return Content("head", 0, closes)
    if b"transfer-encoding" in said:
        return _coded(head, said[b"transfer-encoding"], closes or length is not None)
    if length is None:
        return Content("until_close", None, True)
    return Content("length", length, closes)


def _coded(head: Head, values: list[bytes], closes: bool) -> Content:
    """
    Content with a Transfer-Encoding, which "overrides the Content-Length".

    Both at once "ought to be handled as an error": the connection is not used again.
    """
    if head.minor == 0:
        # RFC 9112 section 6.1: a client "MUST treat the message as if the framing is faulty … and close the connection".
        return Content("until_close", None, True)
    codings = [coding.strip(b" \t").lower() for value in values for coding in value.split(b",")]
    if codings == [b"chunked"]:
        return Content("chunk_size", None, closes)
    if codings == [b"identity"]:
        return Content("until_close", None, True)
    raise ProtocolViolation(f"the transfer coding {b', '.join(values)[:64]!r} was not asked for (RFC 9112 section 7)")


def _content_length(values: list[bytes]) -> int:
    """RFC 9110 section 8.6: identical values may be folded into one; anything else is "an unrecoverable error"."""
    lengths = {value.strip(b" \t") for line in values for value in line.split(b",")}
    length = lengths.pop()
    if lengths or not length.isdigit() or len(length) > 19 or int(length) > _LARGEST:
        raise ProtocolViolation(f"content-length {b', '.join(values)[:64]!r} is not a length (RFC 9110 section 8.6)")
    return int(length)


def _closes(minor: int, values: list[bytes] | None) -> bool:
    """RFC 9112 section 9.3: whether the connection ends with this message."""
    if values is None:
        return minor == 0
    options = {option.strip(b" \t").lower() for value in values for option in value.split(b",")}
    return b"close" in options or (minor == 0 and b"keep-alive" not in options)


def ends_connection(headers: Headers, version: str) -> bool:
    """Whether a request with `headers`, sent as `version`, is the last one on its connection."""
    values = [value for name, value in headers if name == b"connection"]
    return _closes(0 if version == "HTTP/1.0" else 1, values or None)


def switched_protocol(asked: Headers, answered: Headers) -> bytes | None:
    """The protocol a 101 response switches to: the one it names, if the request asked for it; else None."""
    offered = _upgrade_tokens(asked)
    chosen = _upgrade_tokens(answered)
    return chosen[0] if len(chosen) == 1 and chosen[0].lower() in [token.lower() for token in offered] else None


def _upgrade_tokens(headers: Headers) -> list[bytes]:
    """The protocols of the Upgrade fields, if Connection says that they count (RFC 9110 section 7.8)."""
    tokens: dict[bytes, list[bytes]] = {b"connection": [], b"upgrade": []}
    for name, value in headers:
        if name in tokens:
            tokens[name].extend(token.strip(b" \t") for token in value.split(b",") if token.strip(b" \t"))
    return tokens[b"upgrade"] if b"upgrade" in [token.lower() for token in tokens[b"connection"]] else []
