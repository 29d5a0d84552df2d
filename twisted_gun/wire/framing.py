"""
Reading HTTP/2's frames (RFC 9113 sections 4 and 6): what both cores do with bytes before they ask what a frame means.

A frame's header is looked at as soon as its nine bytes are there; its payload is sliced out once it is all there. What can be said of
a frame by itself is checked here: lengths, padding, identifiers, and how many frames a field block may take. Field blocks are decoded
by the cores, and the windows of what is sent are theirs as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from twisted_gun.errors import LimitReached, ProtocolViolation
from twisted_gun.events import Headers
from twisted_gun.options import Http2Options
from twisted_gun.wire import frames
from twisted_gun.wire.frames import (
    DEFAULT_FRAME_SIZE,
    DEFAULT_WINDOW,
    HEADER,
    LARGEST,
    UINT32,
    ConnectionFault,
    ErrorCode,
    FrameType,
    Setting,
)
from twisted_gun.wire.hpack import DEFAULT_TABLE_SIZE
from twisted_gun.wire.session import Session
from twisted_gun.wire.states import State, StreamState

__all__ = ["FrameReader", "own_settings"]

_HEADER_SIZE = HEADER.size
#: The types of frames that begin a field block, as they are in a frame's header.
_WITH_FIELDS = (bytes([FrameType.HEADERS]), bytes([FrameType.PUSH_PROMISE]))

#: What a server may say. RFC 9113 section 6.5.2 of the first: "A server MUST NOT explicitly set this value to 1".
_ALLOWED: Mapping[int, range] = {
    Setting.ENABLE_PUSH: range(1),
    Setting.ENABLE_CONNECT_PROTOCOL: range(2),
    Setting.MAX_FRAME_SIZE: range(DEFAULT_FRAME_SIZE, 2**24),
}


class FrameReader(Session):
    """A core of HTTP/2 that reads frames; see `twisted_gun.wire.core.Core`."""

    #: How a frame of each type is read: flags, stream, and the bytes that hold its payload, from where to where.
    _readers: ClassVar[Mapping[int, Callable[[Any, int, int, bytes, int, int], None]]]

    def __init__(self, options: Http2Options, scheme: bytes, promised: Callable[[Any, bytes], Any]) -> None:
        super().__init__(options, scheme, promised)
        self._rest: bytes | bytearray = b""  # the beginning of a frame
        self._needed = 0  # bytes until it is whole, or its header is
        self._block: _Block | None = None  # the field block that CONTINUATION frames go on with
        self._most_frame = options.max_frame_size_received

    # What the core does.

    def _decode(self, block: bytes) -> Headers:
        """The fields of a block; raises `LimitReached` where they are too many, and the next block can be decoded all the same."""
        raise NotImplementedError

    def _resize_table(self, size: int) -> None:
        """The peer's decoder has a table of `size` bytes."""
        raise NotImplementedError

    def _open_connection_window(self, increment: int) -> None:
        """The peer lets us send `increment` more bytes, one at least."""
        raise NotImplementedError

    def _open_stream_window(self, stream: StreamState, increment: int) -> None:
        """The same for one stream; its window stays within what RFC 9113 allows."""
        raise NotImplementedError

    # The connection.

    def _start(self) -> None:
        options = self._options
        self._out += frames.PREFACE, frames.settings(own_settings(options))
        self._connection_window = options.initial_connection_window_size
        if self._connection_window > DEFAULT_WINDOW:
            self._out.append(frames.window_update(0, self._connection_window - DEFAULT_WINDOW))

    def _send_goaway(self, code: ErrorCode) -> None:
        self._out.append(frames.goaway(self._last_promised, code))

    # Reading.

    def _read(self, data: bytes) -> None:
        rest = self._rest
        if rest:
            if len(rest) + len(data) < self._needed:
                if type(rest) is bytes:
                    self._rest = rest = bytearray(rest)
                rest += data
                return
            data = b"".join((rest, data))
        readers, block = self._readers, self._block
        at, size, most = 0, len(data), (self._most_frame << 8) + 0xFF
        while size - at >= _HEADER_SIZE:
            word, flags, stream_id = HEADER.unpack_from(data, at)
            start = at + _HEADER_SIZE
            end = start + (word >> 8)
            if word > most or self._block is not None:
                self._check_frame(word, stream_id)
            if end > size:
                self._needed = end - at
                break
            at = end
            read = readers.get(word & 0xFF)
            if read is None:
                self._glitch()
            else:
                read(self, flags, stream_id & LARGEST, data, start, end)
            if self._closed:
                return
        else:
            self._needed = _HEADER_SIZE
        self._rest = data[at:]
        self._watch_headers(at > 0 and (self._block is None or self._block is not block))

    def _check_frame(self, word: int, stream_id: int) -> None:
        """What can be said of a frame by its header alone."""
        if word >> 8 > self._most_frame:
            text = f"a frame of {word >> 8} bytes, where {self._most_frame} are allowed (RFC 9113 section 4.2)"
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, text)
        if self._block is not None and (word & 0xFF != FrameType.CONTINUATION or stream_id & LARGEST != self._block.stream_id):
            # RFC 9113 section 6.10: nothing else may come between the frames of a field block.
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a field block that another frame interrupts (RFC 9113 section 6.10)")

    def _watch_headers(self, another: bool) -> None:
        """A field block that does not come to its end holds up all others; `another` has begun than the one that was awaited."""
        limit = self._options.header_timeout
        if self._block is not None or self._rest[3:4] in _WITH_FIELDS:
            if limit is not None and (another or "headers" not in self._deadlines):
                self._deadlines["headers"] = self._now + limit
        elif self._deadlines:
            self._deadlines.pop("headers", None)

    def _read_data(self, flags: int, stream_id: int, data: bytes, at: int, end: int) -> None:
        _check_has_stream("DATA", stream_id)
        size = end - at
        if flags & frames.PADDED:
            at, end = _unpadded("DATA", data, at, end)
        self._data_received(stream_id, data[at:end], size, flags & frames.END_STREAM != 0)

    def _read_headers(self, flags: int, stream_id: int, data: bytes, at: int, end: int) -> None:
        _check_has_stream("HEADERS", stream_id)
        if flags & frames.PADDED:
            at, end = _unpadded("HEADERS", data, at, end)
        if flags & frames.PRIORITY:
            at += 5
            if at > end:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for its priority (RFC 9113 section 6.2)")
        block = data[at:end]
        if flags & frames.END_HEADERS and len(block) <= self._options.max_fragmented_header_block_size:
            self._headers_read(stream_id, block, flags & frames.END_STREAM != 0)
        else:
            self._add_to_block(_Block(stream_id, 0, flags & frames.END_STREAM != 0), flags, block)

    def _read_priority(self, flags: int, stream_id: int, data: bytes, at: int, end: int) -> None:
        """RFC 9113 section 5.3.2: deprecated; it is checked and not obeyed."""
        _check_has_stream("PRIORITY", stream_id)
        _check_size("PRIORITY", end - at, 5)
        self._glitch()

    def _read_reset(self, flags: int, stream_id: int, data: bytes, at: int, end: int) -> None:
        _check_has_stream("RST_STREAM", stream_id)
        _check_size("RST_STREAM", end - at, 4)
        self._reset_received(stream_id, UINT32.unpack_from(data, at)[0])

    def _read_settings(self, flags: int, stream_id: int, data: bytes, at: int, end: int) -> None:
        _check_has_no_stream("SETTINGS", stream_id)
        if flags & frames.ACK:
            _check_size("SETTINGS with ACK", end - at, 0)
            self._settings_acked()
            return
        if (end - at) % 6:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"SETTINGS of {end - at} bytes (RFC 9113 section 6.5)")
        settings: dict[int, int] = {}
        for key, value in frames.parse_settings(data[at:end]):
            _check_setting(key, value)
            settings[key] = value
            if key == Setting.HEADER_TABLE_SIZE:
                self._resize_table(value)  # each of them, if there are several: RFC 7541 section 4.2
        self._settings_received(settings)

    def _read_promise(self, flags: int, stream_id: int, data: bytes, at: int, end: int) -> None:
        _check_has_stream("PUSH_PROMISE", stream_id)
        if not self._options.enable_push:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE, where pushes are not enabled (RFC 9113 section 6.6)")
        if flags & frames.PADDED:
            at, end = _unpadded("PUSH_PROMISE", data, at, end)
        if end - at < 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PUSH_PROMISE too short for a stream identifier (RFC 9113 section 6.6)")
        if stream_id % 2 == 0:
            # RFC 9113 section 6.6: "PUSH_PROMISE frames MUST only be sent on a peer-initiated stream".
            text = f"PUSH_PROMISE on stream {stream_id}, which is not ours (RFC 9113 section 6.6)"
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, text)
        promised_id = UINT32.unpack_from(data, at)[0] & LARGEST
        if promised_id % 2 or promised_id <= self._last_promised:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"a promise of stream {promised_id} (RFC 9113 section 5.1.1)")
        self._add_to_block(_Block(stream_id, promised_id, False), flags, data[at + 4 : end])

    def _read_ping(self, flags: int, stream_id: int, data: bytes, at: int, end: int) -> None:
        _check_has_no_stream("PING", stream_id)
        _check_size("PING", end - at, 8)
        if flags & frames.ACK:
            self._ping_answered(data[at:end])
        else:
            self._glitch()
            self._out.append(frames.ping(data[at:end], ack=True))

    def _read_goaway(self, flags: int, stream_id: int, data: bytes, at: int, end: int) -> None:
        _check_has_no_stream("GOAWAY", stream_id)
        if end - at < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"GOAWAY of {end - at} bytes (RFC 9113 section 6.8)")
        self._went_away(UINT32.unpack_from(data, at)[0] & LARGEST, UINT32.unpack_from(data, at + 4)[0])

    def _read_window_update(self, flags: int, stream_id: int, data: bytes, at: int, end: int) -> None:
        _check_size("WINDOW_UPDATE", end - at, 4)
        increment = UINT32.unpack_from(data, at)[0] & LARGEST
        if self._updates > 0:
            self._updates -= 1
        else:
            self._glitch()
        if stream_id:
            self._read_update_of_stream(stream_id, increment)
        elif increment:
            self._opened_at = self._now
            self._open_connection_window(increment)
        else:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing (RFC 9113 section 6.9)")

    def _read_update_of_stream(self, stream_id: int, increment: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            if self._is_idle(stream_id):
                text = f"WINDOW_UPDATE on stream {stream_id}, which is idle (RFC 9113 section 5.1)"
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, text)
        elif stream.state is State.RESERVED:
            raise ConnectionFault(
                ErrorCode.PROTOCOL_ERROR, f"WINDOW_UPDATE on stream {stream_id}, which is reserved (RFC 9113 section 5.1)"
            )
        elif not increment:
            self._give_up(stream, ProtocolViolation("WINDOW_UPDATE by nothing (RFC 9113 section 6.9)"))
        elif stream.send_window + increment > LARGEST:
            error = ProtocolViolation("a window above 2^31-1 (RFC 9113 section 6.9.1)")
            self._give_up(stream, error, ErrorCode.FLOW_CONTROL_ERROR)
        else:
            self._open_stream_window(stream, increment)

    def _read_continuation(self, flags: int, stream_id: int, data: bytes, at: int, end: int) -> None:
        block = self._block
        if block is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of no field block (RFC 9113 section 6.10)")
        block.continuations += 1
        if block.continuations > self._options.max_continuations:
            reason = LimitReached("max_continuations", self._options.max_continuations)
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, reason)
        self._add_to_block(block, flags, data[at:end])

    # Field blocks.

    def _add_to_block(self, block: _Block, flags: int, piece: bytes) -> None:
        """The first or a further `piece` of a block, which may be the last."""
        block.data += piece
        most = self._options.max_fragmented_header_block_size
        if len(block.data) > most:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, LimitReached("max_fragmented_header_block_size", most))
        if not flags & frames.END_HEADERS:
            self._block = block
            return
        self._block = None
        if not block.promised_id:
            self._headers_read(block.stream_id, bytes(block.data), block.fin)
            return
        try:
            fields = self._decode(bytes(block.data))
        except LimitReached:
            fields = ()  # which is no request that may be pushed
        self._promise_received(block.stream_id, block.promised_id, fields)

    def _headers_read(self, stream_id: int, block: bytes, fin: bool) -> None:
        try:
            fields = self._decode(block)
        except LimitReached as error:
            self._headers_beyond(stream_id, error)
        else:
            self._headers_received(stream_id, fields, fin)


