"""
Websocket frames as a server sees them (RFC 6455 section 5, RFC 7692): written as the test wants, read as strictly as the RFCs allow.

Of the client's own code nothing is known here but the values that frames are told as, so that this can judge it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Final, NamedTuple

from twisted_gun.events import Binary, Close, Frame, Ping, Pong, Text

__all__ = ["ClientFrame", "Deflate", "Messages", "Opcode", "content", "server_frame"]

#: RFC 7692 section 6: the bit, among the three that are reserved, which marks a compressed message.
RSV1: Final = 4
#: RFC 7692 section 7.2.1: what the sender takes off the end, and the receiver puts back.
_TAIL: Final = b"\x00\x00\xff\xff"
#: An empty last block of DEFLATE: it can be read where the block before it is complete, and nowhere else.
_LAST_BLOCK: Final = b"\x01\x00\x00\xff\xff"


class Opcode(IntEnum):
    """RFC 6455 section 5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


def server_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = None,
    length_bytes: int | None = None,
    length: int | None = None,
) -> bytes:
    """
    A frame as a server sends it, or one that no server may send (RFC 6455 section 5.2).

    `rsv` is the number that the three reserved bits make, so 4 is RSV1; `mask` four bytes to mask the payload with. `length_bytes`
    is how many bytes of extended length there are, 0, 2 or 8, as few as possible by default; `length` the length that is announced
    where it is not that of `payload`.
    """
    size = len(payload) if length is None else length
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 1 << 16 else 8
    lead = {0: size, 2: 126, 8: 127}[length_bytes]
    head = bytes([fin << 7 | rsv << 4 | opcode, (mask is not None) << 7 | lead])
    extended = size.to_bytes(length_bytes, "big") if length_bytes else b""
    return head + extended + (payload if mask is None else mask + _masked(payload, mask))


def _masked(payload: bytes, mask: bytes) -> bytes:
    """RFC 6455 section 5.3; masking twice is unmasking."""
    size = len(payload)
    stream = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")


class ClientFrame(NamedTuple):
    """A frame as the client sent it, its `payload` unmasked, but not inflated; `rsv` as in `server_frame`."""

    opcode: int
    payload: bytes
    fin: bool
    rsv: int
    mask: bytes


def _client_frames(buffer: bytearray) -> Iterator[ClientFrame]:
    """Take whole frames off the buffer; raises AssertionError where a client must not have sent them (RFC 6455 section 5)."""
    while len(buffer) >= 2:
        fin, rsv, opcode, lead = bool(buffer[0] & 0x80), buffer[0] >> 4 & 7, buffer[0] & 15, buffer[1] & 127
        assert buffer[1] & 0x80, "a frame of the client without a mask"
        assert opcode in Opcode._value2member_map_, f"opcode {opcode:#x}, which is reserved"
        assert opcode < Opcode.CLOSE or (fin and not rsv and lead < 126), "a control frame that is long, fragmented or compressed"
        start = 2 + {126: 2, 127: 8}.get(lead, 0)
        if len(buffer) < start + 4:
            return
        size = int.from_bytes(buffer[2:start], "big") if lead > 125 else lead
        assert lead < 126 or (126, 1 << 16)[lead - 126] <= size < 1 << 63, f"a length of {size} in {start - 2} bytes"
        end = start + 4 + size
        if len(buffer) < end:
            return
        mask, payload = bytes(buffer[start : start + 4]), bytes(buffer[start + 4 : end])
        del buffer[:end]
        yield ClientFrame(opcode, _masked(payload, mask), fin, rsv, mask)


