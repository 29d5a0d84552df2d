"""
A server in memory that speaks HTTP/2 (RFC 9113), on the package's own frames and header compression.

It obeys flow control, and fails the test where the client does not; everything else it does only when the test says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Union

from twisted_gun.events import Headers
from twisted_gun.testing.peers import Peer, Script
from twisted_gun.wire import frames
from twisted_gun.wire.frames import DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, HEADER, LARGEST, UINT32, ErrorCode, FrameType, Setting
from twisted_gun.wire.hpack import Decoder, Encoder

__all__ = ["Http2Peer", "Http2Request"]

#: Fields as the test may write them.
Fields = Union[Mapping[Any, Any], Iterable[tuple[Any, Any]]]

#: The decoder takes whatever the client sends: its limits are not what is tested.
_TABLE, _SIZE, _COUNT = 1 << 16, 1 << 24, 1 << 16


@dataclass(slots=True, eq=False)
class Http2Request:
    """
    A request as it has arrived so far, or, with an even `stream_id`, one that the peer promised.

    `headers` are without the pseudo-fields, `body` is as far as it came, `complete` says whether that is all of it. `reset` is the
    error code with which the client has reset the stream, `answered` whether the peer has ended its response, or the stream.
    """

    stream_id: int
    method: bytes
    path: bytes
    authority: bytes
    scheme: bytes
    headers: Headers
    trailers: Headers = ()
    complete: bool = False
    reset: int | None = None
    answered: bool = False
    _parts: list[bytes] = field(default_factory=list, repr=False)

    @property
    def body(self) -> bytes:
        """The content, as far as it came."""
        self._parts[:] = [b"".join(self._parts)]
        return self._parts[0]


class Http2Peer(Peer):
    """
    A server that records requests, and answers them as the test says.

    It sends its SETTINGS by itself (`settings`, by their names in lower case), acknowledges SETTINGS and PING unless `acknowledge` is
    false, and opens its windows for all it receives unless `open_windows` is false; both may be changed at any time. What it sends
    waits for the client's windows. AssertionError is raised, which fails the test, where the client sends what it must not.

    By hand: `respond`, `send_data`, `trailers`, `reset`, `goaway`, `push` and so on; a `Http2Request` or a stream identifier says which
    stream. `send` takes any bytes, well-formed or not. By `script`, a sequence of steps done in order, each as soon as it can be:

    - ``("expect", b"GET /path")``: wait until such a request is complete, among those that were not expected before;
    - ``("expect", predicate)``: likewise until ``predicate(request)`` is true, complete or not;
    - ``("respond", 200, {}, b"...")``, and the other methods with their arguments: those of a stream are for the request expected last.

    Or `script` is a callable: it is called with the peer each time bytes have arrived.
    """

    VERBS: ClassVar[frozenset[str]] = Peer.VERBS | {
        "respond",
        "inform",
        "send_headers",
        "send_data",
        "trailers",
        "reset",
        "push",
        "window_update",
        "goaway",
        "settings",
        "ping",
    }
    #: Those of them that are about a stream.
    _OF_STREAM: ClassVar[frozenset[str]] = frozenset(
        {"respond", "inform", "send_headers", "send_data", "trailers", "reset", "push", "window_update"}
    )

    def __init__(
        self, script: Script = (), *, settings: Mapping[str, int] | None = None, open_windows: bool = True, acknowledge: bool = True
    ) -> None:
        super().__init__(script)
        self.open_windows, self.acknowledge = open_windows, acknowledge
        #: The requests so far, in order; those behind our `goaway` are in `ignored` instead, and the promised ones in `promises`.
        self.requests: list[Http2Request] = []
        self.ignored: list[Http2Request] = []
        self.promises: list[Http2Request] = []
        #: Every frame so far, as (type, flags, stream identifier, payload).
        self.frames: list[tuple[int, int, int, bytes]] = []
        #: The client's settings, by their names in lower case; the payloads of its PINGs, and of those of ours that it answered.
        self.client_settings: dict[str, int] = {}
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        #: The client's GOAWAY: last stream identifier and error code.
        self.gone_away: tuple[int, int] | None = None
        self._first_settings = dict(settings or {})
        self._unacknowledged: deque[dict[str, int]] = deque()  # settings of ours
        self._buffer = bytearray()
        self._preface = True
        self._decoder = Decoder(_TABLE, _SIZE, _COUNT)
        self._encoder = Encoder()
        self._block: tuple[int, int, bytearray] | None = None  # stream, flags and pieces so far
        self._known: dict[int, Http2Request] = {}
        self._streams: dict[int, _Stream] = {}  # open ones
        self._last = 0  # the highest stream identifier the client has used
        self._accepted = LARGEST  # and up to which requests are recorded
        self._promised = 0
        self._window, self._stream_window = DEFAULT_WINDOW, DEFAULT_WINDOW  # of what we send
        self._own_window, self._own_stream_window = DEFAULT_WINDOW, DEFAULT_WINDOW  # of what we receive
        self._frame_size = self._own_frame_size = DEFAULT_FRAME_SIZE
        self._expected: Http2Request | None = None
        self._examined: set[int] = set()

    # What the test says.

    def respond(
        self,
        request: Http2Request | int,
        status: int = 200,
        headers: Fields = (),
        body: bytes = b"",
        fin: bool = True,
        trailers: Fields = (),
    ) -> None:
        """Send a response; without `fin` more of its content follows, with `trailers` it ends with those."""
        ending = _fields(trailers)
        bare = not body and not ending
        self.send_headers(request, [(":status", str(status)), *_fields(headers)], fin and bare)
        if body:
            self.send_data(request, body, fin and not ending)
        if ending:
            self.trailers(request, ending)

    def inform(self, request: Http2Request | int, status: int = 103, headers: Fields = ()) -> None:
        """Send an interim response."""
        self.send_headers(request, [(":status", str(status)), *_fields(headers)], False)

    def send_headers(self, request: Http2Request | int, headers: Fields, fin: bool = False) -> None:
        """Send fields as they are, pseudo-fields included, well-formed or not."""
        self._queue(request, b"", _fields(headers), fin)

    def send_data(self, request: Http2Request | int, data: bytes, fin: bool = False) -> None:
        """Send content, as soon as the client's windows let it out; `fin` ends the response."""
        self._queue(request, data, None, fin)

    def trailers(self, request: Http2Request | int, headers: Fields) -> None:
        """End a response by trailer fields."""
        self._queue(request, b"", _fields(headers), True)

    def reset(self, request: Http2Request | int, code: int = ErrorCode.INTERNAL_ERROR) -> None:
        """Reset a stream (RST_STREAM); what of it still waits to be sent is dropped."""
        stream = self._streams.pop(_id(request), None)
        if stream is not None:
            stream.request.answered = True
        self.send(frames.rst_stream(_id(request), code))

    def push(
        self,
        request: Http2Request | int,
        path: str | bytes,
        headers: Fields = (),
        *,
        method: str | bytes = b"GET",
        scheme: str | bytes = b"http",
        authority: str | bytes | None = None,
    ) -> Http2Request:
        """Promise a response (PUSH_PROMISE) along with that of `request`; `respond` to what is returned."""
        parent = self._streams.get(_id(request))
        host = parent.request.authority if authority is None and parent is not None else _bytes(authority or b"")
        self._promised += 2
        promised = Http2Request(self._promised, _bytes(method), _bytes(path), host, _bytes(scheme), _fields(headers), complete=True)
        pseudo = ((b":method", promised.method), (b":scheme", promised.scheme), (b":authority", host), (b":path", promised.path))
        block = self._encoder.encode_fields((*pseudo, *promised.headers))
        self.send(frames.frame(FrameType.PUSH_PROMISE, frames.END_HEADERS, _id(request), UINT32.pack(promised.stream_id) + block))
        self.promises.append(promised)
        self._known[promised.stream_id] = promised
        self._streams[promised.stream_id] = _Stream(promised, self._stream_window, 0)
        return promised

    def window_update(self, request: Http2Request | int, increment: int) -> None:
        """Open the window of a stream, or of the connection, which is 0, so that the client may send on."""
        if _id(request) == 0:
            self._own_window += increment
        elif _id(request) in self._streams:
            self._streams[_id(request)].own_window += increment
        self.send(frames.window_update(_id(request), increment))

    def goaway(self, last: Http2Request | int | None = None, code: int = ErrorCode.NO_ERROR, debug: bytes = b"") -> None:
        """Send GOAWAY; requests above `last` (default: the highest so far) are in `ignored` from now on."""
        self._accepted = self._last if last is None else _id(last)
        self.send(frames.goaway(self._accepted, code, debug))

    def settings(self, **values: int) -> None:
        """Send SETTINGS, by their names in lower case: ``settings(max_concurrent_streams=1)``."""
        self._unacknowledged.append(values)
        self.send(frames.settings((Setting[name.upper()], value) for name, value in values.items()))

    def ping(self, payload: bytes = bytes(8)) -> None:
        """Send a PING with these eight bytes."""
        self.send(frames.ping(payload))

    def pong(self, payload: bytes) -> None:
        """Answer a PING, where `acknowledge` is false."""
        self.send(frames.ping(payload, ack=True))

    def unsent(self, request: Http2Request | int) -> int:
        """How many bytes of content wait for the client's windows."""
        stream = self._streams.get(_id(request))
        return sum(len(entry.data) for entry in stream.waiting) if stream is not None else 0

    # The script.

    def _arrived(self, expected: bytes | Callable[[Http2Request], bool]) -> bool:
        for request in self._since():
            named = b"%b %b" % (request.method, request.path)
            if expected(request) if callable(expected) else request.complete and named == expected:
                self._examined.add(request.stream_id)
                self._expected = request
                return True
        return False

    def _since(self) -> list[Http2Request]:
        return [request for request in self.requests if request.stream_id not in self._examined]

    def _do(self, verb: str, arguments: list[Any]) -> None:
        if verb in self._OF_STREAM:
            assert self._expected is not None, f"a step {verb!r} before any request was expected"
            arguments = [self._expected, *arguments]
        super()._do(verb, arguments)

    # Sending.

    def _queue(self, request: Http2Request | int, data: bytes, fields: Headers | None, fin: bool) -> None:
        stream = self._streams.get(_id(request))
        if stream is not None:  # else it was reset, as may happen to any server
            stream.waiting.append(_Waiting(memoryview(data), fields, fin))
            self._send_waiting(stream)

    def _send_waiting(self, stream: _Stream) -> None:
        stream_id = stream.request.stream_id
        while stream.waiting:
            entry = stream.waiting[0]
            if entry.fields is not None:
                self.send(frames.header_frames(stream_id, self._encoder.encode_fields(entry.fields), entry.fin, self._frame_size))
            else:
                room = max(0, min(self._window, stream.window, self._frame_size))
                if entry.data and not room:
                    return
                piece, rest = entry.data[:room], entry.data[room:]
                self._window -= len(piece)
                stream.window -= len(piece)
                flags = frames.END_STREAM if entry.fin and not rest else 0
                self.send(frames.frame(FrameType.DATA, flags, stream_id, bytes(piece)))
                if rest:
                    entry.data = rest
                    continue
            stream.waiting.popleft()
            stream.request.answered = stream.request.answered or entry.fin
            self._forget_if_over(stream.request)

    def _forget_if_over(self, request: Http2Request) -> None:
        if request.answered and request.complete:
            self._streams.pop(request.stream_id, None)

    # Receiving.

    def connectionMade(self) -> None:
        self.settings(**self._first_settings)
        super().connectionMade()

    def _take(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if self._preface:
            if len(buffer) < len(frames.PREFACE):
                return
            assert buffer.startswith(frames.PREFACE), f"no preface of HTTP/2: {bytes(buffer[:24])!r}"
            del buffer[: len(frames.PREFACE)]
            self._preface = False
        at = 0
        while len(buffer) - at >= HEADER.size:
            word, flags, stream_id = HEADER.unpack_from(buffer, at)
            end = at + HEADER.size + (word >> 8)
            if len(buffer) < end:
                break
            self._take_frame(word & 0xFF, flags, stream_id, bytes(buffer[at + HEADER.size : end]))
            at = end
        del buffer[:at]

    def _take_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        assert len(payload) <= self._own_frame_size, f"a frame of {len(payload)} bytes"
        assert self.frames or kind == FrameType.SETTINGS, "the preface goes on with SETTINGS"
        assert self._block is None or kind == FrameType.CONTINUATION, "a field block was interrupted"
        self.frames.append((kind, flags, stream_id, payload))
        _TAKERS[kind](self, flags, stream_id, payload)

    def _take_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        self._block = stream_id, flags, bytearray()
        self._take_continuation(flags, stream_id, payload)

    def _take_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        assert self._block is not None and self._block[0] == stream_id, "CONTINUATION of another stream"
        self._block[2].extend(payload)
        if flags & frames.END_HEADERS:
            _, first_flags, block = self._block
            self._block = None
            self._take_fields(stream_id, self._decoder.decode(bytes(block)), bool(first_flags & frames.END_STREAM))

    def _take_fields(self, stream_id: int, fields: Headers, fin: bool) -> None:
        if stream_id <= self._last:
            request = self._stream_that_sends(stream_id).request
            assert fin, "header fields in the midst of the content"
            request.trailers = fields
        else:
            assert stream_id % 2, f"a client opened stream {stream_id}"
            self._last = stream_id
            request = self._known[stream_id] = _request(stream_id, fields)
            self._streams[stream_id] = _Stream(request, self._stream_window, self._own_stream_window)
            (self.requests if stream_id <= self._accepted else self.ignored).append(request)
        if fin:
            request.complete = True
            self._forget_if_over(request)

    def _take_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        self._own_window -= len(payload)
        assert self._own_window >= 0, "more DATA than the connection's window allows"
        if self.open_windows and payload:
            self.window_update(0, len(payload))
        if stream_id not in self._streams and stream_id in self._known and not self._known[stream_id].complete:
            return  # it was sent before the client knew of our RST_STREAM
        stream = self._stream_that_sends(stream_id)
        stream.own_window -= len(payload)
        assert stream.own_window >= 0, f"more DATA than the window of stream {stream_id} allows"
        stream.request._parts.append(payload)
        if flags & frames.END_STREAM:
            stream.request.complete = True
            self._forget_if_over(stream.request)
        elif self.open_windows and payload:
            self.window_update(stream_id, len(payload))

    def _stream_that_sends(self, stream_id: int) -> _Stream:
        stream = self._streams.get(stream_id)
        assert stream is not None and not stream.request.complete, f"the client has ended stream {stream_id}, or never opened it"
        return stream

    def _take_reset(self, flags: int, stream_id: int, payload: bytes) -> None:
        assert stream_id in self._known, f"RST_STREAM on stream {stream_id}, which is idle"
        (self._known[stream_id].reset,) = UINT32.unpack(payload)
        self._streams.pop(stream_id, None)

    def _take_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if flags & frames.ACK:
            self._acknowledged(self._unacknowledged.popleft())
            return
        values = {Setting(key).name.lower(): value for key, value in frames.parse_settings(payload)}
        self.client_settings.update(values)
        if "header_table_size" in values:
            self._encoder.resize(values["header_table_size"])
        if "initial_window_size" in values:
            change, self._stream_window = values["initial_window_size"] - self._stream_window, values["initial_window_size"]
            for stream in list(self._streams.values()):
                stream.window += change
                self._send_waiting(stream)
        self._frame_size = values.get("max_frame_size", self._frame_size)
        if self.acknowledge:
            self.send(frames.settings_ack())

    def _acknowledged(self, values: Mapping[str, int]) -> None:
        """RFC 9113 section 6.9.2: a new initial window is for open streams too."""
        self._own_frame_size = values.get("max_frame_size", self._own_frame_size)
        if "initial_window_size" in values:
            change, self._own_stream_window = values["initial_window_size"] - self._own_stream_window, values["initial_window_size"]
            for stream in self._streams.values():
                stream.own_window += change

    def _take_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        (self.pongs if flags & frames.ACK else self.pings).append(payload)
        if self.acknowledge and not flags & frames.ACK:
            self.pong(payload)

    def _take_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        self.gone_away = UINT32.unpack_from(payload, 0)[0], UINT32.unpack_from(payload, 4)[0]

    def _take_window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        (increment,) = UINT32.unpack(payload)
        assert increment, "WINDOW_UPDATE by nothing"
        if stream_id in self._streams:
            self._streams[stream_id].window += increment
            self._send_waiting(self._streams[stream_id])
        elif stream_id == 0:
            self._window += increment
            for stream in list(self._streams.values()):
                self._send_waiting(stream)


class _Waiting:
    """What waits for the windows: content, or fields behind it."""

    __slots__ = ("data", "fields", "fin")

    def __init__(self, data: memoryview, fields: Headers | None, fin: bool) -> None:
        self.data, self.fields, self.fin = data, fields, fin


class _Stream:
    """An open stream: `window` is of what we send on it, `own_window` of what we receive."""

    __slots__ = ("own_window", "request", "waiting", "window")

    def __init__(self, request: Http2Request, window: int, own_window: int) -> None:
        self.request, self.window, self.own_window = request, window, own_window
        self.waiting: deque[_Waiting] = deque()


def _request(stream_id: int, fields: Headers) -> Http2Request:
    pseudo = {name: value for name, value in fields if name.startswith(b":")}
    headers = fields[len(pseudo) :]
    assert not any(name.startswith(b":") for name, _ in headers), "a pseudo-field behind others, or twice"
    method, path, authority, scheme = (pseudo.get(name, b"") for name in (b":method", b":path", b":authority", b":scheme"))
    return Http2Request(stream_id, method, path, authority, scheme, headers)


def _id(request: Http2Request | int) -> int:
    return request if isinstance(request, int) else request.stream_id


def _fields(headers: Fields) -> Headers:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return tuple((_bytes(name), _bytes(value)) for name, value in pairs)


def _bytes(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


_TAKERS: dict[int, Callable[[Http2Peer, int, int, bytes], None]] = {
    FrameType.DATA: Http2Peer._take_data,
    FrameType.HEADERS: Http2Peer._take_headers,
    FrameType.RST_STREAM: Http2Peer._take_reset,
    FrameType.SETTINGS: Http2Peer._take_settings,
    FrameType.PING: Http2Peer._take_ping,
    FrameType.GOAWAY: Http2Peer._take_goaway,
    FrameType.WINDOW_UPDATE: Http2Peer._take_window_update,
    FrameType.CONTINUATION: Http2Peer._take_continuation,
}