class _Block:
    """A field block as far as it has come (RFC 9113 section 4.3); `promised_id` is 0 where it is no promise."""

    __slots__ = ("continuations", "data", "fin", "promised_id", "stream_id")

    def __init__(self, stream_id: int, promised_id: int, fin: bool) -> None:
        self.stream_id = stream_id
        self.promised_id = promised_id
        self.fin = fin
        self.continuations = 0
        self.data = bytearray()


def own_settings(options: Http2Options) -> list[tuple[int, int]]:
    """What we tell the peer: what is not as RFC 9113 section 6.5.2 has it anyway, and whether it may push."""
    said = [
        (Setting.HEADER_TABLE_SIZE, options.max_decode_table_size, DEFAULT_TABLE_SIZE),
        (Setting.ENABLE_PUSH, int(options.enable_push), None),
        (Setting.MAX_CONCURRENT_STREAMS, options.max_concurrent_streams, None),
        (Setting.INITIAL_WINDOW_SIZE, options.initial_stream_window_size, DEFAULT_WINDOW),
        (Setting.MAX_FRAME_SIZE, options.max_frame_size_received, DEFAULT_FRAME_SIZE),
        (Setting.MAX_HEADER_LIST_SIZE, options.max_header_list_size, None),
        (Setting.ENABLE_CONNECT_PROTOCOL, int(options.enable_connect_protocol), 0),
    ]
    return [(int(key), value) for key, value, assumed in said if value != assumed]


