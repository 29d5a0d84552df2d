"""
The cores as they are where there is an event handler: they do what the others do, and say of each step when it is done (`Noticed`).

What is told of anyway, as the head of a response is, is not noticed here. Whatever it costs to notice is paid by these classes alone: the
cores that they inherit from know nothing of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from twisted_gun.errors import GunError, ProtocolViolation
from twisted_gun.events import Binary, Close, Frame, Headers, Ping, Pong, Text
from twisted_gun.observations import FrameBegun, FrameHead, FrameRead, FrameSent, OfStream, PromisedRequest, RequestHead
from twisted_gun.options import WsOptions
from twisted_gun.wire.core import Request
from twisted_gun.wire.exchange import Exchange
from twisted_gun.wire.fields import RequestFields, parse_promise
from twisted_gun.wire.frames import ErrorCode
from twisted_gun.wire.handshake import Agreement
from twisted_gun.wire.http1 import Http1
from twisted_gun.wire.http2 import Http2
from twisted_gun.wire.message import Incoming
from twisted_gun.wire.pushes import Pushes
from twisted_gun.wire.states import StreamState
from twisted_gun.wire.steps import Noticed, Steps, StreamFailed, Write
from twisted_gun.wire.websocket import Websocket
from twisted_gun.wire.ws_session import BINARY, CLOSE, CONTINUATION, FRAME_SIZE, PING, PONG, TEXT, Outgoing, WsSession

__all__ = [
    "OPCODES",
    "BegunFrames",
    "BegunWebsocket",
    "WatchedFrames",
    "WatchedHttp1",
    "WatchedHttp2",
    "WatchedStreams",
    "WatchedWebsocket",
]


def _head(stream: Any, request: Request, method: bytes, authority: bytes, path: bytes) -> RequestHead:
    """The head of a request, with the verb that was called for it as Gun calls it."""
    connect = request.method == b"CONNECT"
    verb = "connect" if connect else "ws_upgrade" if request.protocol is not None else "headers" if request.body is None else "request"
    return RequestHead(
        stream=stream, function=verb, method=method, authority=authority, path=None if connect else path, headers=request.headers
    )


class WatchedHttp1(Http1):
    """HTTP/1.1, and when its requests are written."""

    _complete: Exchange | None = None

    def _write_request(self, exchange: Exchange, steps: Steps) -> None:
        request = exchange.request
        head = _head(exchange.stream, request, request.method, request.authority, request.target)
        steps.append(Noticed("request_start", head))
        super()._write_request(exchange, steps)
        steps.append(Noticed("request_headers", head))
        if exchange.sent:
            steps.append(Noticed("request_end", OfStream(stream=head.stream)))

    def _write_content(self, exchange: Exchange, data: bytes, fin: bool, steps: Steps) -> None:
        if fin:  # of what a connection carries instead it is the end of all
            self._complete = exchange
        super()._write_content(exchange, data, fin, steps)

    def _write_waiting(self, steps: Steps) -> None:
        """Before those that have waited for it, the request that is complete now."""
        complete, self._complete = self._complete, None
        if complete is not None:
            stream: Any = complete.stream
            steps.append(Noticed("request_end", OfStream(stream=stream)))
        super()._write_waiting(steps)


class WatchedStreams(Pushes):
    """The streams of HTTP/2, whichever core's they are; when requests are sent, and which promises are refused."""

    _request: Request
    _promise: tuple[int, Headers]

    def _notice(self, name: str, observation: OfStream) -> None:
        self._steps.append(Noticed(name, observation))

    def _open(self, stream: object, request: Request) -> None:
        self._request = request
        super()._open(stream, request)

    def _send_headers(self, stream: StreamState, request: RequestFields, fin: bool) -> None:
        asked = self._request
        head = _head(stream.key, asked, request.method, request.authority, request.path)
        self._notice("request_start", head)
        super()._send_headers(stream, request, fin)
        self._notice("request_headers", head)
        if fin or asked.tunnels:
            self._notice("request_end", OfStream(stream=stream.key))

    def _send_data(self, stream: StreamState, data: bytes | memoryview, fin: bool) -> None:
        super()._send_data(stream, data, fin)
        if fin and stream.protocol is None:  # else it is the end of what the stream carries
            self._notice("request_end", OfStream(stream=stream.key))

    def _promise_received(self, stream_id: int, promised_id: int, fields: Headers) -> None:
        self._promise = stream_id, fields
        super()._promise_received(stream_id, promised_id, fields)

    def _refuse_promise(self, promised_id: int, code: ErrorCode) -> None:
        super()._refuse_promise(promised_id, code)
        stream_id, fields = self._promise
        parent = self._streams.get(stream_id)
        if parent is None:  # whoever asked for it wants nothing more
            return
        self._notice("push_promise_start", OfStream(stream=parent.key))
        try:
            promise = parse_promise(fields)
        except ProtocolViolation:
            method, uri, headers = b"", b"", fields
        else:
            method, headers = promise.method, promise.headers
            uri = b"%b://%b%b" % (promise.scheme, promise.authority, promise.path)
        refused = PromisedRequest(stream=parent.key, promised_stream=None, method=method, uri=uri, headers=headers)
        self._notice("push_promise_end", refused)


class WatchedHttp2(WatchedStreams, Http2):
    """HTTP/2 by our own core."""


