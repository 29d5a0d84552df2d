"""
The server's side of HTTP/2 for the proxies: a connection whose streams are as transports are.

It stands on the h2 package, so that not the package's own frames are held against themselves. What is asked for on a stream, and who
answers it, is not known here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from twisted_gun.events import Headers
from twisted_gun.wire.frames import DEFAULT_WINDOW, HEADER, PREFACE, ErrorCode, FrameType

__all__ = ["Http2Server", "Http2Stream", "Receiver"]

#: The window of the connection. h2 takes 100 streams at once, and opens a window again when half of it was used: so there is room for
#: the windows of all of them three times over, and tunnels that are stuck hold up no other.
_WINDOW: Final = 300 * DEFAULT_WINDOW
#: The most bytes of answers to the client's frames, while it takes none of them.
_UNSENT: Final = 1 << 20


class Receiver(Protocol):
    """Who is told what a client sends on a stream."""

    def received(self, data: bytes) -> None:
        """Content has arrived."""

    def ended(self) -> None:
        """The client sends no more (END_STREAM)."""

    def cut(self) -> None:
        """The stream is no more: it was reset, or the connection lost."""


@implementer(IPushProducer)
class Http2Stream:
    """
    A stream that a client has opened: a consumer, and a producer of what the client sends.

    While it is paused the client's window is not opened again. What is written waits for the client's windows, and a producer that
    is registered here is paused as long as anything waits. `receiver` None drops what the client sends.
    """

    def __init__(self, server: Http2Server, stream_id: int) -> None:
        self.id = stream_id
        self.receiver: Receiver | None = None
        self.connected = False  # whether it is a tunnel (RFC 9113 section 8.5)
        self.ended = False  # the client has sent END_STREAM
        self.finishing = self.finished = False  # we shall, and have
        self.over = False
        self.waiting: deque[memoryview] = deque()
        self._server = server
        self._producer: Any = None
        self._producer_paused = False
        self._paused = False
        self._unacknowledged = 0

    # What the client is sent.

    def respond(self, status: int, headers: Headers = ()) -> None:
        """Send the head of a response, or of an interim one."""
        if not self.over:
            self._server.send_headers(self, ((b":status", b"%d" % status), *headers))

    def write(self, data: bytes) -> None:
        """Send content, as soon as the windows let it out."""
        if data and not self.over and not self.finishing:
            self.waiting.append(memoryview(data))
            self._server.send(self)

    def finish(self, receiving: bool) -> bool:
        """Send END_STREAM behind what waits; return whether the client may go on, which it may only if `receiving`."""
        self.finishing = True
        self.unregisterProducer()
        if not receiving:
            self.receiver = None
            self.resumeProducing()
        if not self.over:
            self._server.send(self)
        return receiving and not self.over and not self.ended

    def abort(self, code: ErrorCode = ErrorCode.CONNECT_ERROR) -> None:
        """Reset the stream. RFC 9113 section 8.5: an error in the TCP connection is "a stream error of type CONNECT_ERROR"."""
        if not self.over:
            self._server.reset(self, code)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let this push producer be paused while something waits."""
        self._producer, self._producer_paused = producer, False
        self.tell_producer()

    def unregisterProducer(self) -> None:
        """Pause nobody any more."""
        self._producer = None

    def tell_producer(self) -> None:
        """Pause the producer, or resume it, as what waits says."""
        if self._producer is not None and self._producer_paused is not bool(self.waiting):
            self._producer_paused = not self._producer_paused
            (self._producer.pauseProducing if self._producer_paused else self._producer.resumeProducing)()

    # What the client sends.

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._acknowledge()

    def stopProducing(self) -> None:
        """Nothing: who consumes it says by itself what becomes of the stream."""

    def received(self, data: bytes, size: int) -> None:
        """Content has arrived, `size` bytes of the windows with its padding."""
        self._unacknowledged += size
        if self.receiver is not None and data:
            self.receiver.received(data)
        if not self._paused:
            self._acknowledge()

    def close(self) -> Receiver | None:
        """Be over: nothing is sent or told any more. Returns who was told until now."""
        self.over = True
        self.waiting.clear()
        self.unregisterProducer()
        self.resumeProducing()  # for the window of the connection
        receiver, self.receiver = self.receiver, None
        return receiver

    def _acknowledge(self) -> None:
        size, self._unacknowledged = self._unacknowledged, 0
        if size:
            self._server.acknowledge(self, size)


