"""
HTTP/2 on hyper-h2: the reference core, which ``http2_opts={"core": "h2"}`` chooses and our own is held against.

h2 keeps the states of streams and the windows, and writes the frames; hpack encodes and decodes field blocks. What h2 does in a way
that is not ours it is not told, so that to the hop this core is like the other: it gets one frame at a time, only for open streams,
and no GOAWAY, after which it would go no further. No type of h2, hpack or hyperframe leaves this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    PingAckReceived,
    PushedStreamReceived,
    ResponseReceived,
    SettingsAcknowledged,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hpack import Decoder, HeaderTuple, HPACKError

from twisted_gun.errors import LimitReached
from twisted_gun.events import Headers
from twisted_gun.options import Http2Options
from twisted_gun.wire import frames
from twisted_gun.wire.fields import RequestFields
from twisted_gun.wire.frames import HEADER, UINT32, ConnectionFault, ErrorCode, FrameType, Setting
from twisted_gun.wire.framing import FrameReader, own_settings
from twisted_gun.wire.hpack import DEFAULT_TABLE_SIZE, OVERHEAD
from twisted_gun.wire.states import StreamState

__all__ = ["Http2"]

#: What h2 sees of fields: ``:status: 200`` and ``:method: GET``. Of others it makes errors of the connection, where they are a stream's.
_STATUS_200: Final = b"\x88"
_METHOD_GET: Final = b"\x82"


class Http2(FrameReader):
    """The core of an HTTP/2 connection; see `twisted_gun.wire.core.Core`."""

    def __init__(self, options: Http2Options, scheme: bytes, promised: Callable[[Any, bytes], Any]) -> None:
        super().__init__(options, scheme, promised)
        self._h2 = _connection(options)
        self._decoder = _Decoder(options)
        self._table_size = DEFAULT_TABLE_SIZE  # of the encoder's table, as far as the peer goes
        self._resize_table(self._table_size)
        self._fields: Headers = ()  # of the frame that h2 is told of
        self._hidden = 0  # content that h2 was not told of, and that the connection's window was not opened for yet

    def _start(self) -> None:
        super()._start()
        # h2 would say the defaults as well.
        self._h2.initiate_connection()
        opened = self._connection_window - self._h2.inbound_flow_control_window
        if opened:
            self._h2.increment_flow_control_window(opened)
        self._h2.clear_outbound_data_buffer()

    def _forget(self, stream: StreamState) -> None:
        super()._forget(stream)
        # h2 would remember the last 65,536.
        self._h2.streams.pop(stream.id, None)

    # What h2 is told.

    def _tell(self, frame: bytes) -> None:
        """Give h2 a frame, and do what it makes of it."""
        try:
            events = self._h2.receive_data(frame)
        except ProtocolError as error:
            self._h2.clear_outbound_data_buffer()  # its GOAWAY; ours follows
            raise ConnectionFault(ErrorCode(int(error.error_code)), f"h2 says: {error}") from error
        self._flush()
        for event in events:
            told = _TOLD.get(type(event))
            if told is not None:
                told(self, event)

    def _read_data(self, flags: int, stream_id: int, data: bytes, at: int, end: int) -> None:
        stream = self._streams.get(stream_id)
        size = end - at
        heard = stream is not None and stream.receiving and stream.responded
        if stream is not None and heard and size <= min(stream.receive_window, self._connection_window):
            self._tell(data[at - HEADER.size : end])
        else:
            # h2 ends the connection for what is a stream's fault, and resets closed streams again and again.
            self._hidden += size
            super()._read_data(flags, stream_id, data, at, end)

    def _read_ping(self, flags: int, stream_id: int, data: bytes, at: int, end: int) -> None:
        if not flags & frames.ACK:
            self._glitch()
        self._tell(data[at - HEADER.size : end])

    def _headers_received(self, stream_id: int, fields: Headers, fin: bool) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None and stream.receiving and (fin if stream.responded else _is_final(fields)):
            self._fields = fields
            flags = frames.END_HEADERS | (frames.END_STREAM if fin else 0)
            self._tell(frames.frame(FrameType.HEADERS, flags, stream_id, _STATUS_200))
        else:
            # As with DATA. An interim response changes no state; before that to a promised request h2 does not take any.
            super()._headers_received(stream_id, fields, fin)

    def _promise_received(self, stream_id: int, promised_id: int, fields: Headers) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None and stream.receiving:
            self._fields = fields
            payload = UINT32.pack(promised_id) + _METHOD_GET
            self._tell(frames.frame(FrameType.PUSH_PROMISE, frames.END_HEADERS, stream_id, payload))
        else:
            super()._promise_received(stream_id, promised_id, fields)

    def _reset_received(self, stream_id: int, code: int) -> None:
        if stream_id in self._streams:
            self._tell(frames.rst_stream(stream_id, code))
        else:
            super()._reset_received(stream_id, code)

    def _settings_acked(self) -> None:
        self._tell(frames.settings_ack())

    def _open_connection_window(self, increment: int) -> None:
        self._tell(frames.window_update(0, increment))

    def _open_stream_window(self, stream: StreamState, increment: int) -> None:
        self._tell(frames.window_update(stream.id, increment))

    def _peer_settings(self, settings: Mapping[int, int]) -> None:
        # h2 keeps all settings, known or not, and obeys any size of a table or a frame.
        obeyed = {int(key): settings[key] for key in Setting if key in settings and key is not Setting.HEADER_TABLE_SIZE}
        most = self._options.max_frame_size_sent
        if Setting.MAX_FRAME_SIZE in obeyed and most is not None:
            obeyed[Setting.MAX_FRAME_SIZE] = min(obeyed[Setting.MAX_FRAME_SIZE], most)
        self._tell(frames.settings(obeyed.items()))
        if Setting.INITIAL_WINDOW_SIZE in settings:
            self._initial_window = settings[Setting.INITIAL_WINDOW_SIZE]
            for stream in self._streams.values():
                self._see_window(stream)
            self._send_queued()

    # What h2 tells.

    def _told_data(self, event: DataReceived) -> None:
        super()._data_received(event.stream_id, event.data, event.flow_controlled_length, event.stream_ended is not None)

    def _told_headers(self, event: ResponseReceived | TrailersReceived) -> None:
        super()._headers_received(event.stream_id, self._fields, event.stream_ended is not None)

    def _told_promise(self, event: PushedStreamReceived) -> None:
        assert event.parent_stream_id is not None and event.pushed_stream_id is not None
        super()._promise_received(event.parent_stream_id, event.pushed_stream_id, self._fields)

    def _told_reset(self, event: StreamReset) -> None:
        super()._reset_received(event.stream_id, int(event.error_code))

    def _told_settings_acked(self, event: SettingsAcknowledged) -> None:
        super()._settings_acked()

    def _told_ping_answered(self, event: PingAckReceived) -> None:
        self._ping_answered(event.ping_data)

    def _told_window(self, event: WindowUpdated) -> None:
        if event.stream_id:
            stream = self._streams[event.stream_id]
            self._see_window(stream)
            self._send_own(stream)
        else:
            self._send_queued()

    def _see_window(self, stream: StreamState) -> None:
        stream.send_window = self._h2.streams[stream.id].outbound_flow_control_window

    # Field blocks.

    def _decode(self, block: bytes) -> Headers:
        try:
            return self._decoder.fields(block)
        except HPACKError as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"a field block that cannot be decoded: {error}") from error

    def _resize_table(self, size: int) -> None:
        """
        Obey the peer's SETTINGS_HEADER_TABLE_SIZE, as far as our option goes.

        RFC 7541 section 4.2: "the smallest maximum table size that occurs in that interval MUST be signaled", then the final one;
        hpack would say all of them, or none where the last two are the same.
        """
        encoder = self._h2.encoder
        limit = min(size, self._options.max_encode_table_size)
        if limit != encoder.header_table_size or size < self._table_size:
            changes = encoder.table_size_changes
            encoder.header_table_size = limit
            encoder.table_size_changes = sorted({min(changes, default=limit), limit})
            encoder.header_table.resized = True
        self._table_size = size

    # Writing.

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._out.append(data)

    def _send_headers(self, stream: StreamState, request: RequestFields, fin: bool) -> None:
        pseudo = (b":method", request.method), (b":scheme", self._scheme), (b":authority", request.authority), (b":path", request.path)
        if not request.path:  # a CONNECT
            pseudo = pseudo[0], pseudo[2]  # type: ignore[assignment]
        self._h2.send_headers(stream.id, [*pseudo, *request.fields], end_stream=fin)
        # For a request by HEAD it would end the connection where the response has content.
        self._h2.streams[stream.id].request_method = None
        self._flush()

    def _sendable(self, stream: StreamState) -> int:
        return self._h2.local_flow_control_window(stream.id)

    def _send_data(self, stream: StreamState, data: bytes | memoryview, fin: bool) -> None:
        size, most = len(data), self._h2.max_outbound_frame_size
        view = memoryview(data)
        for at in range(0, max(size, 1), most):
            self._h2.send_data(stream.id, view[at : at + most], end_stream=fin and at + most >= size)
        self._see_window(stream)
        self._flush()

    def _send_reset(self, stream_id: int, code: ErrorCode) -> None:
        # h2 may have closed it already, for a last frame whose content we do not like; so it only forgets it.
        self._out.append(frames.rst_stream(stream_id, code))
        self._h2.streams.pop(stream_id, None)

    def _send_window_update(self, stream_id: int, increment: int) -> None:
        if stream_id:
            self._h2.increment_flow_control_window(increment, stream_id)
            self._flush()
            return
        # For h2 the window is still open by what it was not told of.
        unknown = min(self._hidden, increment)
        self._hidden -= unknown
        if increment > unknown:
            self._h2.increment_flow_control_window(increment - unknown)
            self._h2.clear_outbound_data_buffer()
        self._out.append(frames.window_update(0, increment))

    def _send_ping(self, payload: bytes) -> None:
        self._h2.ping(payload)
        self._flush()


class _Decoder(Decoder):
    """
    hpack's, which decodes a block to its end even where that is more than our options allow, and keeps no more than that.

    Left in the midst of a block, as hpack leaves it, it would be of no use for the next one.
    """

    def __init__(self, options: Http2Options) -> None:
        super().__init__(options.max_header_list_size)
        self.max_allowed_table_size = options.max_decode_table_size
        self._most = options.max_header_count
        self._count = self._size = 0
        self._beyond: LimitReached | None = None

    def fields(self, block: bytes) -> Headers:
        """The fields of a whole block; raises `LimitReached`, or hpack's errors, after which it cannot be used."""
        self._count = self._size = 0
        self._beyond = None
        fields = tuple((bytes(name), bytes(value)) for name, value in self.decode(block, raw=True))
        if self._beyond is not None:
            raise self._beyond
        return fields

    def _decode_indexed(self, data: bytes | memoryview) -> tuple[HeaderTuple, int]:
        field, consumed = super()._decode_indexed(data)
        return self._kept(field), consumed

    def _decode_literal(self, data: bytes | memoryview, should_index: bool) -> tuple[HeaderTuple, int]:
        field, consumed = super()._decode_literal(data, should_index)
        return self._kept(field), consumed

    def _kept(self, field: HeaderTuple) -> HeaderTuple:
        """`field`, or none, which hpack then skips."""
        self._count += 1
        self._size += len(field[0]) + len(field[1]) + OVERHEAD
        if self._beyond is None:
            if self._size > self.max_header_list_size:
                self._beyond = LimitReached("max_header_list_size", self.max_header_list_size)
            elif self._count > self._most:
                self._beyond = LimitReached("max_header_count", self._most)
        return field if self._beyond is None else HeaderTuple()


