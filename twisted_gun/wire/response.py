"""
The head of an HTTP/1 response, any block of fields, and what they say of the content that follows (RFC 9112).

Pure functions: bytes in, values out, `ProtocolViolation` or `LimitReached` for what must not be taken. Lines and fields that
come again and again are remembered, so that a long-lived connection parses them once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from twisted_gun.errors import LimitReached, ProtocolViolation
from twisted_gun.events import Headers
from twisted_gun.options import HttpOptions
from twisted_gun.wire.core import Reader

__all__ = [
    "Framing",
    "Head",
    "check_partial_head",
    "check_line_ends",
    "check_status_line_size",
    "content_length",
    "framing_of",
    "lines_until",
    "ends_connection",
    "fields",
    "parse_head",
    "switched_protocol",
]

_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_LARGEST = 2**63 - 1
#: In larger blocks of fields no line is remembered.
_REMEMBERED = 4096


class Head(NamedTuple):
    """A status line and its fields; `minor` is the 1 of HTTP/1.1."""

    minor: int
    status: int
    reason: bytes
    headers: Headers


class Framing(NamedTuple):
    """
    How the content of a response ends (RFC 9112 section 6.3).

    `length` is in bytes, 0 where there is no content; None where it is `chunked`, or ends with the connection. `closes` says that the
    connection ends with it.
    """

    length: int | None
    chunked: bool
    closes: bool


def parse_head(block: bytes, options: HttpOptions) -> Head:
    """The head in `block`, which ends with the empty line."""
    first, _, rest = block.partition(b"\r\n")
    minor, status, reason = _status_line(first)
    return Head(minor, status, reason, fields(rest, options.max_header_count, "max_header_count", options.lenient))


@lru_cache(maxsize=64)
def _status_line(line: bytes) -> tuple[int, int, bytes]:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise ProtocolViolation(f"expected a status line such as 'HTTP/1.1 200 OK', not {line[:64]!r}")
    return int(match[1]), int(match[2]), match[3] or b""


def fields(block: bytes, limit: int, limit_name: str, lenient: bool = False) -> Headers:
    """
    The fields in `block`, which ends with an empty line, names in lower case; at most `limit` of them.

    With `lenient`, lines that are no fields are left out.
    """
    lines = block.split(b"\r\n")
    del lines[-2:]
    if len(lines) > limit:
        check_line_ends(block)
        raise LimitReached(limit_name, limit)
    parse = _remembered_field if len(block) <= _REMEMBERED else _field
    if lenient:
        return _lenient_fields(lines, parse)
    if b"\n " in block or b"\n\t" in block or block[:1] in (b" ", b"\t"):
        return _folded_fields(lines)
    return tuple(map(parse, lines))


def _folded_fields(lines: list[bytes]) -> Headers:
    found: list[tuple[bytes, bytes]] = []
    for line in lines:
        found.append(_folded(found, line) if line[:1] in (b" ", b"\t") else _field(line))
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


def _unfolded(lines: list[bytes]) -> list[bytes]:
    """`lines` with what continues one (RFC 9112 section 5.2) joined to it; white space at the very beginning continues nothing."""
    joined: list[bytes] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and joined:
            joined[-1] += b" " + line.strip(b" \t")
        else:
            joined.append(line)
    return joined


#: A line that says how the content ends, or was meant to, must not be left out: the next response would begin in the wrong place.
_FRAMES = re.compile(rb"content[^0-9A-Za-z]*length|transfer[^0-9A-Za-z]*encoding", re.IGNORECASE)


def _lenient_fields(lines: list[bytes], parse: Callable[[bytes], tuple[bytes, bytes]]) -> Headers:
    """What `parse` makes of those of `lines` that are fields."""
    found: list[tuple[bytes, bytes]] = []
    for line in _unfolded(lines):
        try:
            found.append(parse(line))
        except ProtocolViolation:
            if _FRAMES.search(line):  # anywhere: a CR alone, or a NUL, may be the end of a line for others
                raise
    return tuple(found)


def _checked_value(name: bytes, value: bytes) -> bytes:
    if _NOT_IN_VALUE.search(value):
        raise ProtocolViolation(f"the value of the header field {name!r} holds a control character (RFC 9110 section 5.5)")
    return value.strip(b" \t")


def check_partial_head(new: bytes, first: bool) -> None:
    """
    Refuse the beginning of a head that can no longer become one, rather than wait for its end.

    `new` is what was not looked at before, with the byte before it; `first` says that it is the beginning.
    """
    if first and not new.startswith(b"HTTP/1."[: len(new)]):
        raise ProtocolViolation(f"expected an HTTP/1 response, not {new[:64]!r}")
    if _BARE_LINE_FEED.search(new, 0 if first else 1):
        raise ProtocolViolation("a line ends with LF alone; HTTP/1.1 lines end with CRLF (RFC 9112 section 2.2)")


def check_status_line_size(start: bytes, most: int) -> None:
    """Refuse a head whose first line is longer than `most`; `start` holds its first `most` + 2 bytes, or what is there of them."""
    if b"\r\n" not in start and not b"\r\n".startswith(start[most:]):
        # No farther than where the limit is met, however the bytes are cut.
        check_partial_head(start[: most + (2 if start[most : most + 1] == b"\r" else 1)], True)
        raise LimitReached("max_status_line_size", most)


def check_line_ends(part: bytes) -> None:
    """Refuse the beginning of a chunk's line or of a trailer block that has a line end of another kind."""
    if _BARE_LINE_FEED.search(part):
        raise ProtocolViolation("a line ends with LF alone; HTTP/1.1 lines end with CRLF (RFC 9112 section 2.2)")


