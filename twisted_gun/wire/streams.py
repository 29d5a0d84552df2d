"""
The streams of an HTTP/2 connection (RFC 9113 sections 5, 6.9 and 8): requests, responses, pushes, and their flow control.

What both cores do alike, above their frames. Responses are checked here, so that a malformed one ends its own stream only. Each call
from outside gathers its steps in `_steps` and its bytes in `_out`, and `_done` hands them over: all bytes of a call are one write.
How content goes out is in `wire/sending.py`; the connection itself, its beginning and its end, is the heirs', `wire/session.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twisted_gun.errors import GunError, LimitReached, ProtocolViolation, StreamRefused, StreamReset
from twisted_gun.events import Data, Headers, Inform, Response, Trailers, Upgrade
from twisted_gun.options import Http2Options
from twisted_gun.wire.core import Request
from twisted_gun.wire.fields import RequestFields, ResponseHead, check_trailers, parse_response, request_fields
from twisted_gun.wire.frames import DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, LARGEST, ConnectionFault, ErrorCode, code_name
from twisted_gun.wire.sending import MOST_AT_A_TIME, UPDATES_OF_REQUEST, Sending
from twisted_gun.wire.states import RECEIVED, SENT, State, StreamState
from twisted_gun.wire.steps import (
    Accepting,
    Close,
    Leaving,
    Steps,
    StreamFailed,
    TunnelClosed,
    TunnelData,
    TunnelOpened,
    TunnelRefused,
    Write,
)
from twisted_gun.wire.waits import waits
from twisted_gun.wire.windows import Glitches, window_rules

__all__ = ["Streams"]

#: How many streams are opened before the server has said how many it wants.
_BEFORE_SETTINGS: Final = 100
#: How many streams that were certainly not processed are remembered.
_REMEMBERED: Final = 1000
#: How many frames other than DATA may still come for a stream that we have reset: interim responses, the final one and its trailers.
_LATE_FRAMES: Final = 20

_BEHIND_THE_END: Final = "a frame of a stream that the server had ended (RFC 9113 section 5.1)"


class Streams(Sending):
    """The streams of one connection; `promised` makes the key of a pushed stream, from its parent's and its method."""

    def __init__(self, options: Http2Options, scheme: bytes, promised: Callable[[Any, bytes], Any]) -> None:
        self.closing_timeout = options.closing_timeout
        self._options = options
        self._scheme = scheme
        self._promised = promised
        self._steps: Steps = []
        self._out: list[bytes | memoryview] = []
        self._close: Close | None = None
        self._now = 0.0
        self._streams: dict[int, StreamState] = {}  # open ones
        self._by_key: dict[Any, StreamState] = {}  # those, and closed ones of which something is still to be told
        self._next_id = 1
        self._last_promised = 0
        self._requests = self._pushes = 0  # open streams of ours, and of the server's
        self._most_streams = min(_BEFORE_SETTINGS, options.max_streams)
        self._settled = False  # whether the server's SETTINGS have come
        self._accepting = True
        self._shut = False  # by us
        self._initial_window = DEFAULT_WINDOW  # of a stream we send on
        self._connection_window = DEFAULT_WINDOW  # of what we receive
        self._uploads: dict[StreamState, float] = {}  # those with queued content, and when they last sent any; the next to be served first
        self._sending_held = False  # by the transport
        self._budget = MOST_AT_A_TIME
        self._deadlines: dict[str, float] = {}
        self._unprocessed: deque[object] = deque(maxlen=max(_REMEMBERED, options.max_streams))
        self._glitches = Glitches(options.max_glitches, options.glitches_per_second)
        self._connection_rule, self._stream_rule = window_rules(options)
        self._connection_renewed_at, self._stream_renewed_at = self._connection_rule.renewed_at, self._stream_rule.renewed_at
        self._waits = waits(options)
        self._updates = 0  # WINDOW_UPDATE frames that may come for what was sent
        self._tunnelled = 0  # how many steps are for tunnels
        self._late_bytes = self._late_frames = 0  # content that may still come of streams we have reset, and other frames
        self._parsed: tuple[Headers | None, ResponseHead] = (None, ResponseHead(0, (), None))  # the last head, which often comes again
        self._asked: tuple[Request | None, RequestFields] = (None, RequestFields(b"", b"", b"", ()))  # the last request, likewise
        #: Whether a response was received on this connection.
        self.served = False

    # What the core does with frames.

    def _send_headers(self, stream: StreamState, request: RequestFields, fin: bool) -> None:
        """Send the fields of a request."""
        raise NotImplementedError

    def _send_reset(self, stream_id: int, code: ErrorCode) -> None:
        raise NotImplementedError

    def _send_window_update(self, stream_id: int, increment: int) -> None:
        raise NotImplementedError

    # What the session does.

    def _leave(self) -> None:
        """Take no more requests, and close when nothing is under way any longer."""
        raise NotImplementedError

    def _finish_if_idle(self) -> None:
        """Close if that was only waiting for the last stream."""
        raise NotImplementedError

    # What the owner of a stream asks.

    @property
    def accepting(self) -> bool:
        """Where the peer's limit is reached, a request is refused at once, as Gun does, or waits with those that are not sent yet."""
        return self._accepting and (self._requests < self._most_streams or (self._settled and self._options.max_waiting is None))

    @property
    def full(self) -> bool:
        return self._accepting and self._settled and self._requests >= self._most_streams

    @property
    def free(self) -> bool:
        return self._accepting and self._settled and self._requests < self._most_streams

    #: Never: other streams go on beside one that carries another protocol.
    switched = False

    def request(self, stream: object, request: Request, now: float) -> Steps:
        self._now = now
        self._open(stream, request)
        return self._done()

    def connect(self, stream: object, request: Request, now: float) -> Steps:
        return self.request(stream, request, now)

    def _open(self, stream: object, request: Request) -> None:
        if self._requests >= self._most_streams:
            self._refuse(stream, "Maximum concurrency limit has been reached.")
            return
        body = request.body
        fin = body == b"" and not request.tunnels
        stream_id = self._next_id
        self._next_id = stream_id + 2
        if request is self._asked[0]:
            fields = self._asked[1]
        else:
            fields = request_fields(request)
            self._asked = request, fields
        flow = self._options.flow if request.flow is None else request.flow
        window = self._options.initial_stream_window_size
        state = StreamState(stream_id, stream, SENT[State.IDLE, fin], flow, self._initial_window, window)
        state.head = request.method == b"HEAD"
        state.authority = fields.authority
        state.protocol = b"" if request.method == b"CONNECT" else request.protocol
        self._streams[stream_id] = self._by_key[stream] = state
        self._requests += 1
        self._updates += UPDATES_OF_REQUEST
        self._send_headers(state, fields, fin)
        if body:
            self._send_content(state, body, True)
        elif self._waits is not None:
            self._waits.begin(state, self._now)
        if self._next_id > LARGEST:
            # RFC 9113 section 5.1.1: "A client that is unable to establish a new stream identifier can establish a new connection".
            self._leave()

    def data(self, stream: object, data: bytes, fin: bool, now: float) -> Steps:
        state = self._by_key.get(stream)
        if state is not None and state.sending and not state.queued_fin:
            self._now = now
            self._send_content(state, data, fin)
        return self._done()

    def queued(self, stream: object) -> int:
        """How many bytes of the content of `stream` wait here, for the windows or for the transport."""
        state = self._by_key.get(stream)
        return 0 if state is None or state.queue is None else sum(map(len, state.queue))

    def cancel(self, stream: object, now: float, drain: bool = False) -> Steps:
        state = self._by_key.pop(stream, None)
        if state is not None:
            self._now = now
            if state.id in self._streams:
                self._reset(state, ErrorCode.CANCEL)
            else:
                self._finish_if_idle()
        return self._done()

    def update_flow(self, stream: object, increment: int, now: float) -> Steps:
        state = self._by_key.get(stream)
        if state is not None and state.flow is not None:
            self._now = now
            state.flow += increment
            self._release(state)
        return self._done()

    def hold(self, stream: object, held: bool, now: float) -> Steps:
        state = self._by_key.get(stream)
        if state is not None:
            self._now = now
            state.held = held
            self._release(state)
        return self._done()

    def hold_sending(self, held: bool, now: float) -> Steps:
        self._now = now
        self._sending_held = held
        self._send_queued()
        return self._done()

    # From the peer: messages.

    def _headers_received(self, stream_id: int, fields: Headers, fin: bool) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            self._late(stream_id, "HEADERS")
            return
        try:
            if stream.responded:
                self._take_trailers(stream, fields, fin)
            else:
                self._take_head(stream, fields, fin)
        except (ProtocolViolation, LimitReached) as error:
            self._give_up(stream, error)
        if self._waits is not None:
            self._waits.begin(stream, self._now)

    def _take_head(self, stream: StreamState, fields: Headers, fin: bool) -> None:
        if stream.protocol is not None:
            head = parse_response(fields, tunnel=True)
        elif fields is self._parsed[0]:
            head = self._parsed[1]
        else:
            head = parse_response(fields)
            self._parsed = fields, head
        if head.status < 200:
            self._inform(stream, head, fin)
            return
        stream.responded = True
        if stream.protocol is not None and head.status < 300 and not fin:
            self._switch(stream, stream.protocol, head)
            return
        stream.expected = 0 if stream.head or head.status in (204, 304) else head.length
        if fin:
            self._check_length(stream, True)
        if stream.protocol == b"":
            self._steps.append(TunnelRefused(stream.key, head.status, head.headers))
        stream.state = RECEIVED[stream.state, fin]
        self._steps.append(Response(stream=stream.key, fin=fin, status=head.status, headers=head.headers))
        if fin:
            self._ended(stream)

    def _switch(self, stream: StreamState, protocol: bytes, head: ResponseHead) -> None:
        """The stream carries another protocol now (RFC 9113 section 8.5, RFC 8441 section 5); how much of it comes is for that to say."""
        stream.tunnel = True
        stream.flow, stream.held = None, False
        if protocol:
            self._steps.append(Upgrade(stream=stream.key, protocols=(protocol,), headers=head.headers))
        else:
            event = Response(stream=stream.key, fin=False, status=head.status, headers=head.headers)
            self._steps += event, TunnelOpened(stream.key)
        if "closing" in self._deadlines:
            self._steps.append(Leaving())

    def _take_trailers(self, stream: StreamState, fields: Headers, fin: bool) -> None:
        if stream.state is State.HALF_CLOSED_REMOTE:
            self._give_up(stream, ProtocolViolation(_BEHIND_THE_END), ErrorCode.STREAM_CLOSED)
            return
        if stream.tunnel:
            raise ProtocolViolation("HEADERS on a stream that carries another protocol (RFC 9113 section 8.5)")
        if not fin:
            raise ProtocolViolation("header fields in the midst of the content (RFC 9113 section 8.1)")
        check_trailers(fields)
        self._check_length(stream, True)
        self._end(stream, fields)

    def _inform(self, stream: StreamState, head: ResponseHead, fin: bool) -> None:
        # RFC 9113 section 8.6: "HTTP/2 removes support for the 101 (Switching Protocols) informational status code".
        if fin or head.status == 101:
            raise ProtocolViolation(f"an interim response {head.status} that HTTP/2 does not have (RFC 9113 section 8.1)")
        stream.informed += 1
        if stream.informed > self._options.max_informational:
            raise LimitReached("max_informational", self._options.max_informational)
        if stream.state is State.RESERVED:
            stream.state = State.HALF_CLOSED_LOCAL
        self._steps.append(Inform(stream=stream.key, status=head.status, headers=head.headers))

    def _headers_beyond(self, stream_id: int, error: LimitReached) -> None:
        """The fields were more than a limit of ours allows; the block itself was decoded, so that others can be."""
        stream = self._streams.get(stream_id)
        if stream is None:
            self._late(stream_id, "HEADERS")
        else:
            self._give_up(stream, error)

    def _data_received(self, stream_id: int, data: bytes, size: int, fin: bool) -> None:
        """`data`, which with its padding took `size` bytes of the windows."""
        left = self._connection_window - size
        if left <= self._connection_renewed_at:
            if left < 0:
                text = "more DATA than the connection's window allows (RFC 9113 section 6.9)"
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, text)
            if self._accepting or left < self._to_come():
                left += self._renew(0, self._connection_rule.increment(left))
        self._connection_window = left
        stream = self._streams.get(stream_id)
        if stream is None:
            self._late_data_received(stream_id, size)
            return
        if not data and not fin:
            self._glitch()
        try:
            self._take_data(stream, data, size, fin)
        except ProtocolViolation as error:
            self._give_up(stream, error)
        if self._waits is not None:
            self._waits.begin(stream, self._now)

    def _take_data(self, stream: StreamState, data: bytes, size: int, fin: bool) -> None:
        if stream.state is State.HALF_CLOSED_REMOTE:
            self._give_up(stream, ProtocolViolation(_BEHIND_THE_END), ErrorCode.STREAM_CLOSED)
            return
        stream.receive_window -= size
        if stream.receive_window < 0:
            error = ProtocolViolation("more DATA than the stream's window allows (RFC 9113 section 6.9)")
            self._give_up(stream, error, ErrorCode.FLOW_CONTROL_ERROR)
            return
        if stream.state is State.RESERVED:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"DATA on stream {stream.id}, which is reserved (RFC 9113 section 5.1)")
        if not stream.responded:
            raise ProtocolViolation("DATA before the response's header fields (RFC 9113 section 8.1)")
        stream.received += len(data)
        if stream.expected is not None:
            if fin and data and stream.received < stream.expected and not stream.withheld:
                self._tell_data(stream, data, False)  # before it is said that there should have been more
            self._check_length(stream, fin)
        if stream.withheld:
            stream.park(data)
            if fin:
                self._end(stream, ())
        elif fin:
            self._end(stream, (), data)
        else:
            if data:
                self._tell_data(stream, data, False)
            left = stream.receive_window
            if left <= self._stream_renewed_at and not stream.withheld and left < stream.to_come:
                stream.receive_window += self._renew(stream.id, self._stream_rule.increment(left))

    def _late_data_received(self, stream_id: int, size: int) -> None:
        """Content of a stream that we have reset; it counts toward the connection's window (RFC 9113 section 5.1)."""
        if not size or self._is_idle(stream_id):
            self._late(stream_id, "DATA")
        self._late_bytes -= size
        if self._late_bytes < 0:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, f"DATA on stream {stream_id}, which is closed (RFC 9113 section 5.1)")

    def _check_length(self, stream: StreamState, fin: bool) -> None:
        """RFC 9113 section 8.1.1: malformed, if Content-Length "does not equal the sum of the DATA frame payload lengths"."""
        expected = stream.expected
        if expected is not None and (stream.received > expected or (fin and stream.received < expected)):
            raise ProtocolViolation(f"the response has {stream.received} bytes of content, its fields say {expected} (RFC 9113 8.1.1)")

    def _reset_received(self, stream_id: int, code: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            self._late(stream_id, "RST_STREAM")
            return
        if not stream_id % 2:
            self._glitch()  # the limit of pushes at a time does not bound those that are promised and taken back
        if code == ErrorCode.REFUSED_STREAM and not stream.responded:
            # RFC 9113 section 8.7: "the stream is being closed prior to any processing having occurred".
            text = "the server refused this stream (REFUSED_STREAM); it was not processed: send it again"
            self._never_processed(stream, StreamRefused(text))
        else:
            self._drop(stream, StreamReset(f"Stream reset by server. ({code_name(code)})", code))

    # From the peer: what is of no use.

    def _late(self, stream_id: int, kind: str) -> None:
        """A frame of a stream that is not open: it was reset by us, and the peer did not know yet, or it never was."""
        if self._is_idle(stream_id):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"{kind} on stream {stream_id}, which is idle (RFC 9113 section 5.1)")
        self._late_frames -= 1
        if self._late_frames < 0:
            self._late_frames = 0
            self._glitch()

    def _is_idle(self, stream_id: int) -> bool:
        """Whether a stream was never opened; one that was and is not in `_streams` is closed."""
        return stream_id >= self._next_id if stream_id % 2 else stream_id > self._last_promised

    def _glitch(self) -> None:
        """The peer sent a frame without use. Too many of them are an attack."""
        if self._glitches.count(self._now):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, LimitReached("max_glitches", self._options.max_glitches))

    # Telling content, and withholding it.

    def _tell_data(self, stream: StreamState, data: bytes, fin: bool) -> None:
        if stream.tunnel:
            if data:
                self._tunnelled += 1
                self._steps.append(TunnelData(stream.key, data))
            if fin:
                self._steps.append(TunnelClosed(stream.key))
            return
        if stream.flow is not None:
            stream.flow -= 1
        self._steps.append(Data(stream=stream.key, fin=fin, data=data))

    def _release(self, stream: StreamState) -> None:
        """
        Its owner may want more now: tell what was parked, and let the peer send on.

        But not at once as much again as was told just now, which may lie unread for long: a little more comes, and shows it.
        """
        if not stream.withheld:
            told = self._unpark(stream)
            left = stream.receive_window
            if stream.receiving and not stream.withheld and left <= self._stream_renewed_at and left < stream.to_come:
                increment = self._stream_rule.increment(left)
                stream.receive_window += self._renew(stream.id, min(increment, max(increment - told, DEFAULT_FRAME_SIZE)))
        if self._waits is not None and stream.responded:
            self._waits.begin(stream, self._now)

    def _unpark(self, stream: StreamState) -> int:
        """Tell what was parked, and the end behind it if it has come; how many bytes that were."""
        parked, end = stream.parked, stream.parked_end
        if parked is None:
            return 0
        stream.parked = stream.parked_end = None
        if parked or end == ():
            self._tell_data(stream, bytes(parked), end == ())
        if end:
            self._steps.append(Trailers(stream=stream.key, headers=end))
        if end is not None and stream.state is State.CLOSED:
            self._by_key.pop(stream.key, None)
            self._finish_if_idle()
        return len(parked)

    def _end(self, stream: StreamState, trailers: Headers, data: bytes = b"") -> None:
        """The last of the response: `data`, where none is parked; then `trailers`, if there are any."""
        stream.state = RECEIVED[stream.state, True]
        if stream.parked is not None:
            stream.parked_end = trailers
        elif trailers:
            self._steps.append(Trailers(stream=stream.key, headers=trailers))
        else:
            self._tell_data(stream, data, True)
        self._ended(stream)

    def _ended(self, stream: StreamState) -> None:
        """The whole response has come. A request that is not complete by now is given up, as HTTP/1.1 has to do it."""
        self.served = True
        if stream.state is State.HALF_CLOSED_REMOTE:
            if stream.tunnel:  # whose other direction goes on
                return
            self._send_reset(stream.id, ErrorCode.NO_ERROR)
            self._late_frames += 1  # RFC 9113 section 8.1: the server may ask for just that
        self._forget(stream)

    def _to_come(self) -> float:
        """
        How much of the connection's window may still be of use, when it takes no more requests.

        A server closes once it has sent the last of its responses. What reaches it after that it answers by a TCP reset, at which
        whatever stands between may drop what has not come through yet: so what is of no use to it is not sent.
        """
        return self._late_bytes + sum(stream.to_come for stream in self._streams.values())

    def _renew(self, stream_id: int, increment: int) -> int:
        if increment:
            self._send_window_update(stream_id, increment)
        return increment

    # Ends of streams.

    def _refuse(self, key: object, why: str) -> None:
        self._unprocessed.append(key)
        self._steps.append(StreamFailed(key, StreamRefused(why)))

    def _give_up(self, stream: StreamState, error: GunError, code: ErrorCode | None = None) -> None:
        """
        The peer did with `stream` what it must not.

        RFC 9113 section 8.1.1: "Malformed requests or responses that are detected MUST be treated as a stream error".
        """
        if code is None:
            code = ErrorCode.ENHANCE_YOUR_CALM if isinstance(error, LimitReached) else ErrorCode.PROTOCOL_ERROR
        self._reset(stream, code, error)

    def _reset(self, stream: StreamState, code: ErrorCode, error: GunError | None = None) -> None:
        """End `stream` from our side; its owner is told of an `error`."""
        self._send_reset(stream.id, code)
        # One that did not mind its window does not mind it in what is on its way either.
        self._expect_late(stream.receive_window if stream.receive_window >= 0 else self._stream_rule.size)
        self._drop(stream, error)

    def _expect_late(self, size: int) -> None:
        """
        RFC 9113 section 5.1: the peer may have sent frames before it learns that a stream was reset.

        Of DATA no more than the stream's window, `size`, and not more for all of them than the connection's window lets out now.
        """
        self._late_bytes = min(self._late_bytes + size, self._connection_window)
        self._late_frames = min(self._late_frames + _LATE_FRAMES, _LATE_FRAMES * self._options.max_streams)

    def _never_processed(self, stream: StreamState, error: GunError) -> None:
        """The peer says that it certainly did not process what it did not answer."""
        if not (stream.told or stream.responded):
            self._unprocessed.append(stream.key)
        self._drop(stream, error)

    def _drop(self, stream: StreamState, error: GunError | None) -> None:
        """`stream` has ended before its response did."""
        if error is not None:
            self._unpark(stream)
            if not stream.told:
                self._steps.append(StreamFailed(stream.key, error))
        stream.parked = None
        self._forget(stream)

    def _forget(self, stream: StreamState) -> None:
        """`stream` is closed, and kept only if something is still to be told of it."""
        full = self._requests >= self._most_streams
        del self._streams[stream.id]
        stream.state = State.CLOSED
        stream.queue = None
        self._uploads.pop(stream, None)
        if self._waits is not None:
            self._waits.end(stream)
        if stream.parked is None:
            self._by_key.pop(stream.key, None)
        if stream.id % 2:
            self._requests -= 1
            if full and self.accepting:
                self._steps.append(Accepting())
        else:
            self._pushes -= 1
        self._finish_if_idle()

    def _done(self) -> Steps:
        """The steps of this call, with one write for all that is to be sent."""
        if self._budget < MOST_AT_A_TIME:
            if self._budget <= 0 and self._uploads:
                self._deadlines["upload"] = self._now  # at once, but after the transport was asked
            self._budget = MOST_AT_A_TIME
        steps, self._steps = self._steps, []
        if self._tunnelled:
            if self._tunnelled > 1:
                steps = _joined(steps)
            self._tunnelled = 0
        if self._out:
            steps.append(Write(b"".join(self._out)))
            self._out.clear()
        if self._close is not None:
            steps.append(self._close)
            self._close = None
        return steps


def _joined(steps: Steps) -> Steps:
    """`steps`, with one for all that has come for a tunnel where there were several: what stands on it has work with each."""
    joined: Steps = []
    pieces: dict[object, list[bytes]] = {}
    for step in steps:
        if type(step) is TunnelData:
            pieces.setdefault(step.stream, []).append(step.data)
            continue
        joined += [TunnelData(key, b"".join(run)) for key, run in pieces.items()]
        pieces.clear()
        joined.append(step)
    joined += [TunnelData(key, b"".join(run)) for key, run in pieces.items()]
    return joined