#: The types of frames, by their opcodes, as Gun calls them.
OPCODES: Final = {TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong", CONTINUATION: "fragment"}


def _frame(opcode: int, payload: bytes) -> Frame:
    """What goes out, as who sends it has it."""
    if opcode == TEXT:
        return Text(payload.decode())
    if opcode == CLOSE:
        return Close(int.from_bytes(payload[:2], "big"), payload[2:].decode()) if payload else Close()
    return Binary(payload) if opcode == BINARY else Ping(payload) if opcode == PING else Pong(payload)


class BegunFrames(WsSession):
    """A websocket, whichever core's; that it has begun, and no more, where nobody wants to see its frames."""

    def start(self, now: float) -> Steps:
        return [Noticed("protocol_changed", self._stream), *super().start(now)]


class BegunWebsocket(BegunFrames, Websocket):
    """One by our own core, which keeps its short ways."""


class WatchedFrames(BegunFrames):
    """The frames of a websocket, whichever core's they are: what is sent, and what heirs see that is received."""

    def __init__(self, stream: Any, options: WsOptions, agreement: Agreement, silent: bool) -> None:
        super().__init__(stream, options, agreement, silent)
        self._extensions = () if agreement.deflate is None else ("permessage-deflate",)
        self._first: tuple[str, int] | None = None  # of the message that is being received: its type and its reserved bits
        self._payload = bytearray()  # what has come of that of a frame: no list, of whose items there may be one for each byte

    def small(self, message: str | bytes) -> bytes | None:
        return None  # so that every frame takes the way of all

    def told_send(self, frames: Sequence[Outgoing], now: float) -> Steps:
        """As `send`, with what there is to be noticed."""
        pieces = self.send(frames, now)
        steps, self._steps = self._steps, []
        return [*steps, *(Write(piece) for piece in pieces)]

    def _write(self, opcode: int, payload: bytes) -> None:
        sent = FrameSent(stream=self._stream, extensions=self._extensions, frame=_frame(opcode, payload))
        self._steps.append(Noticed("ws_send_frame_start", sent))
        super()._write(opcode, payload)
        self._steps.append(Noticed("ws_send_frame_end", sent))

    def _fail(self, code: int, reason: GunError) -> None:
        before = len(self._steps)
        super()._fail(code, reason)
        # The Close that tells the peer is told of before the end.
        self._steps[before:] = sorted(self._steps[before:], key=lambda step: type(step) is StreamFailed)

    # Of what is received, for the heirs.

    def _frame_begins(self) -> None:
        state = None if self._first is None else ("nofin", *self._first)
        begun = FrameBegun(stream=self._stream, frag_state=state, extensions=self._extensions)
        self._steps.append(Noticed("ws_recv_frame_start", begun))
        self._told += FRAME_SIZE  # so that there is an end to what one read brings, of pings, say, which nobody else is told of

    def _frame_has_head(self, opcode: int, rsv: int, size: int, fin: bool) -> None:
        if opcode < CLOSE:
            first = self._first or (OPCODES[opcode], rsv)
            state = None if fin and self._first is None else ("fin" if fin else "nofin", *first)
            self._first = None if fin else first
        else:
            state = None if self._first is None else ("nofin", *self._first)
        head = FrameHead(stream=self._stream, frag_state=state, extensions=self._extensions, type=OPCODES[opcode], rsv=rsv, len=size)
        self._steps.append(Noticed("ws_recv_frame_header", head))

    def _frame_ends(self, opcode: int) -> None:
        payload, code = bytes(self._payload), None
        self._payload.clear()
        if opcode == CLOSE and payload:
            payload, code = payload[2:], int.from_bytes(payload[:2], "big")
        read = FrameRead(stream=self._stream, extensions=self._extensions, close_code=code, payload=payload)
        self._steps.append(Noticed("ws_recv_frame_end", read))


class WatchedWebsocket(WatchedFrames, Websocket):
    """A websocket by our own core."""

    def __init__(self, stream: Any, options: WsOptions, agreement: Agreement, silent: bool) -> None:
        super().__init__(stream, options, agreement, silent)
        self._small = 0  # so that each frame takes the long way
        self._begun = self._headed = False  # what was noticed of the frame that is being received
        if self._inflater is not None:
            keeping: Any = _Keeping(self._inflater, self._payload)
            self._inflater = keeping

    def _take_frame(self) -> bool:
        if not self._begun and self._at < len(self._data):
            self._begun = True
            self._frame_begins()
        return super()._take_frame()

    def _begin_frame(self, first: int, size: int) -> None:
        self._has_head(first, size)
        super()._begin_frame(first, size)

    def _take_control(self, opcode: int, start: int, size: int) -> bool:
        self._has_head(self._data[self._at], size)
        if start + size <= len(self._data):
            self._payload += self._data[start : start + size]
            self._frame_over(opcode)
        return super()._take_control(opcode, start, size)

    def _take_payload(self) -> bool:
        assert self._message is not None
        if not self._message.compressed:
            self._payload += self._data[self._at : self._at + self._left]
        taken = super()._take_payload()
        if taken and self._begun:
            self._frame_over(CONTINUATION)
        return taken

    def _message_received(self, message: Incoming) -> None:
        self._frame_over(CONTINUATION)
        super()._message_received(message)

    def _has_head(self, first: int, size: int) -> None:
        if not self._headed:
            self._headed = True
            self._frame_has_head(first & 0x0F, first >> 4 & 0x07, size, bool(first & 0x80))

    def _frame_over(self, opcode: int) -> None:
        self._begun = self._headed = False
        self._frame_ends(opcode)


class _Keeping:
    """An inflater that keeps what it gives."""

    def __init__(self, inflater: Any, kept: bytearray) -> None:
        self._inflater = inflater
        self._kept = kept

    def inflate(self, data: bytes, fin: bool) -> Iterator[bytes]:
        for piece in self._inflater.inflate(data, fin):
            self._kept += piece
            yield piece
