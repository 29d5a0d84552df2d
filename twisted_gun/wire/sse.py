"""
The event stream of server-sent events, read: the HTML standard, section "Server-sent events" (9.2.6, "Interpreting an event stream").

Bytes in, events out. What becomes of the events, and when to connect again, is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from twisted_gun.errors import LimitReached
from twisted_gun.events import SseEvent

__all__ = ["Retry", "SseParser"]

_BOM: Final = b"\xef\xbb\xbf"
#: How many bytes are cut into lines at a time.
_BLOCK: Final = 64 * 1024
#: A number with more digits than these is taken for the largest that has so many.
_DIGITS: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The server says how long to wait before connecting again; with what bounds that is obeyed is for others to decide."""

    seconds: float


class SseParser:
    """
    Reads one event stream, whose bytes may come cut anywhere.

    Lines end with CR, LF or both. A block that has an identifier and no data is told as an `SseEvent` without type and data, as Gun does;
    the identifier stays for the events that follow. An event that is not complete when the stream ends was never sent.

    `last_event_id` is that of the stream before, which this one goes on from. A line has at most `max_line_size` bytes, without its
    end; the data lines of an event have at most `max_event_size` together. What is kept is in proportion to these.
    """

    __slots__ = ("_after_cr", "_begun", "_data", "_id", "_identified", "_line", "_max_event", "_max_line", "_rest", "_size", "_type")

    def __init__(self, *, last_event_id: str = "", max_line_size: int = 64 * 1024, max_event_size: int = 1024 * 1024) -> None:
        self._max_line = max_line_size
        self._max_event = max_event_size
        self._begun = False  # whether the place where a byte order mark may stand is behind us
        self._after_cr = False  # whether the last byte was a CR, so that an LF belongs to it
        self._line = bytearray()  # that has no end yet
        # The event under way: the value of its first data line and those of the others, the size of these lines, its type.
        self._data: bytes | None = None
        self._rest = bytearray()
        self._size = 0
        self._type = "message"
        self._id = last_event_id
        self._identified = False  # by the event under way

    def receive(self, data: bytes) -> Iterator[SseEvent | Retry]:
        """What is complete with `data`; to be asked for to its end. Raises `LimitReached`."""
        if len(data) <= _BLOCK:
            return self._read(data)
        return (told for at in range(0, len(data), _BLOCK) for told in self._read(data[at : at + _BLOCK]))

    def _read(self, data: bytes) -> Iterator[SseEvent | Retry]:
        lines = self._lines(data)
        for line in lines:
            if not line:
                if self._data is not None:
                    yield self._event()
                elif self._identified:
                    yield SseEvent(event_type=None, data=None, last_event_id=self._id)
                self._identified = False
                self._type = "message"
            elif len(line) > self._max_line:
                raise LimitReached("max_line_size", self._max_line)
            elif line.startswith(b"data:"):
                self._add(line[6:] if line.startswith(b" ", 5) else line[5:], len(line))
            elif line[0] != 0x3A:  # a colon begins a comment
                retry = self._field(line)
                if retry is not None:
                    yield retry
        if len(self._line) > self._max_line:
            raise LimitReached("max_line_size", self._max_line)

    def _lines(self, data: bytes) -> list[bytes]:
        """The lines that end in `data`, without their ends; what follows the last of these is kept."""
        if not self._begun:
            data = self._without_bom(data)
        if self._after_cr and data:
            self._after_cr = False
            if data.startswith(b"\n"):
                data = data[1:]
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        if self._line and len(lines) > 1:
            self._line += lines[0]
            lines[0] = bytes(self._line)
            self._line.clear()
        self._line += lines.pop()
        return lines

    def _without_bom(self, data: bytes) -> bytes:
        """The standard: "One leading U+FEFF BYTE ORDER MARK character must be ignored if any are present"."""
        data = bytes(self._line) + data
        self._line.clear()
        self._begun = not (len(data) < len(_BOM) and _BOM.startswith(data))
        if not self._begun:
            self._line += data
            return b""
        return data.removeprefix(_BOM)

    def _field(self, line: bytes) -> Retry | None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":  # without a colon
            self._add(value, len(line))
        elif name == b"event":
            self._type = value.decode("utf-8", "replace") or "message"
        elif name == b"id" and b"\0" not in value:
            # The standard: "If the field value does not contain U+0000 NULL"; otherwise the field is ignored.
            self._id = value.decode("utf-8", "replace")
            self._identified = True
        elif name == b"retry" and value.isdigit():
            milliseconds = value.lstrip(b"0") or b"0"
            return Retry(seconds=(int(milliseconds) if len(milliseconds) <= _DIGITS else 10**_DIGITS - 1) / 1000)
        return None

    def _add(self, value: bytes, size: int) -> None:
        self._size += size
        if self._size > self._max_event:
            raise LimitReached("max_event_size", self._max_event)
        if self._data is None:
            self._data = value
        else:
            # One buffer: of many short lines each would take many times its size.
            self._rest += b"\n"
            self._rest += value

    def _event(self) -> SseEvent:
        """The event under way, which is complete."""
        data = self._data
        assert data is not None
        if self._rest:
            data += self._rest
            self._rest.clear()
        self._data = None
        self._size = 0
        return _sse_event(self._type, data.decode("utf-8", "replace"), self._id)


# Of events there are many: this makes them in half the time that a frozen dataclass takes.

_made: Any = SseEvent
_new, _set_type, _set_data, _set_id = object.__new__, _made.event_type.__set__, _made.data.__set__, _made.last_event_id.__set__


def _sse_event(event_type: str, data: str, last_event_id: str) -> SseEvent:
    event = _new(SseEvent)
    _set_type(event, event_type)
    _set_data(event, data)
    _set_id(event, last_event_id)
    return event
