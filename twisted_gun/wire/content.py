"""
The content of an HTTP/1 response, read from the bytes that follow its head (RFC 9112 section 6 and 7).

Each reader takes what is there, and says when it is `done`. They know nothing of streams, only of bytes and limits.
"""

from __future__ import annotations

import re
from typing import Protocol

from twisted_gun.errors import GunError, LimitReached, ProtocolViolation
from twisted_gun.events import Headers
from twisted_gun.options import HttpOptions
from twisted_gun.wire.core import Reader
from twisted_gun.wire.response import fields, lines_until

__all__ = ["ByLength", "Chunked", "Content", "UntilClose"]

_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?)\r\n")
_DIGITS = 16
#: The end of a chunk and the size of the next one, as nearly all are; what does not match is looked at piece by piece.
_PLAIN_NEXT = re.compile(rb"\r\n([0-9A-Fa-f]{1,16})\r\n")


class Content(Protocol):
    """How the content of one response ends."""

    done: bool
    trailers: Headers

    @property
    def left(self) -> int | None:
        """Bytes still to come, None where nobody knows."""

    def read(self, reader: Reader) -> bytes:
        """The content that is there; empty where more has to arrive. Raises `ProtocolViolation` or `LimitReached`."""


class ByLength:
    """Content of a known length; RFC 9112 section 6.2."""

    trailers: Headers = ()

    def __init__(self, length: int) -> None:
        self.left = length
        self.done = not length

    def read(self, reader: Reader) -> bytes:
        data = reader.take(self.left)
        self.left -= len(data)
        self.done = not self.left
        return data


class UntilClose:
    """Content that ends with the connection; RFC 9112 section 6.3, rule 8."""

    trailers: Headers = ()
    left: int | None = None
    done = False

    def read(self, reader: Reader) -> bytes:
        return reader.take(len(reader))


class Chunked:
    """
    Content in chunks, with trailer fields behind them; RFC 9112 section 7.1.

    The chunks that are there are given together: their cuts mean nothing. A chunk is given as it arrives, whatever its size says.
    """

    left: int | None = None

    def __init__(self, options: HttpOptions) -> None:
        self.done = False
        self.trailers: Headers = ()
        self._options = options
        self._chunk_left = 0
        self._after_chunk = False  # the line end behind a chunk comes next
        self._last = False  # the last chunk was seen
        self._error: GunError | None = None

    def read(self, reader: Reader) -> bytes:
        if self._error is not None:
            raise self._error
        pieces: list[bytes] = []
        try:
            while reader and not self.done:
                if self._chunk_left:
                    data = reader.take(self._chunk_left)
                    pieces.append(data)
                    self._chunk_left -= len(data)
                    if not self._chunk_left:
                        self._next_chunk(reader)
                elif not self._read_line(reader):
                    break
        except (ProtocolViolation, LimitReached) as error:
            # What came before it is content all the same; the next read is told.
            if not pieces:
                raise
            self._error = error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _next_chunk(self, reader: Reader) -> None:
        match = reader.match(_PLAIN_NEXT)
        if match is None:
            self._after_chunk = True
        else:
            self._chunk_left = int(match[1], 16)
            self._last = not self._chunk_left

    def _read_line(self, reader: Reader) -> bool:
        """Read what stands between two pieces of content; whether it is all there."""
        if self._last:
            return self._read_trailers(reader)
        if self._after_chunk:
            end = reader.peek(2)
            if not b"\r\n".startswith(end):
                raise ProtocolViolation("a chunk is longer than the size it was sent with (RFC 9112 section 7.1)")
            if len(end) < 2:
                return False
            reader.take(2)
            self._after_chunk = False
            return True
        return self._read_size(reader)

    def _read_size(self, reader: Reader) -> bool:
        most = self._options.max_chunk_extension_size
        line = lines_until(reader, b"\r\n", _DIGITS + most + 2, "max_chunk_extension_size", most)
        if line is None:
            return False
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise ProtocolViolation(f"expected the size of a chunk in hexadecimal digits, not {line[:64]!r}")
        if len(match[2]) > most:
            raise LimitReached("max_chunk_extension_size", most)
        self._chunk_left = int(match[1], 16)
        self._last = not self._chunk_left
        return True

    def _read_trailers(self, reader: Reader) -> bool:
        options = self._options
        if reader.peek(2) == b"\r\n":
            reader.take(2)
            self.done = True
            return True
        block = lines_until(reader, b"\r\n\r\n", options.max_trailer_block_size, "max_trailer_block_size")
        if block is None:
            return False
        self.trailers = fields(block, options.max_trailer_count, "max_trailer_count")
        self.done = True
        return True