def _unpadded(kind: str, data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where what is padded begins and ends (RFC 9113 section 6.1)."""
    if at == end:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"{kind} too short for its padding (RFC 9113 section 6.1)")
    padding = data[at]
    if padding >= end - at:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"{kind} with {padding} bytes of padding in {end - at} (RFC 9113 section 6.1)")
    return at + 1, end - padding


def _check_has_stream(kind: str, stream_id: int) -> None:
    if not stream_id:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"{kind} without a stream (RFC 9113 section 6)")


def _check_has_no_stream(kind: str, stream_id: int) -> None:
    if stream_id:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"{kind} on stream {stream_id} (RFC 9113 section 6)")


def _check_size(kind: str, size: int, expected: int) -> None:
    if size != expected:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"{kind} of {size} bytes, not {expected} (RFC 9113 section 6)")


def _check_setting(key: int, value: int) -> None:
    """RFC 9113 section 6.5.2 and RFC 8441 section 3: what a value may be."""
    if key == Setting.INITIAL_WINDOW_SIZE and value > LARGEST:
        raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, f"an initial window of {value} (RFC 9113 section 6.5.2)")
    if key in _ALLOWED and value not in _ALLOWED[key]:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"the setting {Setting(key).name} is {value} (RFC 9113 section 6.5.2)")


FrameReader._readers = {
    FrameType.DATA: FrameReader._read_data,
    FrameType.HEADERS: FrameReader._read_headers,
    FrameType.PRIORITY: FrameReader._read_priority,
    FrameType.RST_STREAM: FrameReader._read_reset,
    FrameType.SETTINGS: FrameReader._read_settings,
    FrameType.PUSH_PROMISE: FrameReader._read_promise,
    FrameType.PING: FrameReader._read_ping,
    FrameType.GOAWAY: FrameReader._read_goaway,
    FrameType.WINDOW_UPDATE: FrameReader._read_window_update,
    FrameType.CONTINUATION: FrameReader._read_continuation,
}