def _connection(options: Http2Options) -> H2Connection:
    """h2's side, which takes field blocks as they are: `wire/fields.py` has looked at ours, and looks at the peer's."""
    config = H2Configuration(
        client_side=True,
        header_encoding=None,
        validate_outbound_headers=False,
        validate_inbound_headers=False,
        normalize_inbound_headers=False,
    )
    connection = H2Connection(config)
    connection.local_settings = Settings(client=True, initial_values={SettingCodes(key): value for key, value in own_settings(options)})
    connection.max_inbound_frame_size = options.max_frame_size_received
    return connection


def _is_final(fields: Headers) -> bool:
    """Whether this looks like the head of a final response."""
    return bool(fields) and fields[0][0] == b":status" and not fields[0][1].startswith(b"1")


Http2._readers = {**FrameReader._readers, FrameType.DATA: Http2._read_data, FrameType.PING: Http2._read_ping}

_TOLD: dict[type[Any], Callable[[Http2, Any], None]] = {
    DataReceived: Http2._told_data,
    ResponseReceived: Http2._told_headers,
    TrailersReceived: Http2._told_headers,
    PushedStreamReceived: Http2._told_promise,
    StreamReset: Http2._told_reset,
    SettingsAcknowledged: Http2._told_settings_acked,
    PingAckReceived: Http2._told_ping_answered,
    WindowUpdated: Http2._told_window,
}