def lines_until(reader: Reader, mark: bytes, most: int, name: str, limit: int | None = None) -> bytes | None:
    """As `Reader.until`; a line end of another kind is met before the limit behind it, however the bytes are cut."""
    try:
        block = reader.until(mark, most, name, limit)
    except LimitReached:
        check_line_ends(reader.peek(most))
        raise
    if block is None:
        check_line_ends(reader.peek(len(reader)))
    return block


def framing_of(head: Head, method: bytes) -> Framing:
    """What `head` says of the content that follows, after a request of `method`; RFC 9112 section 6.3, rule by rule."""
    minor, status, _, headers = head
    said = dict(headers)
    single = len(said) == len(headers)  # so that nothing is said twice
    length = said.get(b"content-length")
    size = None if length is None else content_length(length if single else _joined(headers, b"content-length"))
    connection = said.get(b"connection")
    closes = minor == 0 if connection is None else _closes(minor, connection if single else _joined(headers, b"connection"))
    if method == b"HEAD" or status in (204, 304):
        return Framing(0, False, closes)
    if b"transfer-encoding" in said:
        return _coded(minor, _joined(headers, b"transfer-encoding"), closes or size is not None)
    if size is None:
        return Framing(None, False, True)
    return Framing(size, False, closes)


def _joined(headers: Headers, wanted: bytes) -> bytes:
    """RFC 9110 section 5.3: fields of one name are one field, whose value is a list."""
    return b",".join([value for name, value in headers if name == wanted])


def _coded(minor: int, value: bytes, closes: bool) -> Framing:
    """
    Content with a Transfer-Encoding, which "overrides the Content-Length".

    Both at once "ought to be handled as an error": the connection is not used again.
    """
    if minor == 0:
        # RFC 9112 section 6.1: a client "MUST treat the message as if the framing is faulty … and close the connection".
        return Framing(None, False, True)
    coding = value.strip(b" \t").lower()
    if coding == b"chunked":
        return Framing(None, True, closes)
    if coding == b"identity":
        return Framing(None, False, True)
    raise ProtocolViolation(f"the transfer coding {value[:64]!r} was not asked for (RFC 9112 section 7)")


@lru_cache(maxsize=256)
def content_length(value: bytes) -> int:
    """RFC 9110 section 8.6: identical values may be folded into one; anything else is "an unrecoverable error"."""
    lengths = {part.strip(b" \t") for part in value.split(b",")}
    length = lengths.pop()
    if lengths or not length.isdigit() or len(length) > 19 or int(length) > _LARGEST:
        raise ProtocolViolation(f"content-length {value[:64]!r} is not a length (RFC 9110 section 8.6)")
    return int(length)


@lru_cache(maxsize=64)
def _closes(minor: int, value: bytes) -> bool:
    """RFC 9112 section 9.3: whether the connection ends with this message, whose Connection field has this `value`."""
    options = {option.strip(b" \t").lower() for option in value.split(b",")}
    return b"close" in options or (minor == 0 and b"keep-alive" not in options)


def ends_connection(headers: Headers, version: str) -> bool:
    """Whether a request with `headers`, sent as `version`, is the last one on its connection."""
    return _closes(0 if version == "HTTP/1.0" else 1, _joined(headers, b"connection")) if headers else version == "HTTP/1.0"


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
