"""
Websockets (RFC 6455, RFC 7692), our own core: how frames are read and written.

What they mean is in `wire/ws_session.py`, the parts of a message in `wire/message.py`. Small whole messages take the short way: they
are met in one look at the bytes, and told at once.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from twisted_gun.errors import ProtocolViolation
from twisted_gun.events import Binary, text_event, ws_event
from twisted_gun.options import WsOptions
from twisted_gun.wire.deflate import Deflater, Inflater
from twisted_gun.wire.handshake import Agreement
from twisted_gun.wire.masking import MaskKeys, mask
from twisted_gun.wire.message import CloseCode, Incoming, WsFault, decoded, not_text
from twisted_gun.wire.ws_session import BINARY, CLOSE, CONTINUATION, FRAME_SIZE, MOST_TOLD, PING, PONG, TEXT, WsSession

__all__ = ["Websocket"]

_FIN: Final = 0x80
_RSV1: Final = 0x40
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_WHOLE_TEXT: Final = _FIN | TEXT
_WHOLE_BINARY: Final = _FIN | BINARY
#: RFC 6455 section 5.2: the payload length is said in 7 bits, or by one of these in 16 or in 64.
_IN_16, _IN_64 = 126, 127
_KNOWN: Final = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
#: The two bytes before the mask of a short frame, by its first byte and its size.
_SHORT: Final = {
    first: [bytes((first, _MASKED | size)) for size in range(_IN_16)]
    for first in (_FIN | rsv | opcode for opcode in _KNOWN for rsv in (0, _RSV1))
}
_SHORT_TEXT, _SHORT_BINARY = _SHORT[_WHOLE_TEXT], _SHORT[_WHOLE_BINARY]
_MEDIUM = Struct("!BBH4s")
_LARGE = Struct("!BBQ4s")


def _violation(text: str) -> WsFault:
    return WsFault(CloseCode.PROTOCOL_ERROR, f"{text} (RFC 6455 section 5)")


class Websocket(WsSession):
    """The core of a websocket; see `twisted_gun.wire.core.Core`."""

    def __init__(self, stream: Any, options: WsOptions, agreement: Agreement, silent: bool) -> None:
        super().__init__(stream, options, agreement, silent)
        agreed = agreement.deflate
        self._deflater = None if agreed is None else Deflater(agreed)
        self._inflater = None if agreed is None else Inflater(agreed)
        self._threshold = 0 if agreed is None else agreed.threshold
        self._keys = MaskKeys()
        self._small = min(125, options.max_message_size)  # the largest message that takes the short way
        self._data = b""  # what has come; up to `_at` it was taken
        self._at = 0
        self._message: Incoming | None = None
        self._in_frame = False  # whether a frame of that message has begun whose payload is not all there
        self._left = 0  # bytes of it that are still to come
        self._last = False  # whether it is the message's last

    # Reading. Each reader takes what it can, and says whether the next one may go on.

    def _read(self, data: bytes) -> None:
        if self._at == len(self._data):
            self._data, self._at = data, 0
        elif data:
            self._data, self._at = self._data[self._at :] + data, 0
        more = True
        while more and self._reading and not self._withheld:
            more = self._take_payload() if self._in_frame else self._take_frame()
        if self._at == len(self._data):
            self._data, self._at = b"", 0

    def _take_frame(self) -> bool:
        data, at = self._data, self._at
        if self._message is None and self._small:
            self._at = at = self._take_small(data, at, len(data))
        there = len(data) - at
        if there < 2 or self._withheld:
            return False
        first, size = data[at], data[at + 1]
        self._check_header(first, size)
        start = at + 2
        if size >= _IN_16:
            width = 2 if size == _IN_16 else 8
            start += width
            if start > len(data):
                return False
            size = self._long_size(data[at + 2 : start])
        if first & 0x08:
            return self._take_control(first & 0x0F, start, size)
        self._at = start
        self._begin_frame(first, size)
        return True

    def _take_small(self, data: bytes, at: int, end: int) -> int:
        """The short way, for whole messages of up to 125 bytes, as many as there are; where it ended."""
        tell, stream, most, flow = self._steps.append, self._stream, self._small, self._flow
        left = (MOST_TOLD - self._told) // FRAME_SIZE
        left = count = left if flow is None else min(left, int(flow))
        while end - at >= 2 and left > 0:
            first, size = data[at], data[at + 1]
            stop = at + 2 + size
            if size > most or stop > end:
                break
            if first == _WHOLE_TEXT:
                try:
                    tell(text_event(stream, data[at + 2 : stop].decode()))
                except UnicodeDecodeError as error:
                    raise not_text(error) from error
            elif first == _WHOLE_BINARY:
                tell(ws_event(stream, Binary(data[at + 2 : stop])))
            else:
                break
            at = stop
            left -= 1
        self._told += (count - left) * FRAME_SIZE
        if flow is not None:
            self._flow = flow - (count - left)
        return at

    def _check_header(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if second & _MASKED:
            raise _violation("a masked frame from the server")
        if opcode not in _KNOWN:
            raise _violation(f"a frame with the opcode {opcode}, which is reserved")
        begins = opcode in (TEXT, BINARY)
        if first & _RESERVED and not (first & _RESERVED == _RSV1 and begins and self._inflater is not None):
            raise _violation("a frame with a reserved bit set that no extension of ours uses")
        if opcode & 0x08:
            if not first & _FIN or second >= _IN_16:
                raise _violation("a control frame that is fragmented, or longer than 125 bytes")
        elif begins is not (self._message is None):
            raise _violation("a continuation of no message" if self._message is None else "a message in the midst of another")

    def _long_size(self, size: bytes) -> int:
        number = int.from_bytes(size, "big")
        # RFC 6455 section 5.2: "the minimal number of bytes MUST be used", and of 64 bits "the most significant bit MUST be 0".
        if number < (_IN_16 if len(size) == 2 else 1 << 16) or number >> 63:
            raise _violation("a payload length that is not as short as it can be, or beyond 63 bits")
        return number

    def _begin_frame(self, first: int, size: int) -> None:
        message = self._message
        if message is None:
            message = self._message = Incoming(first & 0x0F == TEXT, bool(first & _RSV1), self._options)
        message.add_fragment(size)
        self._in_frame = True
        self._left = size
        self._last = bool(first & _FIN)

    def _take_payload(self) -> bool:
        data, at, message = self._data, self._at, self._message
        stop = min(len(data), at + self._left)
        piece = data if at == 0 and stop == len(data) else data[at:stop]
        self._at = stop
        self._left -= len(piece)
        ends = self._left == 0
        assert message is not None
        if message.compressed:
            self._inflate(message, piece, ends and self._last)
        elif piece:
            message.add(piece)
        if not ends:
            return False
        self._in_frame = False
        if self._last:
            self._message = None
            self._message_received(message)
        return True

    def _inflate(self, message: Incoming, data: bytes, fin: bool) -> None:
        assert self._inflater is not None
        try:
            for piece in self._inflater.inflate(data, fin):
                message.add(piece)
        except ProtocolViolation as error:
            raise WsFault(CloseCode.INVALID_DATA, error) from error

    def _take_control(self, opcode: int, start: int, size: int) -> bool:
        stop = start + size
        if stop > len(self._data):
            return False
        payload = self._data[start:stop]
        self._at = stop
        if opcode == PING:
            self._ping_received(payload)
        elif opcode == PONG:
            self._pong_received(payload)
        elif size == 1:
            raise _violation("a Close frame of one byte, where a code has two")
        else:
            self._close_received(int.from_bytes(payload[:2], "big") if payload else None, decoded(payload[2:]))
        return True

    # Writing.

    def small(self, message: str | bytes) -> bytes | None:
        if self._deflater is not None or not self.open:
            return None
        try:
            head, payload = (_SHORT_TEXT, message.encode()) if type(message) is str else (_SHORT_BINARY, message)
        except UnicodeEncodeError:
            return None
        size = len(payload)
        if size >= _IN_16:
            return None
        key = self._keys.take()
        return head[size] + key + mask(payload, key)  # type: ignore[arg-type]

    def _write(self, opcode: int, payload: bytes) -> None:
        first = _FIN | opcode
        if self._deflater is not None and not opcode & 0x08 and len(payload) >= self._threshold:
            first |= _RSV1
            payload = self._deflater.deflate(payload)
        size, key = len(payload), self._keys.take()
        if size < _IN_16:
            self._out.append(_SHORT[first][size] + key + mask(payload, key))
        elif size <= 0xFFFF:
            self._out.append(_MEDIUM.pack(first, _MASKED | _IN_16, size, key) + mask(payload, key))
        else:
            self._out += _LARGE.pack(first, _MASKED | _IN_64, size, key), mask(payload, key)
