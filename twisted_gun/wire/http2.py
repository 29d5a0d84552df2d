"""
HTTP/2 (RFC 9113), our own core: field blocks, the windows of what is sent, and the frames that go out.

How frames are read is in `wire/framing.py`, what they mean in `wire/session.py` and `wire/streams.py`; field blocks are encoded and
decoded by `wire/hpack.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted_gun.events import Headers
from twisted_gun.options import Http2Options
from twisted_gun.wire import frames
from twisted_gun.wire.fields import RequestFields
from twisted_gun.wire.frames import DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, HEADER, LARGEST, ConnectionFault, ErrorCode, Setting
from twisted_gun.wire.framing import FrameReader
from twisted_gun.wire.hpack import CompressionError, Decoder, Encoder
from twisted_gun.wire.states import StreamState

__all__ = ["Http2"]


class Http2(FrameReader):
    """The core of an HTTP/2 connection; see `twisted_gun.wire.core.Core`."""

    def __init__(self, options: Http2Options, scheme: bytes, promised: Callable[[Any, bytes], Any]) -> None:
        super().__init__(options, scheme, promised)
        self._decoder = Decoder(options.max_decode_table_size, options.max_header_list_size, options.max_header_count)
        self._encoder = Encoder(options.max_encode_table_size)
        self._last: tuple[RequestFields | None, int, bytes] = (None, -1, b"")  # the last request encoded, at which state of the encoder
        self._frame_size = DEFAULT_FRAME_SIZE  # of what we send
        self._send_window = DEFAULT_WINDOW  # of the connection

    # Field blocks.

    def _decode(self, block: bytes) -> Headers:
        try:
            return self._decoder.decode(block)
        except CompressionError as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"a field block that cannot be decoded: {error}") from error

    def _resize_table(self, size: int) -> None:
        self._encoder.resize(size)

    # Windows of what we send.

    def _open_connection_window(self, increment: int) -> None:
        self._send_window += increment
        if self._send_window > LARGEST:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window above 2^31-1 (RFC 9113 section 6.9.1)")
        self._send_queued()

    def _open_stream_window(self, stream: StreamState, increment: int) -> None:
        stream.send_window += increment
        self._send_own(stream)

    def _peer_settings(self, settings: Mapping[int, int]) -> None:
        self._out.append(frames.settings_ack())
        self._frame_size = settings.get(Setting.MAX_FRAME_SIZE, self._frame_size)
        most = self._options.max_frame_size_sent
        if most is not None:
            self._frame_size = min(self._frame_size, most)
        if Setting.INITIAL_WINDOW_SIZE in settings:
            self._move_windows(settings[Setting.INITIAL_WINDOW_SIZE])

    def _move_windows(self, size: int) -> None:
        """RFC 9113 section 6.9.2: a new initial window adjusts all open streams "by the difference", below zero if it must be."""
        difference, self._initial_window = size - self._initial_window, size
        for stream in self._streams.values():
            stream.send_window += difference
            if stream.send_window > LARGEST:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window above 2^31-1 (RFC 9113 section 6.9.2)")
        self._send_queued()

    # Writing.

    def _send_headers(self, stream: StreamState, request: RequestFields, fin: bool) -> None:
        encoder = self._encoder
        last, version, block = self._last
        if request is not last or version != encoder.version:
            version = encoder.version
            if request.path:
                block = encoder.encode(request.method, self._scheme, request.authority, request.path, request.fields)
            else:
                block = encoder.encode_fields(((b":method", request.method), (b":authority", request.authority), *request.fields))
            # What changed the encoder's table is encoded in another way the next time.
            self._last = (request if encoder.version == version else None), version, block
        self._out.append(frames.header_frames(stream.id, block, fin, self._frame_size))

    def _sendable(self, stream: StreamState) -> int:
        return min(self._send_window, stream.send_window)

    def _send_data(self, stream: StreamState, data: bytes | memoryview, fin: bool) -> None:
        size, most, out = len(data), self._frame_size, self._out
        self._send_window -= size
        stream.send_window -= size
        flags = frames.END_STREAM if fin else 0
        if size <= most:
            out += HEADER.pack(size << 8, flags, stream.id), data
            return
        view = memoryview(data)
        for at in range(0, size, most):
            piece = view[at : at + most]
            out += HEADER.pack(len(piece) << 8, flags if at + most >= size else 0, stream.id), piece

    def _send_reset(self, stream_id: int, code: ErrorCode) -> None:
        self._out.append(frames.rst_stream(stream_id, code))

    def _send_window_update(self, stream_id: int, increment: int) -> None:
        self._out.append(frames.window_update(stream_id, increment))

    def _send_ping(self, payload: bytes) -> None:
        self._out.append(frames.ping(payload))