class Http2Server:
    """
    The server's side of an HTTP/2 connection on `transport`; `asked` is called with each stream that a client opens, and its fields.

    `chunk` is the most content of one DATA frame; None leaves it to the client.
    """

    def __init__(self, transport: Any, asked: Callable[[Http2Stream, Headers], object], chunk: int | None = None) -> None:
        self._transport, self._asked, self._chunk = transport, asked, chunk
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self._streams: dict[int, Http2Stream] = {}
        self._closed = self._receiving = False
        self._blocked = False  # the transport takes no more for now
        self._unsent = 0  # bytes written all the same
        self._header = bytearray()  # of the next frame, as far as it has arrived
        self._left = len(PREFACE)  # bytes of the frame that is arriving
        self._skipping = False

    def start(self) -> None:
        """Send SETTINGS."""
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_WINDOW - DEFAULT_WINDOW)
        self._transport.registerProducer(self, True)
        self._flush()

    def receive(self, data: bytes) -> None:
        """The client has sent `data`."""
        self._receiving = True
        for piece in self._pieces(data):
            try:
                events = self._h2.receive_data(piece)
            except ProtocolError:
                self._end()  # h2 has written GOAWAY
                return
            for event in events:
                told = _TOLD.get(type(event))
                if told is not None:
                    told(self, event)
        self._receiving = False
        self._flush()

    def lost(self) -> None:
        """The connection is no more."""
        self._closed = True
        streams, self._streams = self._streams, {}
        receivers = [stream.close() for stream in streams.values()]
        for receiver in receivers:
            if receiver is not None:
                receiver.cut()

    # From the streams.

    def send_headers(self, stream: Http2Stream, fields: Headers) -> None:
        """Send header fields."""
        self._h2.send_headers(stream.id, list(fields))
        self._flush()

    def send(self, stream: Http2Stream) -> None:
        """Send of what waits on `stream` as much as the windows and the transport let out, and then its end."""
        h2, waiting = self._h2, stream.waiting
        while waiting and not self._blocked:
            room = min(h2.local_flow_control_window(stream.id), h2.max_outbound_frame_size, self._chunk or h2.max_outbound_frame_size)
            if room <= 0:
                break
            piece = waiting.popleft()
            h2.send_data(stream.id, piece[:room])
            if len(piece) > room:
                waiting.appendleft(piece[room:])
        if stream.finishing and not waiting:
            self._finish(stream)
        self._flush()
        stream.tell_producer()

    def reset(self, stream: Http2Stream, code: ErrorCode) -> None:
        """Send RST_STREAM."""
        self._streams.pop(stream.id, None)
        self._h2.reset_stream(stream.id, code)
        stream.close()
        self._flush()

    def acknowledge(self, stream: Http2Stream, size: int) -> None:
        """Open the windows again by `size` bytes, which were taken."""
        if not self._closed:
            self._h2.acknowledge_received_data(size, stream.id)
            self._flush()

    def _finish(self, stream: Http2Stream) -> None:
        if not stream.finished:
            stream.finished = True
            self._h2.end_stream(stream.id)
        if stream.ended:
            self._forget(stream)
        elif stream.receiver is None:
            # RFC 9113 section 8.1: "a server MAY request that the client abort transmission of a request without error".
            self.reset(stream, ErrorCode.NO_ERROR)

    def _forget(self, stream: Http2Stream) -> None:
        self._streams.pop(stream.id, None)
        stream.close()

    # From the transport, whose producer this is.

    def pauseProducing(self) -> None:
        self._blocked = True

    def resumeProducing(self) -> None:
        self._blocked, self._unsent = False, 0
        self._send_all()

    def stopProducing(self) -> None:
        """Nothing: `lost` comes."""

    def _send_all(self) -> None:
        for stream in list(self._streams.values()):
            if self._blocked:
                return
            if stream.waiting:
                self.send(stream)
                if stream.waiting and stream.id in self._streams:  # the others come first next time
                    self._streams[stream.id] = self._streams.pop(stream.id)

    def _flush(self) -> None:
        """Write what h2 has made; while bytes are received, only at the end."""
        if self._receiving:
            return
        data = self._h2.data_to_send()
        if not data:
            return
        if self._blocked:
            self._unsent += len(data)
            if self._unsent > _UNSENT:
                self._transport.abortConnection()
                return
        self._transport.write(data)

    def _end(self) -> None:
        self._receiving = False
        self.lost()
        self._flush()
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    # What is received.

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        """
        The pieces of `data` for h2, none across the end of a frame, so that what it tells of one is done before it knows of the next.

        GOAWAY is kept from it, because it would go no further: a client that ends gracefully still has streams to finish.
        """
        at = 0
        while at < len(data) and not self._closed:
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                if not self._skipping:
                    yield piece
                continue
            wanted = HEADER.size - len(self._header)
            self._header += data[at : at + wanted]
            at += wanted
            if len(self._header) == HEADER.size:
                yield from self._frame_begins(bytes(self._header))
                self._header.clear()

    def _frame_begins(self, header: bytes) -> Iterator[bytes]:
        word, _, _ = HEADER.unpack(header)
        self._left, kind = word >> 8, word & 0xFF
        self._skipping = kind == FrameType.GOAWAY
        if self._left > self._h2.max_inbound_frame_size:  # h2 would look at it when all of it is there
            self._h2.close_connection(ErrorCode.FRAME_SIZE_ERROR)
            self._end()
        elif not self._skipping:
            yield header

    def _request_received(self, event: RequestReceived) -> None:
        stream = self._streams[event.stream_id] = Http2Stream(self, event.stream_id)
        stream.ended = event.stream_ended is not None
        self._asked(stream, tuple((bytes(name), bytes(value)) for name, value in event.headers))

    def _data_received(self, event: DataReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.ended = event.stream_ended is not None
            stream.received(event.data, event.flow_controlled_length)

    def _trailers_received(self, event: TrailersReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None and stream.connected:
            # RFC 9113 section 8.5: other frame types "MUST be treated as a stream error".
            receiver = stream.receiver
            self.reset(stream, ErrorCode.PROTOCOL_ERROR)
            if receiver is not None:
                receiver.cut()

    def _stream_ended(self, event: StreamEnded) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        stream.ended = True  # by trailers too
        if stream.finished:
            self._streams.pop(stream.id)
            receiver = stream.close()
        else:
            receiver = stream.receiver
        if receiver is not None:
            receiver.ended()

    def _stream_reset(self, event: StreamReset) -> None:
        stream = self._streams.pop(event.stream_id, None)
        receiver = stream.close() if stream is not None else None
        if receiver is not None:
            receiver.cut()

    def _window_updated(self, event: WindowUpdated) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            self.send(stream)
        elif not event.stream_id:
            self._send_all()

    def _settings_changed(self, event: RemoteSettingsChanged) -> None:
        self._send_all()


_TOLD: dict[type, Callable[[Http2Server, Any], None]] = {
    RequestReceived: Http2Server._request_received,
    DataReceived: Http2Server._data_received,
    TrailersReceived: Http2Server._trailers_received,
    StreamEnded: Http2Server._stream_ended,
    StreamReset: Http2Server._stream_reset,
    WindowUpdated: Http2Server._window_updated,
    RemoteSettingsChanged: Http2Server._settings_changed,
}
