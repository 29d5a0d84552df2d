"""Taking the head of an HTTP/1 response from what has arrived: bounded, and refused as soon as it can no longer become one."""

from __future__ import annotations

import re

from twisted_gun.errors import LimitReached
from twisted_gun.options import HttpOptions
from twisted_gun.wire.core import Reader
from twisted_gun.wire.response import check_partial_head, check_status_line_size

__all__ = ["HeadReader"]

_LENIENT_END = re.compile(rb"\n\r?\n")
_LENIENT_LINE_END = re.compile(rb"\r?\n")


class HeadReader:
    """Takes heads from `reader`, one after another."""

    __slots__ = ("_checked", "_options", "_reader", "blank_line_allowed")

    def __init__(self, reader: Reader, options: HttpOptions) -> None:
        self._reader = reader
        self._options = options
        self._checked = 0  # bytes of a partial head that were looked at already
        self.blank_line_allowed = True

    def skip_blank_line(self) -> bool:
        """Pass over the one empty line that some servers send after a response; whether only a part of it is there yet."""
        if not (self.blank_line_allowed and self._reader.starts_with(b"\r")):
            return False
        start = self._reader.peek(2)
        if start == b"\r\n":
            self._reader.take(2)
            self.blank_line_allowed = False
        return len(start) < 2

    def take(self) -> bytes | None:
        """The whole head; None where only a part of it is there. Raises `ProtocolViolation` or `LimitReached`."""
        if self._options.lenient:
            return self._lenient()
        block = self._whole(len(self._reader))
        if block is None:
            self._check_part(len(self._reader))
        else:
            self._checked = 0
        return block

    def _whole(self, size: int) -> bytes | None:
        """The whole head, if it is there; what is wrong with its beginning is met before a limit behind it, however it is cut."""
        reader, options = self._reader, self._options
        most = options.max_status_line_size
        if size > most and self._checked <= most + 2:  # else the status line was seen to end
            check_status_line_size(reader.peek(most + 2), most)
        try:
            return reader.until(b"\r\n\r\n", options.max_header_block_size, "max_header_block_size")
        except LimitReached:
            check_partial_head(reader.peek(options.max_header_block_size), True)
            raise

    def _lenient(self) -> bytes | None:
        """As `take`, but lines may end with LF alone; in what it gives they end with CRLF."""
        reader, most, size = self._reader, self._options.max_header_block_size, len(self._reader)
        self._check_first_line(size)
        seen = max(0, self._checked - 2)
        found = _LENIENT_END.search(reader.peek(most, seen))
        self._checked = size
        if found is not None:
            self._checked = 0
            return _LENIENT_LINE_END.sub(b"\r\n", reader.take(seen + found.end()))
        if size >= most:
            raise LimitReached("max_header_block_size", most)
        return None

    def _check_first_line(self, size: int) -> None:
        seen, most = self._checked, self._options.max_status_line_size
        if seen < len(b"HTTP/1."):
            check_partial_head(self._reader.peek(len(b"HTTP/1.")), True)
        if seen < most + 2 <= size and len(_LENIENT_LINE_END.split(self._reader.peek(most + 2), maxsplit=1)[0]) > most:
            raise LimitReached("max_status_line_size", most)

    def _check_part(self, size: int) -> None:
        """Look at what is new in the beginning of a head."""
        seen = self._checked
        first = seen < len(b"HTTP/1.")
        check_partial_head(self._reader.peek(size, 0 if first else seen - 1), first)
        self._checked = size