class Messages:
    """What the client's frames mean; raises AssertionError where they break RFC 6455 or RFC 7692."""

    def __init__(self) -> None:
        self.deflate: Deflate | None = None
        self.raw: list[ClientFrame] = []
        self._buffer = bytearray()
        self._parts: list[ClientFrame] = []
        self._closed = False

    def take(self, data: bytes) -> Iterator[Frame]:
        """The messages and control frames that `data` completes."""
        self._buffer += data
        for frame in _client_frames(self._buffer):
            self.raw.append(frame)
            if frame.opcode >= Opcode.CLOSE:
                yield self._control(frame)
            else:
                yield from self._data(frame)

    def _control(self, frame: ClientFrame) -> Frame:
        if frame.opcode != Opcode.CLOSE:
            return (Ping if frame.opcode == Opcode.PING else Pong)(frame.payload)
        assert not self._closed, "a second Close"
        self._closed = True
        if not frame.payload:
            return Close()
        assert len(frame.payload) > 1, "half a code in a Close"
        code, reason = int.from_bytes(frame.payload[:2], "big"), frame.payload[2:]
        # RFC 6455 section 7.4, and the codes that IANA has registered since; 1004, 1005, 1006 and 1015 are never sent
        assert code in {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}, f"a Close by {code}"
        return Close(code, _text(reason))

    def _data(self, frame: ClientFrame) -> Iterator[Frame]:
        # RFC 6455 section 5.5.1: "The application MUST NOT send any more data frames after sending a Close frame."
        assert not self._closed, "a message after the Close"
        first = not self._parts
        assert first == (frame.opcode != Opcode.CONTINUATION), "a new message within a fragmented one, or the continuation of none"
        allowed = (0, RSV1) if first and self.deflate is not None else (0,)
        assert frame.rsv in allowed, f"reserved bits that nothing gives a meaning: {frame.rsv}"
        self._parts.append(frame)
        if frame.fin:
            whole, start = b"".join([part.payload for part in self._parts]), self._parts[0]
            self._parts.clear()
            if start.rsv and self.deflate is not None:
                whole = self.deflate.inflate(whole)
            yield Text(_text(whole)) if start.opcode == Opcode.TEXT else Binary(whole)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise AssertionError(f"no UTF-8: {data[:64]!r}, {error.reason} at {error.start}") from error


class Deflate:
    """The server's side of permessage-deflate, with the parameters of its response (RFC 7692 section 7)."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._reset_compressor = "server_no_context_takeover" in parameters
        self._reset_inflater = "client_no_context_takeover" in parameters
        # zlib takes 8 for 9; what it makes with 9 does not look back further than 256 - 6 bytes
        self._bits = max(9, _window_bits(parameters.get("server_max_window_bits")))
        self._client_bits = _window_bits(parameters.get("client_max_window_bits"))
        self._renew_compressor()
        self._renew_inflater()

    def _renew_compressor(self) -> None:
        self._compressor = zlib.compressobj(wbits=-self._bits)

    def _renew_inflater(self) -> None:
        self._inflater = zlib.decompressobj(wbits=-self._client_bits)

    def compress(self, data: bytes) -> bytes:
        """The payload of a compressed message; section 7.2.1."""
        whole = self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        if self._reset_compressor:
            self._renew_compressor()
        return whole.removesuffix(_TAIL) or b"\x00"  # section 7.2.3.6: an empty message

    def inflate(self, data: bytes) -> bytes:
        """What a compressed message says; section 7.2.2."""
        try:
            whole = b"".join(self._inflated(data + _TAIL))
            probe = self._inflater.copy()
            probe.decompress(_LAST_BLOCK)
        except zlib.error as error:
            raise AssertionError(f"a compressed message that cannot be inflated: {error}") from error
        # (section 7.2.3.4 allows a last block too; clients do not send it, and it is not read here)
        assert probe.eof and not self._inflater.eof, "a compressed message that does not end with a whole block, or has a last one"
        if self._reset_inflater:
            self._renew_inflater()
        return whole

    def _inflated(self, data: bytes) -> Iterator[bytes]:
        if self._client_bits == 15:  # any distance that DEFLATE can express is allowed
            yield self._inflater.decompress(data)
            return
        # byte by byte: within one call zlib lets a distance reach out of the window, as long as it is into what this call has made
        for at in range(0, len(data), 64):
            rest = data[at : at + 64]
            while (piece := self._inflater.decompress(rest, 1)) or self._inflater.unconsumed_tail:
                yield piece
                rest = self._inflater.unconsumed_tail


def _window_bits(value: str | None) -> int:
    """A number that zlib takes, whatever the test made the server say: it is the client that must refuse what is wrong."""
    return int(value) if value is not None and value.isdigit() and 8 <= int(value) <= 15 else 15


def content(frame: Frame | str | bytes) -> tuple[int, bytes]:
    """The opcode and the payload."""
    if isinstance(frame, (str, Text)):
        return Opcode.TEXT, (frame if isinstance(frame, str) else frame.text).encode()
    if isinstance(frame, (bytes, Binary)):
        return Opcode.BINARY, frame if isinstance(frame, bytes) else frame.data
    if isinstance(frame, Close):
        return Opcode.CLOSE, b"" if frame.code is None else frame.code.to_bytes(2, "big") + frame.reason.encode()
    return (Opcode.PING if isinstance(frame, Ping) else Opcode.PONG), frame.data
